"""Tables as numbers: what goes into the default network, and rows of any container."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf
from numbers import Real
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder
from sklearn.utils.validation import check_is_fitted, validate_data

from dit_clean.checks import check_parameters, is_one_of
from dit_clean.data.columns import (
    check_kinds,
    column_values,
    is_named,
    kinds_of,
    places_of,
)
from dit_clean.data.scalers import ColumnScaler, FlatScaler, dense_values

PARAMETERS = {"scaling": is_one_of("standard", "squashed", None)}
MATRIX_AXES = 2
MIN_ROWS = 3
"""Rows that a value needs for a one-hot column of its own, in columns with many."""
MAX_CATEGORIES = 1000
"""One-hot columns of a categorical column at most; rarer values share one."""


def is_frame(X: Any) -> bool:
    """Tell whether X is a data frame (pandas or polars)."""
    return hasattr(X, "columns") and hasattr(X, "dtypes") and hasattr(X, "shape")


def only_counts(index: Any) -> bool:
    """Tell whether an index of pandas only counts the rows, from 0."""
    return list(index) == list(range(len(index)))


# No wrapped output, which `set_output` refuses where it is sparse.
class TableEncoder(  # type: ignore[call-arg]
    OneToOneFeatureMixin, TransformerMixin, BaseEstimator, auto_wrap_output_keys=None
):
    """Turn whatever table comes in into float numbers.

    Data frames (pandas, polars): categories become one-hot columns (missing values a
    category of their own), missing numbers the column's median. In a column with more
    than 50 categories, those of fewer than 3 rows share one. Arrays and sparse
    matrices are numbers already; sparse ones become dense while that takes at most 64
    million values. Data with more than two axes (images) are scaled as a whole and
    flattened.

    Parameters
    ----------
    scaling : {"standard", "squashed", None}, default="standard"
        Whether to bring numeric columns to mean 0 and variance 1, and then to squash
        what is far out, as is good for networks (see `ColumnScaler`). With None,
        arrays stay as they are.

    Attributes
    ----------
    encoder_ : transformer
        What was fitted for the kind of data given.
    empty_ : data frame or None
        Zero-row copy of the frame given to fit; arrays are taken for further rows of
        it.
    n_features_in_, feature_names_in_
        As in scikit-learn.
    """

    def __init__(self, scaling="standard"):
        self.scaling = scaling

    def fit(self, X, y=None):
        """Choose and fit the encoding for X.

        Parameters
        ----------
        X : data frame, ndarray or sparse matrix, first axis n_samples
            Training inputs.
        y : None
            Not used.

        Returns
        -------
        self : TableEncoder

        Raises
        ------
        TypeError
            If a column is neither numeric nor categorical: names it.
        """
        check_parameters(self, PARAMETERS)
        validate_data(self, X, skip_check_array=True)
        with _explained(X):
            self.encoder_ = self._make_encoder(X).fit(X)
        self.empty_ = X[:0] if is_frame(X) else None
        return self

    def transform(self, X):
        """Return X as numbers.

        Parameters
        ----------
        X : data frame, ndarray or sparse matrix
            Like the X given to fit.

        Returns
        -------
        numbers : ndarray or sparse matrix, first axis n_samples
        """
        check_is_fitted(self)
        if self.empty_ is not None:
            X = self._checked(X)
        with _explained(X):
            return self.encoder_.transform(X)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the numbers: columns of numbers, then of categories.

        Parameters
        ----------
        input_features : array-like of str, optional
            Names for arrays, which have none.

        Returns
        -------
        names : ndarray of str, shape (n_numbers,)

        Raises
        ------
        ValueError
            If samples are images: these have no columns.
        """
        check_is_fitted(self)
        if isinstance(self.encoder_, FlatScaler):
            raise ValueError("Images have no columns, nor names of them.")
        if self.empty_ is None:
            return super().get_feature_names_out(input_features)
        places = self.encoder_.transformers_[0][2]
        names = [str(self.empty_.columns[place]) for place in places]
        for _, one_hot, columns in self._one_hot():
            names += list(one_hot.get_feature_names_out(list(map(str, columns))))
        return np.array(names, dtype=object)

    def check_kinds(self, X) -> None:
        """Raise if columns hold text where fit saw numbers, or the reverse.

        Parameters
        ----------
        X : data frame, ndarray or sparse matrix
            Further rows; of frames alone fit knows what columns hold.

        Raises
        ------
        ValueError, TypeError
            Names the columns, what they hold and what they should.
        """
        if self.empty_ is not None:
            self._checked(X)

    def categories(self) -> dict[Any, np.ndarray]:
        """Return the values each column of categories held in `fit`, by its name."""
        return {
            name: values
            for _, one_hot, names in self._one_hot()
            for name, values in zip(names, one_hot.categories_, strict=True)
        }

    def named_categories(self) -> list[Any]:
        """Return the columns whose dtype says that values are names of categories."""
        if self.empty_ is None:
            return []
        columns = zip(self.empty_.columns, self.empty_.dtypes, strict=True)
        return [name for name, dtype in columns if is_named(dtype)]

    def shared_rows(self, X) -> dict[Any, float]:
        """Return the fraction of rows whose value shares a one-hot column, by name.

        Columns without such values are left out.

        Parameters
        ----------
        X : data frame
            The one given to fit.
        """
        shared = {}
        for alike, one_hot, names in self._one_hot():
            rows = alike.transform(X[names])
            pairs = zip(names, one_hot.infrequent_categories_, strict=True)
            for i, (name, rare) in enumerate(pairs):
                if rare is not None:
                    values = set(rare)
                    is_shared = [value in values for value in rows[:, i]]
                    shared[name] = float(np.mean(is_shared))
        return shared

    def __sklearn_tags__(self):
        """Return the tags: sparse input, and no NaN in arrays."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _checked(self, X: Any) -> Any:
        """Return further rows of a frame as a frame, or raise: see `check_kinds`."""
        kinds = self._kinds()
        if is_frame(X):
            check_kinds(X, self.empty_, kinds)
            return X
        X = X if hasattr(X, "dtype") else np.asarray(X)
        if X.dtype.kind in "biuf" and "str" in kinds:
            raise ValueError(
                "X is an array of numbers, but fit saw a data frame with columns of "
                "text. Give a data frame."
            )
        return _framed(X, self.empty_)

    def _kinds(self) -> list[str]:
        """Return "number", "str" or "" (nothing but gaps) for each column of fit."""
        categories = self.categories()
        return [
            next(iter(kinds_of(categories[name])), "")
            if name in categories
            else "number"
            for name in self.empty_.columns
        ]

    def _one_hot(self) -> list[tuple[Any, Any, list[Any]]]:
        """Return what encodes categories: two steps, and the names of the columns."""
        if self.empty_ is None:
            return []
        return [
            (pipeline[0], pipeline[-1], [self.empty_.columns[i] for i in places])
            for _, pipeline, places in self.encoder_.transformers_[1:3]
            if len(places)
        ]

    def _make_encoder(self, X: Any) -> Any:
        if self.scaling is None:
            scaler = FunctionTransformer(dense_values, accept_sparse=True)
            unscaled = FunctionTransformer(accept_sparse=True)
            unscaled.set_output(transform="default")
            return _frame_encoder(X, scaler) if is_frame(X) else unscaled
        scaler = ColumnScaler(squash=self.scaling == "squashed")
        if is_frame(X):
            return _frame_encoder(X, scaler)
        return FlatScaler() if X.ndim > MATRIX_AXES else scaler


def select_rows(container: Any, rows: np.ndarray) -> Any:
    """Return the given rows of an array, frame, series, sparse matrix or sequence.

    Parameters
    ----------
    container : array-like
        First axis: samples.
    rows : ndarray of int, shape (n_rows,)
        Row numbers.
    """
    if hasattr(container, "iloc"):
        return container.iloc[rows]
    if sparse.issparse(container) and container.format in ("bsr", "coo", "dia"):
        container = container.tocsr()
    if type(container).__module__.startswith("pyarrow."):
        return container.take(rows)
    if isinstance(container, Sequence):
        kept = [container[row] for row in rows]
        return tuple(kept) if isinstance(container, tuple) else kept
    return container[rows]


def _framed(X: Any, empty: Any) -> Any:
    """Return an array as a frame with the columns of another one."""
    X = dense_values(X)
    if hasattr(empty, "iloc"):
        return type(empty)(X, columns=empty.columns)
    return type(empty)(np.asarray(X), schema=list(empty.columns))


def _frame_encoder(X: Any, scaler: Any) -> ColumnTransformer:
    numeric, few, many = places_of(X)
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        sparse_output=False,
        dtype=np.float32,
    )
    without_rare = clone(one_hot).set_params(min_frequency=MIN_ROWS)
    alike, as_floats = (
        FunctionTransformer(function).set_output(transform="default")
        for function in (_with_one_nan, _objects_as_floats)
    )
    return ColumnTransformer(
        [
            # Sparse columns of a frame come out of the imputer as a sparse matrix.
            ("numbers", make_pipeline(as_floats, impute, scaler), numeric),
            ("categories", make_pipeline(alike, one_hot), few),
            ("many categories", make_pipeline(clone(alike), without_rare), many),
        ],
        sparse_threshold=0,
    )


@contextmanager
def _explained(X: Any) -> Iterator[None]:
    """Add the name of the column, or the remedy, to messages of other libraries."""
    try:
        yield
    except ValueError as error:
        if "fill value must be 0" in str(error):
            raise ValueError(
                "The numbers of X are sparse columns whose cells are NaN where nothing "
                "is stored, not 0. If that means 0, convert them by .fillna(0).astype("
                "pandas.SparseDtype(float, 0)); if it means a missing value, by "
                ".sparse.to_dense()."
            ) from error
        if "contains infinity" not in str(error) or not is_frame(X):
            raise
        for i, name in enumerate(X.columns):
            if any(isinstance(v, Real) and abs(v) == inf for v in column_values(X, i)):
                raise ValueError(
                    f"Column {name!r} holds infinity. If that means that values are "
                    "missing, give NaN."
                ) from error
        raise


def _with_one_nan(X: Any) -> np.ndarray:
    """Return the columns of a frame as objects, with NaN for whatever is missing.

    Frames write missing values as None, NaN or NA, each a category of its own.
    """
    values = np.empty(X.shape, dtype=object)
    for i in range(X.shape[1]):
        values[:, i] = column_values(X, i)
    nothing = np.array(None, dtype=object)
    is_pandas = hasattr(X, "isna")
    values[np.asarray(X.isna()) if is_pandas else values == nothing] = np.nan
    return values


def _objects_as_floats(X: Any) -> Any:
    """Return a frame of numbers with those among Python objects as floats (pandas)."""
    kinds = [getattr(dtype, "kind", "") for dtype in X.dtypes]
    objects = [i for i, kind in enumerate(kinds) if kind == "O"]
    if not objects or not hasattr(X, "iloc"):
        return X
    numbers = X.copy()
    for i in objects:
        numbers.isetitem(i, _with_one_nan(X.iloc[:, [i]])[:, 0].astype(np.float64))
    return numbers
