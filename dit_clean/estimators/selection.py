"""Rows kept, rows replaced: the methods by which a cleaner hands back data."""

from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from dit_clean.data.inputs import checked_data, warn_of_other_order
from dit_clean.data.tables import MATRIX_AXES, is_frame, select_rows
from dit_clean.detection import nearest_target_rows, replacement_rows
from dit_clean.estimators.findings import Findings
from dit_clean.warning import warn


class RowSelection(OneToOneFeatureMixin, TransformerMixin):
    """Cleaned data in the forms that scikit-learn's tools take them.

    Derives from `TransformerMixin` because `set_output` wraps `transform` only in the
    class that defines it.
    """

    _findings: Findings
    keep_mask_: np.ndarray
    sample_indices_: np.ndarray
    fit: Any

    def fit_transform(self, X, y=None, **fit_params):
        """Fit, and return X with every flagged row replaced by a kept one.

        The result stays aligned with y, so that the cleaner works as a step of a plain
        scikit-learn pipeline: each flagged row gives way to a kept row with the same
        label (for regression: the nearest target), spread evenly over the kept rows.

        Parameters
        ----------
        X, y, **fit_params
            As in `fit`.

        Returns
        -------
        X_clean : same container as X

        Warns
        -----
        UserWarning
            If flagged regression targets lie outside the range of the kept ones: they
            stay in y, and no kept row goes with them.
        """
        self.fit(X, y, **fit_params)
        targets = self._findings.data.targets
        stand_in = replacement_rows if targets.is_classifier else nearest_target_rows
        if not targets.is_classifier:
            warn_of_far_targets(targets.given, self.keep_mask_)
        X = X if is_frame(X) else checked_data(self, X)
        X_clean = select_rows(X, stand_in(self.keep_mask_, targets.codes))
        # pandas aligns by index: y must still meet its own row.
        return X_clean.set_axis(X.index) if hasattr(X, "iloc") else X_clean

    def transform(self, X):
        """Return new data unchanged: rows to predict on are never dropped.

        Parameters
        ----------
        X : array, data frame or CSR matrix
            Like the X given to fit.

        Returns
        -------
        X : same container
            As given, checked.
        """
        check_is_fitted(self, "_findings")
        X = checked_data(self, X)
        self._findings.data.encoder.check_kinds(X)
        # set_output gives names to the columns of what it gets: not to the user's.
        return X.copy(deep=False) if hasattr(X, "iloc") else X

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns of X, which stay as they are.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names for an X without any.

        Returns
        -------
        names : ndarray of str, shape (n_columns,)

        Raises
        ------
        ValueError
            If samples are images: these have no columns.
        """
        check_is_fitted(self, "_findings")
        shape = self._findings.data.X.shape
        if len(shape) > MATRIX_AXES:
            raise ValueError(
                f"X has the shape {shape}: such samples have no columns, nor names of "
                "them."
            )
        return super().get_feature_names_out(input_features)

    def fit_predict(self, X, y=None, **fit_params):
        """Fit, and return +1 for kept and -1 for flagged rows.

        Parameters
        ----------
        X, y, **fit_params
            As in `fit`.

        Returns
        -------
        is_inlier : ndarray of int, shape (n_samples,)
        """
        self.fit(X, y, **fit_params)
        return np.where(self.keep_mask_, 1, -1)

    def filter(self, *arrays):
        """Return the kept rows of arrays that are aligned with the fitted data.

        Parameters
        ----------
        *arrays : array, data frame, series, sparse matrix, Arrow table or sequence
            Each with n_samples rows.

        Returns
        -------
        kept : tuple, or the one array
            Same containers (sparse formats without rows become CSR, sequences of other
            kinds lists), the rows of `sample_indices_`.

        Raises
        ------
        ValueError
            If an array has another number of rows.
        TypeError
            If something given has no rows: None or a text.

        Warns
        -----
        UserWarning
            If a frame or series has the index labels of X in another order.
        """
        check_is_fitted(self, "_findings")
        for i, array in enumerate(arrays):
            check_may_have_rows(array, i, len(self.keep_mask_))
            _check_same_rows(array, i, self.keep_mask_)
            warn_of_other_order(self._findings.data.X, array, ("X", f"arrays[{i}]"))
        kept = tuple(select_rows(array, self.sample_indices_) for array in arrays)
        return kept[0] if len(kept) == 1 else kept


def check_may_have_rows(array: Any, place: int, n_samples: int) -> None:
    """Raise if what was given to `filter` at this place is nothing, or one text."""
    if isinstance(array, str | bytes | None):
        raise TypeError(
            f"filter got {array!r} as arrays[{place}], but something with one row for "
            f"each of the {n_samples} samples is needed. Leave it out, or give an "
            "array, frame, series, sparse matrix or list: filter(X, y)."
        )


def _check_same_rows(array: Any, place: int, keep_mask: np.ndarray) -> None:
    """Raise if what was given to `filter` has other rows than the data of fit."""
    try:
        check_consistent_length(array, keep_mask)
    except ValueError as error:
        raise ValueError(
            f"filter wants the {len(keep_mask)} rows that were given to fit, and "
            f"arrays[{place}] has others: {error}. Of new rows none is left out."
        ) from error


def warn_of_far_targets(targets: np.ndarray, kept: np.ndarray) -> None:
    """Warn if flagged targets lie outside the range of those kept."""
    low, high = targets[kept].min(), targets[kept].max()
    n_far = int(((targets < low) | (targets > high)).sum())
    if n_far:
        warn(
            f"{n_far} flagged targets lie outside the range of the kept ones. "
            "fit_transform replaces rows of X and cannot change y, so that they go on "
            "harming the model. Use CleanedRegressor, or fit it on filter(X, y)."
        )
