"""Kept rows that stand in for flagged ones, so that data stay aligned with y."""

import numpy as np


def replacement_rows(keep: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each row the row to use: itself if kept, else one with its label.

    Stand-ins are taken from the kept rows of the class in turn, so that none is
    repeated more often than needed.

    Parameters
    ----------
    keep : ndarray of bool, shape (n_samples,)
        True = kept.
    labels : ndarray of shape (n_samples,)
        Given labels.

    Returns
    -------
    rows : ndarray of int, shape (n_samples,)

    Examples
    --------
    >>> replacement_rows(np.array([True, False, True, False]), np.array([0, 0, 0, 0]))
    array([0, 0, 2, 2])
    """
    rows = np.arange(len(keep))
    for label in np.unique(labels[~keep]):
        flagged = np.flatnonzero(~keep & (labels == label))
        kept = np.flatnonzero(keep & (labels == label))
        turns = np.arange(len(flagged)) * max(len(kept) // len(flagged), 1)
        rows[flagged] = kept[turns % len(kept)]
    return rows


def nearest_target_rows(keep: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return for each row the row to use: itself if kept, else the nearest in target.

    Parameters
    ----------
    keep : ndarray of bool, shape (n_samples,)
        True = kept.
    targets : ndarray of shape (n_samples,)
        Given regression targets.

    Returns
    -------
    rows : ndarray of int, shape (n_samples,)

    Examples
    --------
    >>> nearest_target_rows(np.array([True, False, True]), np.array([0.0, 0.9, 1.0]))
    array([0, 2, 2])
    """
    rows = np.arange(len(keep))
    kept = np.flatnonzero(keep)
    order = kept[np.argsort(targets[kept], kind="stable")]
    place = np.searchsorted(targets[order], targets[~keep])
    above = order[np.minimum(place, len(order) - 1)]
    below = order[np.maximum(place - 1, 0)]
    closer = np.abs(targets[below] - targets[~keep]) <= np.abs(
        targets[above] - targets[~keep]
    )
    rows[~keep] = np.where(closer, below, above)
    return rows
