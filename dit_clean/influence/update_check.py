"""Comparing recorded updates with what follows from their gradients."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dit_clean.influence.update_rules import PARAMS, apply_rule, update_rule_of
from dit_clean.tracking import StepRecord, TrainingState, Trajectory

TOLERANCE = 0.05
"""Allowed error of an update, relative to its norm: rounding stays far below it."""
NOISE = 1e-5
"""Gradients below this share of the largest are not looked at: of a bias before a batch
norm it is rounding error, out of which Adam makes steps of full length."""


def check_update(
    trajectory: Trajectory,
    record: StepRecord,
    state: TrainingState,
    grad: Tensor,
    buffers: Mapping[str, Tensor],
    every: int = 1,
) -> None:
    """Check that the kept state after a step follows from the one before it.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run, which keeps the state after the step.
    record : StepRecord
        The step.
    state : TrainingState
        The state before it, kept or replayed from the last kept one.
    grad : Tensor of shape (n_params,)
        Gradient of the batch loss there.
    buffers : dict of str to Tensor
        What the step makes of the module's buffers, to be compared too.
    every : int, default=1
        Every how many-th parameter is looked at.

    Raises
    ------
    RuntimeError
        Names the steps from the last kept state on.
    """
    rule = update_rule_of(trajectory.optimizer_type)
    groups = [slice(g.start, g.stop, every) for g in trajectory.layout.groups]
    before = {PARAMS: state.params, **state.slots}
    found = apply_rule(rule, groups, record.hyper, before, grad)
    after = trajectory.store[record.step + 1]

    def looked_at(values: Tensor) -> Tensor:
        parts = [values[where] for where in groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    grad = looked_at(grad).abs()
    counts = grad > NOISE * grad.max()
    as_it_should = all(
        follows(
            looked_at(before[name] if name in before else torch.zeros_like(values)),
            found[name],
            looked_at(values),
            counts,
        )
        for name, values in {PARAMS: after.params, **after.slots}.items()
    )
    if as_it_should and all(
        follows(state.buffers[name], values, after.buffers[name])
        for name, values in buffers.items()
    ):
        return
    first = trajectory.store.nearest(record.step)
    where = f"steps {first} to {record.step}"
    if first == record.step:
        where = f"step {first}"
    raise RuntimeError(
        f"The recorded update of {where} (epoch {record.epoch}) does not "
        "follow from its batch, loss and optimizer. Training does something "
        "that tracking does not see, such as gradient clipping, a penalty "
        "outside of the criterion, a second optimizer, a custom train_step, random "
        "numbers of Python or numpy in the forward pass, or forward passes in training "
        "mode beside those of the steps: remove it. Attributes that change while "
        "training (a dropout rate, a temperature) are not seen either: compute them "
        "from a number of passes, which the forward pass itself counts in an integer "
        "buffer."
    )


def follows(
    before: Tensor, found: Tensor, actual: Tensor, counts: Tensor | bool = True
) -> bool:
    """Tell whether a part of the state has changed as it should, up to rounding.

    Parameters
    ----------
    before, found, actual : Tensor of one shape
        Before the step; after it as it should be, and as it is.
    counts : Tensor of bool, of the same shape, or True
        False where an element is not looked at.
    """
    if not actual.is_floating_point():
        return torch.equal(found, actual)
    if _is_close(before, found, actual, counts):
        return True
    finite = actual.isfinite()
    if not torch.equal(finite, found.isfinite()):
        return False
    before, found, actual = (x.where(finite, 0.0) for x in (before, found, actual))
    return _is_close(before, found, actual, counts)


def _is_close(
    before: Tensor, found: Tensor, actual: Tensor, counts: Tensor | bool
) -> bool:
    rounding = 10 * torch.finfo(actual.dtype).eps * actual.norm()
    allowed = TOLERANCE * (actual - before).mul_(counts).norm() + rounding
    return bool((found - actual).mul_(counts).norm() <= allowed)
