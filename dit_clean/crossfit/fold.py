"""The folds of the cross-fit: who trains on which rows, from which seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import check_random_state

from dit_clean.targets import Targets, check_class_sizes


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
        If a class has fewer rows than folds, a row is not held out exactly once, or
        `cv` is used up by one fit or needs groups.
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
            f"on all others, as KFold does; {cv!r} does not."
        )
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
    try:
        return list(check_cv(cv).split(np.zeros((n_samples, 1)), codes))
    except ValueError as error:
        if "groups" not in str(error):
            raise
        raise ValueError(
            f"cv={cv!r} splits by groups, which fit does not take. Give the splits: "
            "cv=list(splitter.split(X, y, groups))."
        ) from error
