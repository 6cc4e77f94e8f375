"""Samples that are chosen by number, or by a mask."""

from collections.abc import Iterable

import numpy as np


def as_row_groups(groups: Iterable[Iterable[int]], n_samples: int) -> list[np.ndarray]:
    """Return the row numbers of each group of samples.

    Raises
    ------
    ValueError
        If there is no group, or one is no mask and no row numbers.
    """
    rows_of = [as_sample_rows(group, n_samples) for group in groups]
    if not rows_of:
        raise ValueError("There is nothing to leave out: give one group at least.")
    return rows_of


def as_sample_rows(samples: Iterable[int], n_samples: int) -> np.ndarray:
    """Return the row numbers of samples given as row numbers or as a boolean mask.

    Raises
    ------
    TypeError
        If they are no list.
    ValueError
        If a mask has another length, or a row is no whole number, out of range or
        listed twice.
    """
    if not np.iterable(samples):
        raise TypeError(
            "Samples are given as a list of row numbers or as a boolean mask, got "
            f"{samples!r}. Of a single sample: [{samples!r}]."
        )
    rows = np.asarray(list(samples))
    if rows.dtype == bool:
        if rows.shape != (n_samples,):
            raise ValueError(
                f"The mask of samples has shape {rows.shape}, but there are "
                f"{n_samples} samples."
            )
        return np.flatnonzero(rows)
    if len(rows) == 0:
        return rows.astype(int)
    if rows.dtype.kind not in "iu" or rows.ndim != 1:
        raise ValueError(
            f"Samples are given as row numbers or as a boolean mask, got {rows.dtype} "
            f"of shape {rows.shape}."
        )
    if rows.min() < 0 or rows.max() >= n_samples:
        raise ValueError(
            f"Row numbers must lie in [0, {n_samples}), got {rows.min()} to "
            f"{rows.max()}."
        )
    if len(np.unique(rows)) < len(rows):
        raise ValueError("Samples are listed twice. Give each row number once.")
    return rows.astype(np.int64)
