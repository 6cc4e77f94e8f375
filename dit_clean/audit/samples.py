"""The user's own columns and rows, whatever container they came in."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from scipy import sparse

from dit_clean.data.inputs import warn_of_other_order
from dit_clean.data.tables import MATRIX_AXES, is_frame
from dit_clean.gaps import is_missing

AS_DICT = "Columns that are not in X are given as a dict: columns={{{name!r}: values}}."


def is_polars(X: Any) -> bool:
    """Tell whether X is a polars data frame."""
    return type(X).__module__.partition(".")[0] == "polars"


def column_names(X: Any) -> list[str]:
    """Return the names of the columns of a table; [] where X is no table."""
    if is_frame(X):
        return [str(name) for name in X.columns]
    if not hasattr(X, "shape") or len(X.shape) != MATRIX_AXES:
        return []
    return [f"x{i}" for i in range(X.shape[1])]


def own_columns(X: Any, columns: Any, n_samples: int) -> dict[str, Any]:
    """Return the columns that a user asked for, by name.

    Parameters
    ----------
    X : array, data frame or sparse matrix
        As given to fit.
    columns : None, str, sequence of str, mapping or data frame
        Names of columns of X (x0, x1, ... for arrays), or columns kept elsewhere: for
        example ``{"text": texts}``.
    n_samples : int
        Length that every column must have.

    Raises
    ------
    ValueError
        If a name is unknown, or a column has another length.

    Warns
    -----
    UserWarning
        If columns kept elsewhere have the index labels of X in another order.
    """
    if columns is None:
        return {}
    columns = as_name(X, columns)
    if isinstance(columns, str):
        columns = [columns]
    if isinstance(columns, Mapping) or is_frame(columns):
        names = columns.keys() if isinstance(columns, Mapping) else columns.columns
        found = {str(name): columns[name] for name in names}
    else:
        found = {name: named_column(X, name, AS_DICT) for name in map(str, columns)}
    for name, column in found.items():
        if not hasattr(column, "__len__"):
            raise TypeError(
                f"Column {name!r} is {column!r}. Give one value for each row."
            )
        if len(column) != n_samples:
            raise ValueError(
                f"Column {name!r} has {len(column)} rows, but the cleaner was fitted "
                f"on {n_samples}. Give one value for each row, in the same order."
            )
    _warn_of_order(X, columns)
    return found


def _warn_of_order(X: Any, columns: Any) -> None:
    warn_of_other_order(X, columns, ("X", "columns"))
    if isinstance(columns, Mapping):
        for name, column in columns.items():
            warn_of_other_order(X, column, ("X", f"columns[{name!r}]"))


def cells(column: Any) -> list[Any]:
    """Return a column as a list of Python values."""
    for name in ("to_list", "to_pylist"):  # of pandas and polars, of Arrow
        if hasattr(column, name):
            return list(getattr(column, name)())
    if not hasattr(column, "dtype"):
        return list(column)
    return in_microseconds(np.asarray(column)).tolist()


def in_microseconds(values: Any) -> Any:
    """Return dates and durations in the unit that Python has, all else as it is.

    Finer ones would become whole numbers.
    """
    is_time = values.dtype.kind in "mM"
    return values.astype(f"{values.dtype.kind}8[us]") if is_time else values


def row_of(X: Any, row: int) -> list[Any]:
    """Return the values of one row of a table."""
    if is_polars(X):
        return list(X.row(row))
    if is_frame(X):
        return list(X.iloc[row])
    if sparse.issparse(X):
        return X[[row]].toarray()[0].tolist()
    return np.asarray(X[row]).tolist()


def is_text(samples: Any) -> bool:
    """Tell whether samples are a sequence of strings, some of them missing perhaps."""
    if not hasattr(samples, "__len__") or getattr(samples, "ndim", 1) != 1:
        return False
    known = [value for value in cells(samples) if not is_missing(value)]
    return len(known) > 0 and all(isinstance(value, str) for value in known)


def as_name(X: Any, given: Any) -> Any:
    """Return what names a column of X as text, all else as it is."""
    is_name = isinstance(given, Hashable) and str(given) in column_names(X)
    return str(given) if is_name else given


def named_column(X: Any, name: str, otherwise: str) -> Any:
    """Return a column of a table, or raise and say how `otherwise` it is given."""
    names = column_names(X)
    if name not in names:
        known = ", ".join(names[:20]) or "none, since X is no table"
        raise ValueError(
            f"X has no column {name!r}. Its columns: {known}. "
            f"{otherwise.format(name=name)}"
        )
    place = names.index(name)
    if is_polars(X):
        return X.to_series(place)
    if is_frame(X):
        return X.iloc[:, place]
    return X[:, [place]].toarray()[:, 0] if sparse.issparse(X) else X[:, place]
