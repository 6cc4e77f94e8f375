"""Influence of whole groups, and the samples that matter most."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class GroupInfluence:
    """Influence summed over the samples of each group.

    Attributes
    ----------
    names : ndarray of shape (n_groups,)
        Groups, sorted.
    sizes : ndarray of int, shape (n_groups,)
        Samples of each.
    totals : ndarray of shape (..., n_groups)
        Query without the group minus query with it, to first order.
    harmful : ndarray of shape (..., n_groups)
        Share of the group's samples with negative influence.
    """

    names: np.ndarray
    sizes: np.ndarray
    totals: np.ndarray
    harmful: np.ndarray


@dataclass(frozen=True)
class TopSamples:
    """The samples whose removal would change each query most.

    Attributes
    ----------
    harmful, helpful : ndarray of int, shape (..., k)
        Samples whose removal lowers the query (for a loss: harmful) most, and those
        whose removal raises it most, the strongest first.
    harmful_values, helpful_values : ndarray of shape (..., k)
        Their influence.
    """

    harmful: np.ndarray
    helpful: np.ndarray
    harmful_values: np.ndarray
    helpful_values: np.ndarray


def group_influence(influence: ArrayLike, groups: Iterable) -> GroupInfluence:
    """Add up influence by group: what leaving out the whole group would change.

    Parameters
    ----------
    influence : array-like of shape (..., n_samples)
        Influence of each sample.
    groups : array-like of shape (n_samples,)
        Name of each sample's group, such as its label, annotator or source.

    Returns
    -------
    result : GroupInfluence

    Raises
    ------
    ValueError
        If there is not one name for each sample, or a name is missing.

    Notes
    -----
    True to first order: the larger the group, and the more its samples stand in for
    each other, the worse (`leave_out` measures it).

    Examples
    --------
    >>> found = group_influence(np.array([1.0, -3.0, 2.0]), ["a", "b", "a"])
    >>> found.names.tolist(), found.totals.tolist()
    (['a', 'b'], [3.0, -3.0])
    """
    influence = np.asarray(influence)
    names, inverse, sizes = sorted_groups(groups, influence.shape[-1])

    def added(values: np.ndarray) -> np.ndarray:
        return np.apply_along_axis(
            lambda row: np.bincount(inverse, row, len(names)), -1, values
        )

    return GroupInfluence(names, sizes, added(influence), added(influence < 0) / sizes)


def sorted_groups(
    groups: Iterable, n_samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the sorted names, the place of each sample's among them, and the sizes.

    Raises
    ------
    ValueError
        As `group_influence`.
    """
    names = np.asarray(groups)
    if names.shape != (n_samples,):
        raise ValueError(
            f"groups has shape {names.shape}, but there are {n_samples} samples: give "
            "one name per sample."
        )
    try:
        lacks_names = any(map(_is_nothing, groups))
        found = np.unique(names, return_inverse=True, return_counts=True)
    except TypeError:  # text and None, or text and NaN
        lacks_names = True
    if lacks_names:
        raise ValueError(
            "groups has samples without a name, or names of several types. Fill them "
            'first, for example with "unknown".'
        )
    return found


def top_samples(influence: ArrayLike, k: int = 10) -> TopSamples:
    """Return the k most harmful and the k most helpful samples for each query.

    Parameters
    ----------
    influence : array-like of shape (n_samples,) or (n_queries, n_samples)
        Influence of each training sample on a loss, for example from `influence_on`.
        (On a prediction, "harmful" are those that raise it.)
    k : int, default=10
        At most the number of samples.

    Returns
    -------
    top : TopSamples

    Examples
    --------
    >>> top = top_samples(np.array([0.5, -2.0, 3.0, -1.0]), k=1)
    >>> top.harmful.tolist(), top.helpful.tolist()
    ([1], [2])
    """
    influence = np.asarray(influence)
    n_samples = influence.shape[-1]
    if not 1 <= k <= n_samples:
        raise ValueError(f"k={k} must lie between 1 and {n_samples}, the samples.")
    order = np.argsort(influence, axis=-1, kind="stable")
    harmful, helpful = order[..., :k], order[..., ::-1][..., :k]
    return TopSamples(
        harmful,
        helpful,
        np.take_along_axis(influence, harmful, axis=-1),
        np.take_along_axis(influence, helpful, axis=-1),
    )


def _is_nothing(name: Any) -> bool:
    """Tell whether a name is None, NaN, NaT or NA (which has no truth: TypeError)."""
    return name is None or bool(name != name)  # noqa: PLR0124
