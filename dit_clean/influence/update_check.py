"""Comparing recorded updates with what follows from their gradients."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from dit_clean.influence.update_rules import PARAMS, apply_rule, update_rule_of
from dit_clean.tracking import ParameterLayout, StepRecord, TrainingState, Trajectory

TOLERANCE = 1e-3
"""Allowed error of an update, relative to its norm: rounding stays far below it."""
ROUGH = 0.05
"""The same where rounding adds up over replayed steps, on a GPU, which sums in another
order each time, and in half precision."""
NOISE = 1e-5
"""Gradients below this share of the largest are not looked at: of a bias before a batch
norm it is rounding error, out of which Adam makes steps of full length."""
N_ROUNDINGS = 1e4
"""The same in units of the last digit, where a parameter is looked at by itself: all of
its gradients may be small differences of large terms."""
N_DIGITS = 10
"""Allowed error in units of the last digit."""
N_NAMED = 3
"""Parameters that an error names."""
SINGLE = 32
"""Bits of single precision."""
MIN_LOOKED_AT = 64
"""Elements that are looked at of a parameter that has so many."""


class _Change(NamedTuple):
    """How an update changes a part of the state: parameters, or a slot.

    Attributes
    ----------
    before, found, actual : Tensor of one shape
        Before the step; after it as it should be, and as it is.
    nudged : Tensor of that shape
        As it would be, had the gradient been larger by the tolerance.
    """

    before: Tensor
    found: Tensor
    actual: Tensor
    nudged: Tensor


def check_update(
    trajectory: Trajectory,
    record: StepRecord,
    state: TrainingState,
    grad: Tensor,
    buffers: Mapping[str, Tensor],
    every: int = 1,
) -> None:
    """Check that the kept state after a step follows from the one before it.

    As a whole, and for each parameter: one of a small share may be all that a query is
    about.

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
        Stride (odd) at which elements are compared; smaller for small parameters.

    Raises
    ------
    RuntimeError
        Names the steps from the last kept state on, and a parameter.
    """
    after = trajectory.store[record.step + 1]
    elements = _Elements(trajectory.layout, every)
    tolerance = _tolerance(trajectory, record, grad)
    changes = list(_changes(trajectory, record, state, grad, elements, 1 + tolerance))
    grad = elements.at(grad).abs()
    counts = grad > NOISE * grad.max()
    as_it_should = all(
        follows(change.before, change.found, change.actual, tolerance, counts)
        for change in changes
    ) and all(
        follows(state.buffers[name], values, after.buffers[name], tolerance)
        for name, values in buffers.items()
    )
    share = max(NOISE, N_ROUNDINGS * torch.finfo(grad.dtype).eps)
    counts = grad > share * grad.max()
    odd = _odd_parameters(changes, counts, elements.sizes, tolerance)
    if not as_it_should or odd:
        _refuse_update(trajectory, record, odd)


def _tolerance(trajectory: Trajectory, record: StepRecord, grad: Tensor) -> float:
    """Return the allowed error of an update, relative to its norm."""
    is_replayed = trajectory.store.nearest(record.step) != record.step
    is_half = torch.finfo(grad.dtype).bits < SINGLE
    return ROUGH if is_replayed or is_half or not grad.is_cpu else TOLERANCE


def _refuse_update(
    trajectory: Trajectory, record: StepRecord, odd: list[int]
) -> NoReturn:
    """Raise because an update is not what it should be, as `odd` parameters show."""
    first = trajectory.store.nearest(record.step)
    where = f"steps {first} to {record.step}"
    if first == record.step:
        where = f"step {first}"
    names = ", ".join(repr(trajectory.layout.names[place]) for place in odd[:N_NAMED])
    raise RuntimeError(
        f"The recorded update of {where} (epoch {record.epoch}) does not "
        "follow from its batch, loss and optimizer"
        f"{names and f', as parameters show: {names}'}. Training does something "
        "that tracking does not see, such as gradient clipping, a penalty "
        "outside of the criterion, a hook on a parameter, a second optimizer, a "
        "custom train_step, random numbers of Python or numpy in the forward pass, or "
        "forward passes in training mode beside those of the steps: remove it. "
        "Attributes that change while training (a dropout rate, a temperature) are "
        "not seen either: compute them from a number of passes, which the forward "
        "pass itself counts in an integer buffer."
    )


class _Elements:
    """The elements of theta that are looked at.

    Attributes
    ----------
    parts : list of slice
        Those of each parameter.
    sizes : list of int
        How many they are.
    groups : list of slice
        Among them, those of each parameter group.
    """

    def __init__(self, layout: ParameterLayout, every: int):
        sizes = layout.sizes
        starts = list(accumulate(sizes, initial=0))
        # Odd steps: no columns are missed.
        self.parts = [
            slice(start, start + size, min(every, size // MIN_LOOKED_AT | 1))
            for start, size in zip(starts, sizes, strict=False)
        ]
        self.sizes = [len(range(p.start, p.stop, p.step)) for p in self.parts]
        place_of = dict(zip(starts, accumulate(self.sizes, initial=0), strict=True))
        self.groups = [
            slice(place_of[g.start], place_of[g.stop]) for g in layout.groups
        ]

    def at(self, values: Tensor) -> Tensor:
        """Return these elements of a vector like theta."""
        return torch.cat([values[part] for part in self.parts])


def _changes(
    trajectory: Trajectory,
    record: StepRecord,
    state: TrainingState,
    grad: Tensor,
    elements: _Elements,
    nudge: float,
) -> Iterator[_Change]:
    """Yield the changes of parameters and slots, at the elements looked at."""
    rule, grad = update_rule_of(trajectory.optimizer_type), elements.at(grad)
    before, after = (
        {
            name: elements.at(values)
            for name, values in {PARAMS: s.params, **s.slots}.items()
        }
        for s in (state, trajectory.store[record.step + 1])
    )
    found, nudged = (
        apply_rule(rule, elements.groups, record.hyper, before, factor * grad)
        for factor in (1.0, nudge)
    )
    for name, actual in after.items():
        start = before[name] if name in before else torch.zeros_like(actual)
        yield _Change(start, found[name], actual, nudged[name])


def _odd_parameters(
    changes: list[_Change], counts: Tensor, sizes: list[int], tolerance: float
) -> list[int]:
    """Return the numbers of parameters that have not changed as they should.

    The error is more than rounding explains, and more than a gradient larger by the
    tolerance would: a small change is no measure of errors, since a gradient may have
    met a momentum of the other sign.

    Parameters
    ----------
    changes : list of _Change
        Of parameters and slots.
    counts : Tensor of bool, shape (n_elements,)
        False where an element is not looked at.
    sizes : list of int
        Number of elements of each parameter.
    tolerance : float
        Allowed error, relative to the change.
    """
    tables = [
        torch.stack([actual, actual - before, nudged - found, found - actual]).where(
            counts & actual.isfinite(), 0.0
        )
        for before, found, actual, nudged in changes
    ]
    parts = torch.cat(tables).split(sizes, dim=1)
    norms = torch.stack([part.norm(dim=1) for part in parts], dim=1)
    size, change, by_gradient, error = norms.unflatten(0, (len(changes), -1)).unbind(1)
    rounding = N_DIGITS * torch.finfo(norms.dtype).eps * size
    is_odd = ~(error <= tolerance * change + by_gradient + rounding)
    return is_odd.any(dim=0).nonzero()[:, 0].tolist()


def follows(
    before: Tensor,
    found: Tensor,
    actual: Tensor,
    tolerance: float = ROUGH,
    counts: Tensor | bool = True,
) -> bool:
    """Tell whether a part of the state has changed as it should, up to rounding.

    Parameters
    ----------
    before, found, actual : Tensor of one shape
        Before the step; after it as it should be, and as it is.
    tolerance : float
        Allowed error, relative to the change.
    counts : Tensor of bool, of the same shape, or True
        False where an element is not looked at.
    """
    if not actual.is_floating_point():
        return torch.equal(found, actual)
    if _is_close(before, found, actual, tolerance, counts):
        return True
    finite = actual.isfinite()
    if not torch.equal(finite, found.isfinite()):
        return False
    before, found, actual = (x.where(finite, 0.0) for x in (before, found, actual))
    return _is_close(before, found, actual, tolerance, counts)


def _is_close(
    before: Tensor,
    found: Tensor,
    actual: Tensor,
    tolerance: float,
    counts: Tensor | bool,
) -> bool:
    rounding = N_DIGITS * torch.finfo(actual.dtype).eps * actual.norm()
    allowed = tolerance * (actual - before).mul_(counts).norm() + rounding
    return bool((found - actual).mul_(counts).norm() <= allowed)
