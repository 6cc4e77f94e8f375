"""Rows that are copies of others: what is wrong with one is vouched for by the next."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from dit_clean.crossfit import TrainingData
from dit_clean.tables import MATRIX_AXES
from dit_clean.warning import warn

MIN_SHARE = 0.05
"""Share of the rows from which on copies are spoken of."""
MANY_COLUMNS = 50
"""From as many columns on, rows are not alike by chance."""
MIN_VALUES = 20
"""A column of fewer values tells no rows apart."""


class CopiedRowsWarning(UserWarning):
    """Many rows of X are copies of others."""


def warn_of_copied_rows(data: TrainingData) -> None:
    """Warn of copies that are not held out together, unless chance may make them.

    Parameters
    ----------
    data : TrainingData
        Rows are compared as the networks take them.

    Warns
    -----
    CopiedRowsWarning
        Names two rows.
    """
    rows_of: dict[bytes, list[int]] = {}
    for row, content in enumerate(_contents(data.rows)):
        rows_of.setdefault(content, []).append(row)
    copies = [rows for rows in rows_of.values() if _are_apart(rows, data.groups)]
    n_rows, n_copies = len(data.targets.given), sum(map(len, copies))
    if n_copies < MIN_SHARE * n_rows or _may_be_chance(data, len(rows_of)):
        return
    first, second = copies[0][:2]
    warn(
        f"{n_copies} of {n_rows} rows are like another one in all that the network "
        f"sees, rows {first} and {second} for example. If they are copies, a wrong "
        "label that was copied too is hardly found: the network that judges one has "
        "learned it from the other. Drop copies, or hold them out together: "
        "fit(..., groups=...), with one number for a row and its copies, in pandas "
        "X.groupby([*X], dropna=False).ngroup().",
        CopiedRowsWarning,
    )


def _contents(rows: Any) -> Iterator[bytes]:
    """Yield what is in each row."""
    if not sparse.issparse(rows):
        yield from (row.tobytes() for row in np.asarray(rows))
        return
    rows = sparse.csr_array(rows, copy=True)
    rows.sum_duplicates()
    for start, stop in zip(rows.indptr, rows.indptr[1:], strict=False):
        yield b"".join(part[start:stop].tobytes() for part in (rows.indices, rows.data))


def _are_apart(rows: list[int], groups: np.ndarray | None) -> bool:
    """Tell whether rows may come to be in different folds."""
    return len(set(rows if groups is None else groups[rows].tolist())) > 1


def _may_be_chance(data: TrainingData, n_distinct: int) -> bool:
    """Tell whether rows have few values to be told by: categories, whole numbers.

    Chance makes no copies where two columns tell most of the distinct rows apart, each
    by itself.
    """
    if len(data.X.shape) != MATRIX_AXES or data.X.shape[1] >= MANY_COLUMNS:
        return False
    if sparse.issparse(data.rows):
        return True
    columns = np.asarray(data.rows).T
    enough = max(MIN_VALUES, n_distinct / 2)
    telling = [column for column in columns if len(np.unique(column)) >= enough]
    return len(telling) <= 1
