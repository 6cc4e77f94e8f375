"""Influence of whole groups, and the samples that matter most."""

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from dit_clean.gaps import is_missing


@dataclass(frozen=True)
class GroupInfluence:
    """Influence summed over the samples of each group.

    Attributes
    ----------
    names : ndarray of shape (n_groups,)
        Groups, sorted; those that cannot be sorted in the order of their first samples.
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


def numbered_groups(groups: Any, n_samples: int) -> tuple[list[Any], np.ndarray]:
    """Return the distinct groups, and for each sample the number of its own.

    Parameters
    ----------
    groups : iterable of n_samples entries
        Numbers, texts, dates, tuples or whatever else can be told apart, mixed as well.
    n_samples : int
        Entries needed.

    Returns
    -------
    names : list
        Groups in the order of their first samples.
    numbers : ndarray of int, shape (n_samples,)
        Places in `names`.

    Raises
    ------
    ValueError
        If there is not one entry for each sample, or some are missing.
    """
    entries = _entries(groups, n_samples)
    missing = [row for row, entry in enumerate(entries) if is_missing(entry)]
    if missing:
        raise ValueError(
            f"groups has no entry in {len(missing)} of {n_samples} rows (first: row "
            f"{missing[0]}). Give each of them a group, of its own if it belongs to no "
            "other row."
        )
    places: dict[Any, int] = {}
    numbers = [places.setdefault(entry, len(places)) for entry in entries]
    return list(places), np.array(numbers, dtype=int)


def _entries(groups: Any, n_samples: int) -> list[Any]:
    """Return one entry for each sample, as they are given, or raise."""
    if isinstance(groups, str):
        raise ValueError(
            f"groups={groups!r}, but one entry for each of the {n_samples} samples is "
            f"needed: give the column itself, groups=X[{groups!r}]."
        )
    is_column = len(getattr(groups, "shape", (n_samples,))) == 1
    # No array of them: numpy makes texts of numbers and gaps that are among texts.
    entries = [_plain(entry) for entry in groups] if np.iterable(groups) else [[]]
    if not (is_column and all(map(_can_be_told_apart, entries))):
        raise ValueError(
            "groups must be one column: one number, text or tuple for each of the "
            f"{n_samples} samples."
        )
    if len(entries) != n_samples:
        raise ValueError(
            f"groups has {len(entries)} entries, but one for each of the {n_samples} "
            "samples is needed."
        )
    return entries


def _plain(entry: Any) -> Any:
    """Return an entry that libraries have wrapped as Python has it."""
    if entry is np.ma.masked:
        return None
    if hasattr(entry, "as_py"):  # of pyarrow
        return entry.as_py()
    is_array = isinstance(entry, torch.Tensor | np.ndarray) and entry.ndim == 0
    return entry.item() if is_array or isinstance(entry, np.void) else entry


def _can_be_told_apart(entry: Any) -> bool:
    """Tell whether entries that are the same count as one, as those of a dict do."""
    try:
        hash(entry)
    except TypeError:
        return False
    return not isinstance(entry, torch.Tensor)  # each of which is another one


def group_influence(influence: ArrayLike, groups: Iterable) -> GroupInfluence:
    """Add up influence by group: what leaving out the whole group would change.

    Parameters
    ----------
    influence : array-like of shape (..., n_samples)
        Influence of each sample.
    groups : array-like of shape (n_samples,)
        Each sample's group, such as its label, annotator or source.

    Returns
    -------
    result : GroupInfluence

    Raises
    ------
    ValueError
        If there is not one entry for each sample, or some are missing.

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
    names, numbers = numbered_groups(groups, influence.shape[-1])
    order = _sorted_places(names)
    places = np.argsort(order)[numbers]
    sizes = np.bincount(places)

    def added(values: np.ndarray) -> np.ndarray:
        return np.apply_along_axis(
            lambda row: np.bincount(places, row, len(names)), -1, values
        )

    return GroupInfluence(
        _as_array([names[place] for place in order]),
        sizes,
        added(influence),
        added(influence < 0) / sizes,
    )


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
    if not (isinstance(k, int | np.integer) and 1 <= k <= n_samples):
        raise ValueError(
            f"k={k} must be an int between 1 and {n_samples}, the samples."
        )
    order = np.argsort(influence, axis=-1, kind="stable")
    harmful, helpful = order[..., :k], order[..., ::-1][..., :k]
    return TopSamples(
        harmful,
        helpful,
        np.take_along_axis(influence, harmful, axis=-1),
        np.take_along_axis(influence, helpful, axis=-1),
    )


def _sorted_places(names: list[Any]) -> list[int]:
    """Return the places of sorted names; those of several types stay as they are."""
    try:
        return sorted(range(len(names)), key=names.__getitem__)
    except TypeError:
        return list(range(len(names)))


def _as_array(names: list[Any]) -> np.ndarray:
    """Return names as an array, of objects where numpy would take them for others."""
    are_alike = len({type(name) for name in names}) == 1
    is_plain = are_alike and isinstance(names[0], str | Number | np.generic)
    return np.array(names) if is_plain else np.fromiter(names, dtype=object)
