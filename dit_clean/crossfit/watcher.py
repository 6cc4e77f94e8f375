"""Evidence of each epoch, taken as it ends."""

import time
from collections.abc import Callable, Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from dit_clean.crossfit.epochs import epoch_influence
from dit_clean.influence import check_replay
from dit_clean.influence.queries import Query, read_in_parts
from dit_clean.tracking import TrackedModel, Trajectory
from dit_clean.tracking.rows import HALVES, Rows, cast_floats
from dit_clean.tracking.state_checks import divergence_remedy


class EpochWatcher:
    """Looks at a run as each epoch ends, then releases the epoch's states.

    Memory: the states of one epoch, however long training is.

    Parameters
    ----------
    X : Tensor, dict of Tensor or csr_array
        All rows, trained and held out.
    query : callable
        What influence is measured on.
    is_classifier : bool
        Whether outputs are class scores.
    keep_all : bool
        Whether to keep the states of all steps.
    epochs : collection of int
        Epochs whose influence is measured.
    clean : Tensor, dict of Tensor, csr_array or None
        Rows of further samples to evaluate, whose labels are known to be right.
    on_epoch : callable or None
        Called after each epoch.
    """

    def __init__(
        self,
        X: Rows,
        query: Query,
        *,
        is_classifier: bool,
        epochs: Collection[int],
        keep_all: bool,
        clean: "Rows | None",
        on_epoch: Callable[[], object] | None,
    ):
        self.X, self.clean, self.query = X, clean, query
        self.is_classifier, self.keep_all = is_classifier, keep_all
        self.epochs, self.on_epoch = epochs, on_epoch
        self.outputs: list[np.ndarray] = []
        self.clean_outputs: list[np.ndarray] = []
        self.influence: dict[int, np.ndarray] = {}
        self.seconds = 0.0

    def __call__(self, trajectory: Trajectory, epoch: int) -> None:
        """Measure outputs and influence of the epoch that has just ended."""
        begin = time.perf_counter()
        starts = trajectory.epoch_starts
        self._evaluate(trajectory, starts[-1])
        if epoch in self.epochs:
            check_replay(trajectory, [starts[epoch], starts[epoch + 1] - 1])
            self.influence[epoch] = epoch_influence(
                trajectory, self.query, epoch, each_label=self.is_classifier
            )
        if not self.keep_all:
            trajectory.store.keep_only(set(starts).__contains__)
        self.seconds += time.perf_counter() - begin
        if self.on_epoch is not None:
            self.on_epoch()

    def _evaluate(self, trajectory: Trajectory, step: int) -> None:
        state, model = trajectory.state(step), trajectory.model
        params = trajectory.variables(state)
        dtype = state.params.dtype
        if not self.outputs:
            self.X = cast_floats(self.X, dtype)
            self.clean = None if self.clean is None else cast_floats(self.clean, dtype)
        outputs = forward_rows(model, params, self.X, self.is_classifier).numpy()
        check_outputs_finite(outputs, len(self.outputs), self.X)
        self.outputs.append(outputs)
        if self.clean is not None:
            clean = forward_rows(model, params, self.clean, self.is_classifier).numpy()
            check_clean_outputs_finite(clean)
            self.clean_outputs.append(clean)


def check_outputs_finite(outputs: np.ndarray, epoch: int, X: Rows) -> None:
    """Raise if the network's outputs on X after an epoch are not finite."""
    if np.isfinite(outputs).all():
        return
    raise FloatingPointError(
        f"Training diverged: outputs are not finite after epoch {epoch}. "
        f"{divergence_remedy(X)}"
    )


def check_clean_outputs_finite(outputs: np.ndarray) -> None:
    """Raise if the network's outputs on X_val are not finite, those on X being so."""
    if np.isfinite(outputs).all():
        return
    row = np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0]
    raise FloatingPointError(
        f"Outputs are not finite for row {row} of X_val, though they are for all of X. "
        "Look for values there that are far larger than those of X."
    )


def forward_rows(
    model: TrackedModel, params: Mapping[str, Tensor], X: Rows, is_classifier: bool
) -> Tensor:
    """Return log class probabilities or predictions of all rows, on the CPU.

    Parameters
    ----------
    model : TrackedModel
        Network and criterion.
    params : dict of str to Tensor
        Parameters and buffers.
    X : Tensor, dict of Tensor or csr_array, first axis n_samples
        Inputs in the precision of the parameters.
    is_classifier : bool
        Whether outputs are class scores.

    Returns
    -------
    outputs : Tensor of shape (n_samples, n_outputs)
    """
    read = model.log_probabilities if is_classifier else model.forward
    with torch.no_grad():
        outputs = read_in_parts(lambda *batch: read(*batch).cpu(), params, X)
    return outputs.float() if outputs.dtype in HALVES else outputs
