"""Refusing foreign rows, outside changes of state, and divergence."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dit_clean.tracking.model import TrackedModel
from dit_clean.tracking.records import StepRecord
from dit_clean.tracking.rows import Rows, are_finite
from dit_clean.tracking.storage import TrainingState, are_same
from dit_clean.tracking.trajectory import Trajectory

GAPS = "X holds NaN or infinite values. Impute them first."
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64)
REMEDY = (
    "Lower the learning rate (lr), or scale the inputs (and targets, in regression)."
)


def as_row_numbers(sample_indices: Any) -> Tensor:
    """Return a batch's row numbers on the CPU, in memory of their own.

    A copy, since loops shuffle one array in place, epoch by epoch.

    Raises
    ------
    TypeError
        If they are no whole numbers: a mask, say.
    """
    rows: Any
    if isinstance(sample_indices, Tensor):
        rows = sample_indices.clone() if sample_indices.is_cpu else sample_indices.cpu()
    else:
        rows = np.array(sample_indices)
        if rows.dtype.kind in "iu" and rows.dtype != np.uint8:
            rows = torch.from_numpy(rows.astype(np.int64))
    if rows.dtype not in INTEGERS or rows.ndim != 1:
        raise TypeError(
            "recorder.step needs the row numbers of the batch, one whole number for "
            f"each sample, got {rows.dtype} of shape {tuple(rows.shape)}. A mask has "
            "them as mask.nonzero()[:, 0]."
        )
    return rows.to(torch.int64)


def check_in_range(records: Sequence[StepRecord], n_samples: int) -> None:
    """Raise if a step has rows that the training data do not have.

    Raises
    ------
    IndexError
        Names the step and the row.
    """
    if not records:
        return
    rows = torch.cat([record.sample_indices for record in records])
    if len(rows) == 0 or 0 <= rows.min() <= rows.max() < n_samples:
        return
    odd = next(row for row in rows.tolist() if not 0 <= row < n_samples)
    step = next(r.step for r in records if (r.sample_indices == odd).any())
    raise IndexError(
        f"The batch of step {step} has row {odd}, but the training data given to "
        f"TrackedModel have rows 0 to {n_samples - 1}. Give recorder.step the rows of "
        "these data."
    )


def check_unchanged(kept: TrainingState, now: TrainingState, step: int) -> None:
    """Raise if something has changed a state between two updates.

    Parameters
    ----------
    kept, now : TrainingState
        After the update before `step`, and before that of `step`.
    step : int
        Number of the update to come.
    """
    is_same = {
        "the parameters": are_same(kept.params, now.params),
        # A state that was cleared as a whole holds nothing of earlier steps: influence
        # follows that, as long as this very state is kept.
        "the optimizer's state": not now.slots or _are_equal(kept.slots, now.slots),
        "the buffers": _are_equal(kept.buffers, now.buffers),
    }
    for what, same in is_same.items():
        if not same:
            raise RuntimeError(
                f"Something has changed {what} between steps {step - 1} and {step}: a "
                "callback, the loop itself, or a forward pass in training mode. "
                "Influence would not know of it. Leave them to the optimizer's steps, "
                "and put the module into evaluation mode for all else: module.eval()."
            )


def check_constants(
    model: TrackedModel, module: nn.Module, trained: Collection[str]
) -> None:
    """Raise if parameters that the optimizer does not train are not those of `model`.

    Parameters
    ----------
    model : TrackedModel
        Its private copy of the network takes the place of `module` in all questions.
    module : nn.Module
        What is being trained.
    trained : collection of str
        Names of the parameters that the optimizer trains.

    Raises
    ------
    RuntimeError
        Names one of them.
    """
    own = dict(model.module.named_parameters())
    for name, parameter in module.named_parameters():
        if name not in trained and not are_same(parameter, own[name]):
            raise RuntimeError(
                f"Parameter {name!r}, which the optimizer does not train, differs "
                "from what it was when the TrackedModel was made: something else "
                "changes it (a running mean of weights, a second optimizer), or it was "
                "loaded later. Influence would not know of it. Make the TrackedModel "
                "of the loaded module, and keep what changes outside of the module or "
                "in a buffer."
            )


def check_converges(
    loss: Tensor, target: Tensor, trajectory: Trajectory, epoch: int
) -> None:
    """Raise if the loss of the step that was just made is not finite.

    That of a batch whose labels are all ignored is NaN, but its gradient is 0.

    Raises
    ------
    FloatingPointError
        Names the step, the epoch and the setting to lower.
    """
    value = float(loss.detach())
    if math.isfinite(value) or trajectory.model.loss.ignores(target).all():
        return
    raise FloatingPointError(
        f"Training diverged: the loss is {value} at step {trajectory.n_steps} "
        f"(epoch {epoch}). {divergence_remedy(trajectory.model.inputs)}"
    )


def check_finite(state: TrainingState, trajectory: Trajectory) -> None:
    """Raise if the last update has left a state whose parameters are not finite.

    Raises
    ------
    FloatingPointError
        Names the step, the epoch and the setting to lower.
    """
    if state.params.isfinite().all():
        return
    records = trajectory.records
    where = "before the first step"
    if records:
        where = f"after step {records[-1].step} (epoch {records[-1].epoch})"
    raise FloatingPointError(
        f"Training diverged: parameters are not finite {where}. "
        f"{divergence_remedy(trajectory.model.inputs)}"
    )


def divergence_remedy(inputs: Rows) -> str:
    """Return what to do about a run whose values on some rows are not finite."""
    return REMEDY if are_finite(inputs) else GAPS


def _are_equal(kept: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> bool:
    return kept.keys() == now.keys() and all(
        are_same(values, now[name]) for name, values in kept.items()
    )
