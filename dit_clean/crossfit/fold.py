"""The folds of the cross-fit: who trains on which rows, from which seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import check_random_state

from dit_clean.targets import Targets, check_class_sizes

N_PARTS = 2
"""Of a split: rows to train on, and rows held out."""


@dataclass(frozen=True)
class Fold:
    """One training run: of the cross-fit, or on all rows.

    Attributes
    ----------
    train, held_out : ndarray of int
        Rows of the X given to fit that the run trains on, and that it does not see.
    seed : int
        Seed of its initialization, shuffling and dropout.
    """

    train: np.ndarray
    held_out: np.ndarray
    seed: int

    @classmethod
    def of_all_rows(cls, folds: Sequence["Fold"]) -> "Fold":
        """Return the run that holds out nothing, beside those of `folds`."""
        everything = np.arange(folds[0].n_samples)
        return cls(everything, everything[:0], folds[-1].seed + 1)

    @property
    def n_samples(self) -> int:
        """Rows of the X given to fit: each is trained on or held out."""
        return len(self.train) + len(self.held_out)

    @property
    def holds_out(self) -> bool:
        """Whether there are rows that the run does not see."""
        return len(self.held_out) > 0


def make_folds(cv: Any, targets: Targets, random_state: Any) -> list[Fold]:
    """Return the folds, each with the seed of its training.

    Parameters
    ----------
    cv : int or splitter
        An int gives shuffled folds, stratified by label.
    targets : Targets
        Labels or regression targets.
    random_state : int, RandomState instance or None
        Source of all seeds.

    Raises
    ------
    ValueError
        If a class has fewer rows than folds or is held out as a whole, a row is not
        held out exactly once, or `cv` is used up by one fit or needs groups.
    """
    generator = check_random_state(random_state)
    shuffle_seed, first_seed = (
        int(s) for s in generator.randint(2**31 - 2**16, size=2)
    )
    if isinstance(cv, int | np.integer):
        check_class_sizes(targets, int(cv))
        make_splitter = StratifiedKFold if targets.is_classifier else KFold
        cv = make_splitter(int(cv), shuffle=True, random_state=shuffle_seed)
    n_samples = len(targets.given)
    splits = _splits(cv, n_samples, targets.codes)
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
            f"on all others, as KFold does; {_described(cv)} does not."
        )
    _check_classes_stay(splits, targets, cv)
    return [
        Fold(np.sort(train), np.sort(held), first_seed + i)
        for i, (train, held) in enumerate(splits)
    ]


def _splits(cv: Any, n_samples: int, codes: np.ndarray) -> list[Any]:
    if isinstance(cv, Iterator):
        raise ValueError(
            f"cv={cv!r} is used up by one fit. Give a list of the splits: "
            "cv=list(splitter.split(X, y))."
        )
    check_cv(cv)
    X = np.zeros((n_samples, 1))
    try:
        splits = list(cv.split(X, codes) if hasattr(cv, "split") else cv)
    except ValueError as error:
        if "groups" not in str(error):
            raise
        raise ValueError(
            f"cv={cv!r} splits by groups, which fit does not take. Give the splits: "
            "cv=list(splitter.split(X, y, groups))."
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


def _check_classes_stay(splits: list[Any], targets: Targets, cv: Any) -> None:
    """Raise if a network is to judge a class that it has never seen."""
    if not targets.is_classifier:
        return
    for number, (train, _) in enumerate(splits):
        lacking = np.setdiff1d(targets.codes, targets.codes[train])
        if len(lacking):
            label = targets.labels.tolist()[lacking[0]]
            raise ValueError(
                f"cv holds out all rows of class {label!r} at once (fold {number} of "
                f"{_described(cv)}): the network of that fold would take a class that "
                "it never saw for wrong. Give cv=5 or cv=StratifiedKFold(5)."
            )


def _described(cv: Any) -> str:
    """Return a splitter, or how many splits a list holds: not each row number."""
    if isinstance(cv, Sequence | np.ndarray):
        return f"a {type(cv).__name__} of length {len(cv)}"
    return repr(cv)
