"""`InfluenceSampler`: the cleaner as a step of imbalanced-learn's pipelines."""

import numpy as np
from sklearn.base import BaseEstimator

from dit_clean.data.inputs import checked_data, warn_of_other_order
from dit_clean.data.tables import is_frame
from dit_clean.data.targets import check_labels, is_classification, plain_labels
from dit_clean.estimators.cleaner_parameter import CleanerParameter
from dit_clean.estimators.failed_fits import unchanged_on_failure

try:
    from imblearn.base import BaseSampler
    from imblearn.utils import check_target_type
except ImportError:

    class BaseSampler(BaseEstimator):  # type: ignore[no-redef]
        """Stand-in where imbalanced-learn is not installed."""

        def fit_resample(self, X, y, **params):
            """Return the rows that are kept."""
            return self._fit_resample(*checked_data(self, X, y), **params)


class InfluenceSampler(CleanerParameter, BaseSampler):
    """Leave out the rows whose labels are probably wrong, by `fit_resample`.

    For ``imblearn.pipeline.Pipeline``, where fewer rows may come out than went in;
    works without imbalanced-learn installed.

    Parameters
    ----------
    cleaner : InfluenceCleaner, FrozenEstimator or None, default=None
        Finds the wrong labels; cloned and fitted, unless it is fitted already, on the
        same data, and wrapped in :class:`sklearn.frozen.FrozenEstimator`.
    random_state : int, RandomState instance or None, default=None
        Seed of the cleaner, unless a given one has a seed of its own.

    Attributes
    ----------
    cleaner_ : InfluenceCleaner
        Fitted cleaner.
    sample_indices_ : ndarray of int, shape (n_kept,)
        Rows that are kept.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from dit_clean import InfluenceCleaner, InfluenceSampler
    >>> X, y = load_iris(return_X_y=True)
    >>> y[:10] = 2  # wrong labels
    >>> sampler = InfluenceSampler(InfluenceCleaner(random_state=0))
    >>> X_clean, y_clean = sampler.fit_resample(X, y)
    >>> len(X_clean) == len(y_clean) == len(sampler.sample_indices_)
    True
    """

    _sampling_type = "clean-sampling"
    _parameter_constraints = {  # noqa: RUF012
        "cleaner": "no_validation",
        "random_state": ["random_state"],
    }
    sampling_strategy = "all"

    def __init__(self, cleaner=None, *, random_state=None):
        self.cleaner = cleaner
        self.random_state = random_state

    def __sklearn_tags__(self):
        """Return imbalanced-learn's tags, where it is installed."""
        tags = super().__sklearn_tags__()
        if hasattr(tags, "sampler_tags"):
            tags.sampler_tags.sample_indices = True
        return tags

    @unchanged_on_failure
    def fit_resample(
        self, X, y, *, X_val=None, y_val=None, sample_weight=None, groups=None
    ):
        """Return the rows that are kept.

        Parameters
        ----------
        X : array, data frame or CSR matrix, first axis n_samples
            Training inputs.
        y : array-like of shape (n_samples,)
            Labels, some of them wrong.
        X_val, y_val, sample_weight, groups : array-like, optional
            For the cleaner's `fit`. Pipelines of imbalanced-learn pass them on with
            metadata routing only (``set_fit_resample_request(groups=True)``): without
            it they drop ``influencesampler__groups`` and say nothing.

        Returns
        -------
        X_kept, y_kept : same containers

        Raises
        ------
        ValueError
            If y is taken for a regression target.
        """
        self._check_are_labels(y)
        params = {
            "X_val": X_val,
            "y_val": y_val,
            "sample_weight": sample_weight,
            "groups": groups,
        }
        # imbalanced-learn takes every data frame for one of pandas.
        if is_frame(X) and not hasattr(X, "iloc"):
            self._fit_resample(*checked_data(self, X, y), **params)
            return self.cleaner_.filter(X, y)
        return super().fit_resample(X, y, **params)

    def _check_X_y(self, X, y):
        """Check the data as imbalanced-learn asks for, leaving data frames as given."""
        warn_of_other_order(X, y)
        y, binarize_y = check_target_type(plain_labels(y), indicate_one_vs_all=True)
        return *checked_data(self, X, y), binarize_y

    def _check_are_labels(self, y):
        """Raise if y holds what imbalanced-learn's samplers are not for."""
        labels = np.asarray(plain_labels(y))
        if labels.ndim != 1:  # it knows one column for each class, too
            return
        check_labels(labels)
        cleaner = getattr(self.cleaner, "estimator", self.cleaner)
        net, task = getattr(cleaner, "net", None), getattr(cleaner, "task", "auto")
        if not is_classification(labels, net, task):
            raise ValueError(
                "InfluenceSampler is for labels, as all samplers of imbalanced-learn, "
                "and y is taken for a regression target. Use CleanedRegressor; if y "
                'holds labels, give InfluenceCleaner(task="classification").'
            )

    def _fit_resample(self, X, y, **params):
        self.cleaner_ = self._fitted_cleaner(X, y, **params)
        self.sample_indices_ = self.cleaner_.sample_indices_
        return self.cleaner_.filter(X, y)
