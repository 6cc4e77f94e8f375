"""Which rows are held out together: the splits of `cv`, checked."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)

from dit_clean.data.targets import Targets, check_class_sizes

N_PARTS = 2
"""Of a split: rows to train on, and rows held out."""


def split_rows(
    cv: Any, targets: Targets, groups: np.ndarray | None, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rows to train on and rows held out, fold by fold.

    Parameters
    ----------
    cv : int or splitter
        An int gives shuffled folds, stratified by label.
    targets : Targets
        Labels or regression targets.
    groups : ndarray of int, shape (n_samples,), or None
        Number of the group of each row; rows of one group are held out together.
    seed : int
        Seed of the shuffling.

    Raises
    ------
    ValueError
        If a class has fewer rows than folds or is held out as a whole, a row is not
        held out exactly once, rows of one group are trained on and held out, there are
        fewer groups than folds, or `cv` is used up by one fit or needs groups.
    """
    described = f"cv={cv}" if isinstance(cv, int | np.integer) else _described(cv)
    if isinstance(cv, int | np.integer):
        check_class_sizes(targets, int(cv))
        cv = _splitter(int(cv), targets, groups, seed)
    n_samples = len(targets.given)
    splits = _splits(cv, targets.codes, groups)
    rows = np.arange(n_samples)
    held_out = np.concatenate([rows[:0], *(held for _, held in splits)])
    is_whole = all(
        min(len(train), len(held)) > 0
        and np.array_equal(np.sort(np.concatenate([train, held])), rows)
        for train, held in splits
    )
    if not (is_whole and np.array_equal(np.sort(held_out), rows)):
        raise ValueError(
            f"cv must hold out each of the {n_samples} samples exactly once, and train "
            f"on all others, as KFold does; {described} does not."
        )
    if groups is not None:
        _check_groups_stay(splits, groups, described)
    _check_classes_stay(splits, targets, described, groups)
    return splits


def _splitter(
    n_folds: int, targets: Targets, groups: np.ndarray | None, seed: int
) -> Any:
    """Return the splitter that an int stands for."""
    if groups is None:
        make = StratifiedKFold if targets.is_classifier else KFold
        return make(n_folds, shuffle=True, random_state=seed)
    n_groups = len(np.unique(groups))
    if n_groups < n_folds:
        raise ValueError(
            f"groups has fewer different entries than cv={n_folds} folds, {n_groups}, "
            "and each fold has to hold out one group at least. Lower cv, or give finer "
            "groups."
        )
    make = StratifiedGroupKFold if targets.is_classifier else GroupKFold
    return make(n_folds, shuffle=True, random_state=seed)


def _splits(cv: Any, codes: np.ndarray, groups: np.ndarray | None) -> list[Any]:
    if isinstance(cv, Iterator):
        raise ValueError(
            f"cv={cv!r} is used up by one fit. Give a list of the splits: "
            "cv=list(splitter.split(X, y))."
        )
    check_cv(cv)
    given = [np.zeros((len(codes), 1)), codes]
    given += [] if groups is None else [groups]
    try:
        splits = list(cv.split(*given) if hasattr(cv, "split") else cv)
    except TypeError as error:
        if groups is None:
            raise
        raise TypeError(
            f"The split of cv={cv!r} takes no groups, which fit was given: {error}. "
            "Give a splitter that goes by groups, or an int, cv=3."
        ) from error
    except ValueError as error:
        if "groups" not in str(error) or groups is not None:
            raise
        raise ValueError(
            f"cv={cv!r} splits by groups. Give them to fit, one entry for each row: "
            "fit(X, y, groups=groups)."
        ) from error
    if not all(_is_pair_of_rows(split) for split in splits):
        raise ValueError(
            "cv must be an int, a scikit-learn splitter or a list of pairs, rows to "
            "train on and rows held out, as list(splitter.split(X, y)) gives it; got "
            f"{_described(cv)}."
        )
    return [tuple(map(np.asarray, split)) for split in splits]


def _is_pair_of_rows(split: Any) -> bool:
    if not (hasattr(split, "__len__") and len(split) == N_PARTS):
        return False
    parts = [np.asarray(part) for part in split]
    return all(
        part.ndim == 1 and (part.dtype.kind in "iu" or part.size == 0) for part in parts
    )


def _check_groups_stay(splits: list[Any], groups: np.ndarray, described: str) -> None:
    """Raise if a network is to judge rows of a group that it has seen."""
    for number, (train, held) in enumerate(splits):
        n_torn = len(np.intersect1d(groups[train], groups[held]))
        if n_torn:
            raise ValueError(
                f"cv tears groups apart, {n_torn} of them in fold {number} of "
                f"{described}: it trains on some of their rows and holds out others. "
                "Give an int, cv=3, or a splitter that goes by groups, such as "
                "StratifiedGroupKFold."
            )


def _check_classes_stay(
    splits: list[Any],
    targets: Targets,
    described: str,
    groups: np.ndarray | None,
) -> None:
    """Raise if a network is to judge a class that it has never seen."""
    if not targets.is_classifier:
        return
    for number, (train, _) in enumerate(splits):
        lacking = np.setdiff1d(targets.codes, targets.codes[train])
        if len(lacking):
            label = targets.labels.tolist()[lacking[0]]
            remedy = "Give cv=5 or cv=StratifiedKFold(5)."
            if groups is not None:
                n_groups = len(np.unique(groups[targets.codes == lacking[0]]))
                remedy = (
                    "It is in one group alone: give finer groups, or drop it."
                    if n_groups == 1
                    else f"It is in {n_groups} groups: raise cv, or give finer groups."
                )
            raise ValueError(
                f"cv holds out all rows of class {label!r} at once (fold {number} of "
                f"{described}): the network of that fold would take a class that "
                f"it never saw for wrong. {remedy}"
            )


def _described(cv: Any) -> str:
    """Return a splitter, or how many splits a list holds: not each row number."""
    if isinstance(cv, Sequence | np.ndarray):
        return f"a {type(cv).__name__} of length {len(cv)}"
    return repr(cv)
