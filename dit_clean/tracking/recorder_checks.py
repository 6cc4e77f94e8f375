"""What a recorder refuses: steps that no record can repeat."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from dit_clean.tracking.layers import check_leaves, labeled
from dit_clean.tracking.layout import ParameterLayout, optimizer_parameters
from dit_clean.tracking.model import TrackedModel
from dit_clean.tracking.rows import Rows, are_finite
from dit_clean.tracking.storage import TrainingState, are_same
from dit_clean.tracking.trajectory import StepRecord, Trajectory

GAPS = "X holds NaN or infinite values. Impute them first."
INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64)
"""Kinds of row numbers: torch takes bytes for masks."""
REMEDY = (
    "Lower the learning rate (lr), or scale the inputs (and targets, in regression)."
)
SKIPPED = (
    "Multiply the branch by 0 instead of skipping it, or use SGD without momentum and "
    "weight decay."
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


def check_module(module: nn.Module) -> None:
    """Raise if a layer cannot be tracked.

    Raises
    ------
    ValueError
        Names the layer.
    """
    check_leaves(module)
    uses = Counter(
        id(p) for layer in module.modules() for p in layer.parameters(recurse=False)
    )
    for name, layer in module.named_modules():
        label = labeled(name, layer)
        if isinstance(layer, torch.jit.ScriptModule):
            raise ValueError(
                f"{label} is compiled by TorchScript, which takes no other parameters "
                "than its own. Track the module that torch.jit.script or "
                "torch.jit.trace was given."
            )
        if any(is_lazy(p) for p in layer.parameters(recurse=False)):
            raise ValueError(
                f"{label} is lazy: its parameters have no shape before the first "
                "batch. Give the number of input features when building it."
            )
        if not isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            continue
        if layer.sparse:
            raise ValueError(
                f"{label} has sparse gradients, which cannot be differentiated again. "
                "Build it with sparse=False."
            )
        if layer.max_norm is not None:
            raise ValueError(
                f"{label} rescales its weights in the forward pass, which no gradient "
                "knows of. Build it with max_norm=None."
            )
        if layer.padding_idx is not None and uses[id(layer.weight)] > 1:
            refuse_trained_padding(name, layer)
        if layer.scale_grad_by_freq:
            raise ValueError(
                f"{label} scales its gradients, which torch forgets in the second "
                "derivative. Build it with scale_grad_by_freq=False."
            )


def refuse_trained_padding(name: str, layer: nn.Module) -> NoReturn:
    """Raise since another layer trains an embedding's row of padding."""
    raise ValueError(
        f"{labeled(name, layer)} shares its weights with another layer, which trains "
        "the row of padding_idx that the embedding takes for a constant: there is no "
        "second derivative of that. Build it with padding_idx=None, and mask the "
        "padding."
    )


def check_precision(device: torch.device) -> None:
    """Raise in a forward pass under autocast, which no record can repeat."""
    if torch.is_autocast_enabled(device.type):
        raise RuntimeError(
            "Training under autocast (mixed precision) cannot be tracked: steps are "
            "repeated in the precision of the parameters. Train without autocast, in "
            "float32, or in bfloat16 throughout: module.to(torch.bfloat16)."
        )


def check_same_pass(before: Any, now: Any) -> None:
    """Raise if two passes of one step start from other modes or random numbers."""
    if before != now:
        raise RuntimeError(
            "The network runs twice within one step, both times with gradients, in "
            "other modes of its layers (training, evaluation) or with other random "
            "numbers: which of the two the step follows cannot be told. Put a look at "
            "the outputs under torch.no_grad()."
        )


def refuse_updates(n_updates: int) -> NoReturn:
    """Raise since the optimizer did not make exactly one update for a batch."""
    hint = (
        "gradient accumulation and optimizers that step several times (LBFGS) cannot "
        "be tracked."
        if n_updates
        else "where a batch is skipped, do so before `recorder.step`; gradient "
        "accumulation cannot be tracked, nor an optimizer that another has taken the "
        "place of (net.initialize_optimizer() in a callback)."
    )
    raise RuntimeError(
        f"The optimizer made {n_updates} updates for one batch. Tracking needs exactly "
        f"one: {hint}"
    )


def gradient_flags(optimizer: Optimizer) -> list[list[bool | None]]:
    """Return whether the parameters of each group have a gradient; None: frozen."""
    return [
        [p.grad is not None if p.requires_grad else None for p in group["params"]]
        for group in optimizer.param_groups
    ]


def refuse_no_gradient() -> NoReturn:
    """Raise since no parameter has a gradient."""
    raise RuntimeError(
        "No parameter has a gradient: there is nothing to make an update of. "
        "Where backward() is skipped for a batch, skip its step, before "
        "`recorder.step`."
    )


