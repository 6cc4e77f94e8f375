"""Tables as numbers: what goes into the default network, and rows of any container."""

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

MATRIX_AXES = 2
MAX_CATEGORIES = 50
"""One-hot columns of a categorical column at most; rarer values share one."""


def is_frame(X: Any) -> bool:
    """Tell whether X is a data frame (pandas or polars)."""
    return hasattr(X, "columns") and hasattr(X, "dtypes") and hasattr(X, "shape")


def make_encoder(X: Any, *, scale: bool) -> TransformerMixin:
    """Return an unfitted transformer of X into float numbers.

    Parameters
    ----------
    X : data frame, ndarray or sparse matrix of shape (n_samples, ...)
        Frames: categories become one-hot columns (missing values a category of their
        own), missing numbers the column's median.
    scale : bool
        Whether to bring numeric columns to mean 0 and variance 1; sparse columns keep
        their zeros. Data with more than two axes (images) are scaled as a whole and
        flattened.

    Raises
    ------
    TypeError
        If a column is neither numeric nor categorical: names it.
    """
    if is_frame(X):
        return _frame_encoder(X, scale)
    if not scale:
        return FunctionTransformer(accept_sparse=True)
    if X.ndim > MATRIX_AXES:
        return FlatScaler()
    return StandardScaler(with_mean=not sparse.issparse(X))


class FlatScaler(TransformerMixin):
    """Brings an N-d array to mean 0 and variance 1 as a whole, one row per sample."""

    def fit(self, X: np.ndarray, y: Any = None) -> "FlatScaler":
        """Read off mean and standard deviation."""
        self.mean_, self.scale_ = X.mean(), X.std() or 1.0
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the scaled values, shape (n_samples, n_values)."""
        return ((X - self.mean_) / self.scale_).reshape(len(X), -1)


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
    if isinstance(container, list | tuple):
        return [container[row] for row in rows]
    return container[rows]


def _frame_encoder(X: Any, scale: bool) -> ColumnTransformer:
    numeric: list[int] = []
    categorical: list[int] = []
    for i, dtype in enumerate(X.dtypes):
        (numeric if _is_numeric(dtype, X.columns[i]) else categorical).append(i)
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    numbers = make_pipeline(impute, StandardScaler()) if scale else impute
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        sparse_output=False,
    )
    return ColumnTransformer(
        [("numbers", numbers, numeric), ("categories", one_hot, categorical)],
        sparse_threshold=0,
    )


def _is_numeric(dtype: Any, name: Any) -> bool:
    """Tell numbers from categories, for the dtypes of pandas and polars."""
    if hasattr(dtype, "is_temporal"):
        temporal = dtype.is_temporal()
        numeric = dtype.is_numeric() or str(dtype) == "Boolean"
    else:
        kind = getattr(dtype, "kind", "O")
        temporal, numeric = kind in "mM", kind in "biuf"
    if temporal:
        raise TypeError(
            f"Column {name!r} holds dates or durations ({dtype}), which the default "
            "network cannot read. Turn it into numbers first, for example days since "
            "a date, or use skrub.TableVectorizer() before."
        )
    return numeric
