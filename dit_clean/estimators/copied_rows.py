"""Duplicate rows: a wrong label that was copied supports itself."""

from collections.abc import Iterator
from hashlib import blake2b
from math import comb
from typing import Any

import numpy as np
from scipy import sparse

from dit_clean.crossfit import TrainingData
from dit_clean.warning import warn

MIN_SHARE = 0.05
"""Share of the rows from which on a warning speaks of copies."""
BY_CHANCE = 3e-4
"""Share of the pairs of like rows that independent columns may account for: columns
that depend on each other account for more."""


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
    for row, digest in enumerate(_digests(data.rows)):
        rows_of.setdefault(digest, []).append(row)
    copies = [rows for rows in rows_of.values() if _are_apart(rows, data.groups)]
    n_rows, n_copies = len(data.targets.given), sum(map(len, copies))
    if n_copies < MIN_SHARE * n_rows:
        return
    n_pairs = sum(comb(len(rows), 2) for rows in copies)
    distinct = np.array([rows[0] for rows in rows_of.values()])
    most = BY_CHANCE * n_pairs / comb(n_rows, 2)
    if _may_be_alike(data.rows, distinct, most):
        return
    first, second = copies[0][:2]
    apart = ", of different groups," if data.groups is not None else ""
    warn(
        f"{n_copies} of {n_rows} rows are like another one{apart} in all that the "
        f"network sees, rows {first} and {second} for example. If they are copies, a "
        "wrong label that was copied too is hardly found: the network that judges one "
        "has learned it from the other. Drop copies, or hold them out together: give "
        "groups, a row and its copies in one.",
        CopiedRowsWarning,
    )


def _digests(rows: Any) -> Iterator[bytes]:
    """Yield a digest of what is in each row."""
    if not sparse.issparse(rows):
        yield from (blake2b(row, digest_size=16).digest() for row in np.asarray(rows))
        return
    rows = sparse.csr_array(rows, copy=True)
    rows.sum_duplicates()
    for start, stop in zip(rows.indptr, rows.indptr[1:], strict=False):
        digest = blake2b(rows.indices[start:stop], digest_size=16)
        digest.update(rows.data[start:stop])
        yield digest.digest()


def _are_apart(rows: list[int], groups: np.ndarray | None) -> bool:
    """Tell whether rows may come to be in different folds."""
    return len(set(rows if groups is None else groups[rows].tolist())) > 1


def _may_be_alike(rows: Any, distinct: np.ndarray, most: float) -> bool:
    """Tell whether two rows are alike by chance more often than `most`.

    As if columns were independent, with the values that they have in `distinct` rows.
    """
    alike = 1.0
    for values in _columns(rows, distinct):
        _, counts = np.unique(values, return_counts=True)
        alike *= float(np.square(counts / len(values)).sum())
        if alike <= most:
            return False
    return True


def _columns(rows: Any, distinct: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the columns of some rows; of sparse ones where they are not 0."""
    if sparse.issparse(rows):
        held = sparse.csc_array(rows[distinct] != 0)
        for column in range(held.shape[1]):
            yield held[:, [column]].toarray()[:, 0]
        return
    yield from np.asarray(rows).reshape(len(rows), -1)[distinct].T
