"""The folds of the cross-fit: who trains on which rows, from which seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from dit_clean.crossfit.splits import split_rows
from dit_clean.data.targets import Targets


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


def make_folds(
    cv: Any, targets: Targets, random_state: Any, groups: np.ndarray | None = None
) -> list[Fold]:
    """Return the folds, each with the seed of its training.

    Parameters
    ----------
    cv : int or splitter
        An int gives shuffled folds, stratified by label.
    targets : Targets
        Labels or regression targets.
    random_state : int, RandomState instance or None
        Source of all seeds.
    groups : ndarray of int, shape (n_samples,), optional
        Number of the group of each row; rows of one group are held out together.

    Raises
    ------
    ValueError
        As `split_rows` does.
    """
    generator = check_random_state(random_state)
    shuffle_seed, first_seed = generator.randint(2**31 - 2**16, size=2).tolist()
    return [
        Fold(np.sort(train), np.sort(held), first_seed + i)
        for i, (train, held) in enumerate(split_rows(cv, targets, groups, shuffle_seed))
    ]
