"""Derivatives of first updates, smoothed over what leaving out a sample can do.

Optimizers that scale each element of the parameters by its own gradients move it by a
few learning rates at most, whatever the gradient. At first that scale comes from one or
two batch gradients. Where the gradients of the samples in a batch cancel it is next to
nothing, and the derivative of the update is larger by orders of magnitude than any
change that leaving out a sample makes: a few elements then decide on all influence.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dit_clean.influence.adaptive_rules import (
    Hyper,
    Slots,
    number_of_update,
    shrunk,
)
from dit_clean.influence.functional import BatchGradient
from dit_clean.influence.update_rules import UpdateRule, update_rule_of
from dit_clean.tracking import StepRecord, TrainingState, Trajectory

N_FIRST = 2
"""Updates of an optimizer that are looked at. Gradients of an element rarely cancel in
three batches on end."""
DOMINATED = 10.0
"""Elements are looked at where a sample's gradient is this many times the scale."""
EXAGGERATED = 10.0
"""And smoothed where their derivative times that gradient is this many times the change
of the update."""


@dataclass(frozen=True)
class Scale:
    """What an optimizer divides steps by: the root of v' = decay v + weight g^2.

    Attributes
    ----------
    slot : str
        Where v is kept.
    weights : callable
        ``weights(hyper)`` -> (decay, weight).
    is_root : bool
        Whether the root of v is kept there.
    """

    slot: str
    weights: Callable[[Hyper], tuple[float, float]]
    is_root: bool = False

    def square(self, slots: Slots, grad: Tensor, hyper: Hyper) -> Tensor:
        """Return v'."""
        decay, weight = self.weights(hyper)
        added = grad * grad * weight
        if self.slot not in slots:
            return added
        values = slots[self.slot]
        return added.add_(values * values if self.is_root else values, alpha=decay)

    def lifted(self, values: Tensor, square: Tensor, hyper: Hyper) -> Tensor:
        """Return the slot from which v' gets the square of a gradient more."""
        decay, weight = self.weights(hyper)
        if decay == 0:
            return values  # nothing is kept: no slot moves v'
        more = square * (weight / decay)
        return (values * values + more).sqrt() if self.is_root else values + more


_ADAM = Scale("exp_avg_sq", lambda hyper: (hyper["betas"][1], 1 - hyper["betas"][1]))

SCALES: dict[type, Scale] = {
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.NAdam: _ADAM,
    torch.optim.RMSprop: Scale(
        "square_avg", lambda hyper: (hyper["alpha"], 1 - hyper["alpha"])
    ),
    torch.optim.Adagrad: Scale("sum", lambda _: (1.0, 1.0)),
    torch.optim.Adamax: Scale(
        "exp_inf", lambda hyper: (hyper["betas"][1] ** 2, 1.0), is_root=True
    ),
}
"""Not RAdam's, whose first updates are linear, nor Adadelta's, whose `eps` stands under
the root: its scale is never next to nothing."""


def smoothed(
    trajectory: Trajectory,
    record: StepRecord,
    state: TrainingState,
    gradient: BatchGradient,
) -> TrainingState:
    """Return the state at which to take the derivatives of an update.

    It is the given one but for `N_FIRST` updates, and for elements where a sample's
    gradient is typically `DOMINATED` times the scale. If their derivative says far more
    than the update does, or moves the scale that an earlier gradient has left, the
    sample's square is added to what the slot holds (unless ``betas`` or ``alpha`` say
    that it is forgotten at once). This depends on the step alone: influence stays
    linear in the query.

    Notes
    -----
    Cost: eight gradients of the batch loss at each of these updates.
    """
    scale = SCALES.get(trajectory.optimizer_type)
    if scale is None:
        return state
    groups = zip(trajectory.layout.groups, record.hyper, strict=True)
    first = [part for part in groups if number_of_update(part[1]) <= N_FIRST]
    if not first:
        return state
    rule = update_rule_of(trajectory.optimizer_type)
    squares = gradient.mean_square(record.step)
    lifted = state.slots.get(scale.slot, torch.zeros_like(squares)).clone()
    for where, hyper in first:
        slots = {name: values[where] for name, values in state.slots.items()}
        lifted[where] = _lifted(
            scale,
            rule,
            state.params[where],
            slots,
            gradient.grad[where],
            hyper,
            squares[where],
        )
    return replace(state, slots={**state.slots, scale.slot: lifted})


def _lifted(
    scale: Scale,
    rule: UpdateRule,
    theta: Tensor,
    slots: Slots,
    grad: Tensor,
    hyper: Hyper,
    squares: Tensor,
) -> Tensor:
    """Return the slot of a group, lifted where a sample decides on the scale."""
    values = slots.get(scale.slot, torch.zeros_like(grad)).clone()
    own = scale.square(slots, shrunk(theta, grad, hyper)[1], hyper)
    weight = scale.weights(hyper)[1]
    at = (own * DOMINATED**2 < weight * squares).nonzero()[:, 0]
    slots = {name: part[at] for name, part in slots.items()}
    size = squares[at].sqrt()
    is_wrong = _is_exaggerated(rule, theta[at], slots, grad[at], hyper, size)
    at = at[is_wrong | (values[at] > 0)]
    values[at] = scale.lifted(values[at], squares[at], hyper)
    return values


def _is_exaggerated(
    rule: UpdateRule,
    theta: Tensor,
    slots: Slots,
    grad: Tensor,
    hyper: Hyper,
    size: Tensor,
) -> Tensor:
    """Tell of which elements the derivative says far more than the update does."""
    variable = grad.detach().requires_grad_()
    now = rule(theta, slots, variable, hyper)[0]
    (slope,) = torch.autograd.grad(now.sum(), variable)
    less, more = (rule(theta, slots, grad + part, hyper)[0] for part in (-size, size))
    change = ((more - now).abs() + (now - less).abs()) / 2
    return slope.abs() * size > EXAGGERATED * change
