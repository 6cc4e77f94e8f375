"""One fold of the cross-fit: its rows, and what its training has shown."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import KFold, StratifiedKFold, check_cv
from sklearn.utils import check_random_state

from dit_clean.run import TrackedRun
from dit_clean.targets import Targets, check_class_sizes
from dit_clean.tracking.rows import Rows, cast_floats, subset_rows


@dataclass(frozen=True)
class Fold:
    """One training run of the cross-fit.

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


@dataclass(frozen=True)
class FoldResult:
    """What one run of the cross-fit saw.

    Attributes
    ----------
    fold : Fold
        Rows and seed.
    run : TrackedRun
        The recorded run, rows numbered as in ``fold.train``; states of epoch starts.
    outputs : ndarray of shape (n_samples, n_epochs, n_outputs)
        At each epoch's end, for every row of X: log class probabilities, or the
        prediction of a regression target.
    influence : dict of int to ndarray of shape (n_queries, n_train[, n_classes])
        By epoch, where measured during training: influence of the trained rows on the
        queries at the epoch's end; for labels, what it would be under each of them.
    seconds : dict of str to float
        "training" and "influence".
    """

    fold: Fold
    run: TrackedRun
    outputs: np.ndarray
    influence: dict[int, np.ndarray]
    seconds: dict[str, float]

    def without_data(self) -> "FoldResult":
        """Return the result without data and skorch net, to be sent between processes.

        skorch cannot pickle a net whose module was defined in a notebook or script.
        """
        bare = self._with_model(inputs=None, targets=None, sample_weight=None)
        return replace(bare, run=replace(bare.run, net_=None))

    def with_data(
        self, X: Rows, y: torch.Tensor, sample_weight: np.ndarray | None
    ) -> "FoldResult":
        """Return the result with the training data that `without_data` left out."""
        rows = torch.as_tensor(self.fold.train)
        weight = None if sample_weight is None else sample_weight[self.fold.train]
        dtype = self.run.trajectory.store[0].params.dtype
        return self._with_model(
            inputs=cast_floats(subset_rows(X, rows), dtype),
            targets=y[rows],
            sample_weight=None if weight is None else torch.as_tensor(weight),
        )

    def _with_model(self, **data: Any) -> "FoldResult":
        trajectory = self.run.trajectory
        model = replace(trajectory.model, **data)
        run = replace(self.run, trajectory=replace(trajectory, model=model))
        return replace(self, run=run)


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
        If a class has fewer rows than folds, or a row is not held out exactly once.
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
    splits = list(check_cv(cv).split(np.zeros((n_samples, 1)), targets.codes))
    rows, held_out = np.arange(n_samples), np.concatenate([held for _, held in splits])
    is_whole = all(
        np.array_equal(np.sort(np.concatenate([train, held])), rows)
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
