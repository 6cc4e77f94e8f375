"""The audit table: one row per sample."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.extras import require
from dit_clean.audit.samples import cells, is_polars, own_columns
from dit_clean.gaps import is_missing

TAKEN = ("verdict", "corrected_label")
"""Names of what a review adds."""
COLUMNS = (
    "row",
    "label",
    "suggested_label",
    "suspicion",
    "influence",
    "margin",
    "flagged",
    "weight",
    "pattern",
)
HIGHEST_FIRST = ("suspicion", "flagged")


def audit_columns(data: AuditData) -> dict[str, np.ndarray]:
    """Return the columns that every audit table has, in the order of X."""
    columns = (
        np.arange(data.n_samples),
        data.labels,
        data.suggested,
        data.suspicion,
        data.influence,
        data.margin,
        data.flagged,
        data.weight,
        data.patterns,
    )
    return dict(zip(COLUMNS, columns, strict=True))


def audit_table(
    data: AuditData,
    *,
    sort: str | None = None,
    flagged: bool | None = None,
    columns: Any = None,
) -> Any:
    """Return the audit table, a polars frame if X is one, else a pandas frame.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    sort, flagged, columns
        As in `AuditMixin.audit`; missing values are sorted last.

    Raises
    ------
    ValueError
        If `sort` or `columns` name no column, or `flagged` is something else.
    ImportError
        If pandas is needed and not installed.
    """
    # Before influence is read, which may take as long as the training.
    found = own_columns(data.X, columns, data.n_samples)
    own = {k: _as_array(v) for k, v in named_apart(found.items(), COLUMNS).items()}
    if not isinstance(flagged, bool | np.bool_ | None):
        raise ValueError(f"flagged={flagged!r} is none of None, True and False.")
    _check_sort(sort, [*COLUMNS, *own])
    table = audit_columns(data) | own
    rows = np.arange(data.n_samples)
    if sort is not None:
        rows = _order(table, sort)
    if flagged is not None:
        rows = rows[data.flagged[rows] == flagged]
    if is_polars(data.X):
        polars = require("polars", "The audit of a polars frame")
        return polars.DataFrame({k: cells(v[rows]) for k, v in table.items()})
    pandas = require("pandas", "The audit table")
    index = pandas.Index(rows) if data.index is None else data.index[rows]
    return pandas.DataFrame({k: v[rows] for k, v in table.items()}, index=index)


def named_apart(
    columns: Iterable[tuple[str, Any]], others: Iterable[str]
) -> dict[str, Any]:
    """Return the user's columns by names that no other column of a table has."""
    named: dict[str, Any] = {}
    for given, values in columns:
        name = given
        while name in {*others, *TAKEN, *named}:
            name = f"{name} (X)"
        named[name] = values
    return named


def _as_array(column: Any) -> np.ndarray:
    """Return a column as an array, whole numbers with gaps as objects.

    numpy makes floats of them, which hold 16 digits of an identifier.
    """
    values = np.asarray(column)
    is_whole = str(getattr(column, "dtype", "")).lower().startswith(("int", "uint"))
    if values.dtype.kind != "f" or not is_whole:
        return values
    return np.array(cells(column), dtype=object)


def _check_sort(sort: Any, names: list[str]) -> None:
    if sort is not None and not (isinstance(sort, str) and sort in names):
        raise ValueError(
            f"The audit table has no column {sort!r}. Its columns: {', '.join(names)}."
        )


def _order(table: dict[str, np.ndarray], sort: str) -> np.ndarray:
    values = table[sort]
    if sort in HIGHEST_FIRST:
        values = -values.astype(np.float64)
    if values.dtype.kind == "O":
        known = np.array([not is_missing(value) for value in values])
        ranks = np.full(len(values), len(values))
        try:
            ranks[known] = np.unique(values[known], return_inverse=True)[1]
        except TypeError as error:
            raise ValueError(
                f"The column {sort!r} holds values of several types, which have no "
                "order. Sort by another column, or turn it into strings first."
            ) from error
        values = ranks
    return np.argsort(values, kind="stable")
