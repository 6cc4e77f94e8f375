"""Numeric columns at the scale that networks train well with."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.preprocessing import StandardScaler

MAX_DENSE_VALUES = 64_000_000
"""Larger sparse data stay sparse, keep their zeros and become dense batch by batch."""
SQUASH = 5.0
"""Standard deviations that scaled values approach and never reach: networks train
badly on single huge values, such as incomes, or words that few texts contain."""
FAR = 15.0
"""Interquartile ranges from the median beyond which a value may be an outlier."""
FEW, RARE = 5, 0.01
"""Different outliers at most, and the fraction of rows: slips of a decimal point. More
of them are the tail of what the column measures, unless they are one value: a code of
missing values (-999)."""
RULED = 3.0
"""Outliers rule a column if they make its standard deviation this many times that of
the other values."""


class ColumnScaler(TransformerMixin, BaseEstimator):
    """Brings columns to variance 1, and to mean 0 unless they stay sparse.

    Arrays in and out, whatever ``set_config(transform_output=...)`` says.

    Parameters
    ----------
    squash : bool, default=False
        Whether to squash what is far out. A few outliers then do not count for means
        and standard deviations, which would leave the other values all alike.
    """

    def __init__(self, squash=False):
        self.squash = squash

    def fit(self, X, y=None):
        """Read off means and standard deviations."""
        stays_sparse = sparse.issparse(X) and np.prod(X.shape) > MAX_DENSE_VALUES
        scaler = StandardScaler(with_mean=not stays_sparse)
        values = X if stays_sparse else np.asarray(dense_values(X))
        if self.squash and not stays_sparse:
            values = without_outliers(values)
        with np.errstate(over="ignore", invalid="ignore"):
            self.scaler_ = scaler.set_output(transform="default").fit(values)
        broken = np.flatnonzero(~np.isfinite(self.scaler_.var_))
        if len(broken):
            largest = abs(values[:, [broken[0]]]).max()
            raise ValueError(
                f"A column of numbers ({broken[0]}, counted among these) holds values "
                f"up to {largest:.3g}, too large to be scaled. If that means that they "
                "are missing, give NaN in a data frame."
            )
        return self

    def transform(self, X):
        """Return the scaled values, shape (n_samples, n_columns)."""
        values = np.asarray(dense_values(X)) if self.scaler_.with_mean else X
        scaled = self.scaler_.transform(values)
        return squashed(scaled) if self.squash else scaled


def without_outliers(values: np.ndarray) -> np.ndarray:
    """Return columns with NaN for outliers that rule their scale, if there are any.

    Examples
    --------
    >>> column = np.array([[0.1, 0.4, -0.2, 0.3, -0.5, 0.7, 0.2, -999.0]]).T
    >>> int(np.isnan(without_outliers(column)).sum())
    1
    """
    found = {i: _outliers(column) for i, column in enumerate(values.T)}
    found = {i: rows for i, rows in found.items() if len(rows)}
    if found:
        values = values.astype(np.result_type(values, np.float32))
    for i, rows in found.items():
        values[rows, i] = np.nan
    return values


def _outliers(column: np.ndarray) -> np.ndarray:
    """Return the rows of a code on either side, or of slips, that rule the scale."""
    low, middle, high = np.quantile(column.astype(np.float64), [0.25, 0.5, 0.75])
    is_far = np.abs(column - middle) > FAR * (high - low)
    rows = np.flatnonzero(is_far)
    if low == high or not len(rows):
        return rows[:0]
    values = np.unique(column[rows])
    are_codes = all(len(values[side]) <= 1 for side in (values < low, values > high))
    are_slips = len(values) <= FEW and len(rows) <= RARE * len(column)
    if not (are_codes or are_slips):
        return rows[:0]
    with np.errstate(over="ignore", invalid="ignore"):
        rule = RULED * column[~is_far].std() < column.std() < np.inf
    return rows if rule else rows[:0]


class FlatScaler(TransformerMixin):
    """Brings an N-d array to mean 0 and variance 1 as a whole, one row per sample."""

    def fit(self, X: np.ndarray, y: Any = None) -> "FlatScaler":
        """Read off mean and standard deviation."""
        X, self.shape_ = _at_least_single(X), X.shape[1:]
        with np.errstate(over="ignore", invalid="ignore"):
            self.mean_, self.scale_ = X.mean(), X.std() or 1.0
        if not np.isfinite(self.scale_):
            raise ValueError(
                f"X holds values up to {abs(X).max():.3g}, too large to be scaled."
            )
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the scaled values, shape (n_samples, n_values)."""
        if X.shape[1:] != self.shape_:
            raise ValueError(
                f"X has samples of shape {X.shape[1:]}, but fit saw {self.shape_}."
            )
        X = _at_least_single(X)
        return ((X - self.mean_) / self.scale_).reshape(len(X), -1)


def squashed(values: Any) -> Any:
    """Return z / sqrt(1 + (z / 5)^2) of scaled values: as they are near 0, within +-5.

    The smooth clipping of Holzmüller, Grinsztajn and Steinwart, "Better by default:
    strong pre-tuned MLPs and boosted trees on tabular data" (2024).

    Parameters
    ----------
    values : ndarray or sparse matrix
        In standard deviations; zeros stay zeros.
    """
    if sparse.issparse(values):
        values = values.copy()
        values.data = squashed(values.data)
        return values
    return values / np.hypot(1, values / SQUASH)


def _at_least_single(X: np.ndarray) -> np.ndarray:
    """Return half precision as single, because sums of squares leave its range."""
    return X.astype(np.float32) if X.dtype == np.float16 else X


def dense_values(X: Any) -> Any:
    """Return a sparse matrix as an array, all else as it is."""
    return X.toarray() if sparse.issparse(X) else X
