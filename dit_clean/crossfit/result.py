"""What the training of one fold leaves behind."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from dit_clean.crossfit.fold import Fold
from dit_clean.runs.tracked_run import TrackedRun
from dit_clean.tracking.rows import (
    Rows,
    as_tensor,
    cast_floats,
    cast_targets,
    subset_rows,
)


@dataclass(frozen=True)
class FoldRun:
    """The recorded run of a fold.

    Attributes
    ----------
    fold : Fold
        Rows and seed.
    run : TrackedRun
        Rows numbered as in ``fold.train``.
    """

    fold: Fold
    run: TrackedRun

    def without_data(self) -> "FoldRun":
        """Return the run without data and skorch net, to be sent or stored.

        skorch cannot pickle a net whose module was defined in a notebook or script.
        """
        bare = self._with_model(inputs=None, targets=None, sample_weight=None)
        return replace(bare, run=replace(bare.run, net_=None))

    def with_data(
        self, X: Rows, y: torch.Tensor, sample_weight: np.ndarray | None
    ) -> "FoldRun":
        """Return the run with the training data that `without_data` left out."""
        rows = as_tensor(self.fold.train)
        weight = None if sample_weight is None else sample_weight[self.fold.train]
        dtype = self.run.trajectory.store[0].params.dtype
        return self._with_model(
            inputs=cast_floats(subset_rows(X, rows), dtype),
            targets=cast_targets(y[rows], dtype),
            sample_weight=None if weight is None else as_tensor(weight),
        )

    def _with_model(self, **data: Any) -> "FoldRun":
        trajectory = self.run.trajectory
        model = replace(trajectory.model, **data)
        run = replace(self.run, trajectory=replace(trajectory, model=model))
        return replace(self, run=run)


@dataclass(frozen=True)
class FoldResult:
    """The recorded run of a fold, and what was measured while it trained.

    Attributes
    ----------
    recorded : FoldRun
        Without data.
    outputs : list of ndarray of shape (n_samples, n_outputs)
        At each epoch's end, for every row of X: log class probabilities, or the
        prediction of a regression target.
    influence : dict of int to ndarray of shape (n_queries, n_train[, n_classes])
        By epoch: influence of the trained rows on the queries at the epoch's end; for
        labels, what it would be under each of them.
    seconds : dict of str to float
        "training" and "influence".
    clean_outputs : list of ndarray of shape (n_clean, n_outputs)
        Outputs for the clean validation samples; nothing where there are none.
    unseen : ndarray of int
        Rows of X that the run was to train on, and that were in no batch.
    unfollowed : list of str
        Buffers that it has changed and that influence does not follow.
    """

    recorded: FoldRun
    outputs: list[np.ndarray]
    influence: dict[int, np.ndarray]
    seconds: dict[str, float]
    clean_outputs: list[np.ndarray]
    unseen: np.ndarray
    unfollowed: list[str]

    @property
    def fold(self) -> Fold:
        """Rows and seed."""
        return self.recorded.fold

    @property
    def n_epochs(self) -> int:
        """Epochs until the run ended."""
        return len(self.outputs)


def extended(outputs: list[np.ndarray], n_epochs: int) -> list[np.ndarray]:
    """Return outputs of so many epochs; a run that stopped early keeps its last."""
    return [*outputs, *outputs[-1:] * (n_epochs - len(outputs))][:n_epochs]