def check_unused(
    module: nn.Module,
    optimizer: Optimizer,
    flags: Sequence[Sequence[bool | None]],
    first: Sequence[Sequence[bool | None]],
) -> None:
    """Raise if it matters that parameters get no gradient in a step.

    Torch passes over them, where the update rule sees a gradient of zero. The two
    differ under weight decay, and under momentum or averages (Adam) for a parameter
    that has a gradient in other steps, or had one before the recording.

    Parameters
    ----------
    module, optimizer : nn.Module, Optimizer
        What is being trained.
    flags, first : list of lists of bool or None
        The `gradient_flags` of this step and of the first.
    """
    params = [
        (group, parameter)
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    pairs = zip(chain(*flags), chain(*first), strict=True)
    for (group, parameter), (now, before) in zip(params, pairs, strict=True):
        decays = group.get("weight_decay", 0) != 0
        # Of a parameter without gradient so far, optimizers have no state, or have
        # made no step (Adagrad).
        state = optimizer.state.get(parameter)
        has_moved = bool(state and state.get("step", 1))
        is_passed_over = now is False and (decays or has_moved)
        if not is_passed_over and (now == before or not optimizer.state):
            continue
        if now or before or has_moved:
            raise ValueError(
                f"Parameter {_name(module, parameter)!r} gets a gradient in some steps "
                "and none in others (a branch that is skipped, stochastic depth). "
                f"{type(optimizer).__name__} passes over it then, which cannot be "
                "tracked. If only an earlier stage of training used it, freeze it with "
                f"requires_grad_(False). {SKIPPED}"
            )
        raise ValueError(
            f"Parameter {_name(module, parameter)!r} gets no gradient: the forward "
            "pass does not use it. With weight decay it cannot be tracked. If it is "
            "never used, remove it, or freeze it with requires_grad_(False). If its "
            f"branch is skipped in some steps (stochastic depth): {SKIPPED}"
        )


def check_equal_counts(module: nn.Module, optimizer: Optimizer) -> None:
    """Raise if an optimizer has updated some parameters of a group more than others.

    Before the recording: in an earlier stage of training, when some were frozen.
    """
    for params in optimizer_parameters(optimizer):
        counts = [int(optimizer.state.get(p, {}).get("step", 0)) for p in params]
        if len(set(counts)) > 1:
            least, most = (counts.index(find(counts)) for find in (min, max))
            raise ValueError(
                f"The optimizer has updated {_name(module, params[most])!r} "
                f"{counts[most]} times and {_name(module, params[least])!r} "
                f"{counts[least]} times before the recording. Give each stage of "
                "training an optimizer of its own, or a parameter group."
            )


def check_first_momentum(module: nn.Module, optimizer: Optimizer) -> None:
    """Raise if momentum begins later in one group than in another, with dampening.

    Torch does not dampen the first gradient of a buffer. States hold zeros for a buffer
    that is not there while others are, which is the same without dampening alone.
    """
    trained = optimizer_parameters(optimizer)
    have_begun = [
        any("momentum_buffer" in optimizer.state.get(p, {}) for p in params)
        for params in trained
    ]
    for group, params, has_begun in zip(
        optimizer.param_groups, trained, have_begun, strict=True
    ):
        is_damped = group.get("momentum", 0) != 0 and group.get("dampening", 0) != 0
        if is_damped and params and not has_begun and any(have_begun):
            raise ValueError(
                f"The parameter group of {_name(module, params[0])!r} begins "
                "its momentum when other groups have begun theirs, and with dampening, "
                "which torch leaves out of the first step: that cannot be tracked. Set "
                "dampening=0, or let momentum begin with the first step."
            )


def check_same_groups(
    flags: Sequence[Sequence[Any]], first: Sequence[Sequence[Any]]
) -> None:
    """Raise if an optimizer has other groups, by the `gradient_flags` now and first."""
    if list(map(len, flags)) != list(map(len, first)):
        raise RuntimeError(
            "The optimizer's parameter groups have changed since the recording began. "
            "Track each stage of training by itself, with a StepRecorder of its own."
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
        # Cleared as a whole, it has no memory of earlier steps: that is followed, as
        # long as this very state is kept.
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


def _are_equal(kept: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> bool:
    return kept.keys() == now.keys() and all(
        are_same(values, now[name]) for name, values in kept.items()
    )


def check_same_parameters(
    layout: ParameterLayout, module: nn.Module, optimizer: Optimizer, epoch: int
) -> None:
    """Raise if other parameters are trained than when the recording began.

    Raises
    ------
    ValueError
        Names one of them, and the epoch.
    """
    before = layout.names
    now = ParameterLayout.of(module, optimizer).names
    changed = sorted(set(before) ^ set(now))
    if changed:
        what = "unfrozen" if changed[0] in now else "frozen"
        raise ValueError(
            f"Parameter {changed[0]!r} was {what} in epoch {epoch}, while training was "
            "tracked. Freeze and unfreeze before the first batch only, or track each "
            "stage by itself."
        )


def check_converges(loss: Tensor, trajectory: Trajectory, epoch: int) -> None:
    """Raise if the loss of the step that was just made is not finite.

    Raises
    ------
    FloatingPointError
        Names the step, the epoch and the setting to lower.
    """
    value = float(loss.detach())
    if math.isfinite(value):
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


def _name(module: nn.Module, parameter: Tensor) -> str:
    return next(name for name, p in module.named_parameters() if p is parameter)
