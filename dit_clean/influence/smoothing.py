"""Derivatives of first updates, smoothed over what leaving out a sample can do.

Optimizers that scale each element of the parameters by its own gradients move it by a
few learning rates at most, whatever the gradient. At first its scale is but the size of
a gradient or two. Where these are next to nothing, as they are where those of a batch
cancel, the derivative of the update is larger by orders of magnitude than the change
that leaving out any sample makes: among many elements it is a matter of chance by how
much, and a few of them decide on all influence.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dit_clean.influence.adaptive_rules import Hyper, Slots, shrunk
from dit_clean.influence.functional import BatchGradient
from dit_clean.influence.update_rules import UpdateRule, update_rule_of
from dit_clean.tracking import StepRecord, TrainingState, Trajectory

N_FIRST = 2
"""Updates that are looked at: that all gradients of three are next to nothing happens
in an element of millions."""
DOMINATED = 10.0
"""Times an element's scale that a sample adds to its gradient, from which on its
derivative is looked at."""
BEYOND = 10.0
"""Times the change of the update by so much, from which on the derivative is wrong."""


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

    def lifted(self, values: Tensor, size: Tensor, hyper: Hyper) -> Tensor:
        """Return the slot from which v' gets the square of a gradient more."""
        decay, weight = self.weights(hyper)
        if decay == 0:
            return values  # nothing is kept: no slot moves v'
        more = size * size * (weight / decay)
        return (values * values + more).sqrt() if self.is_root else values + more


_ADAM = Scale("exp_avg_sq", lambda hyper: (hyper["betas"][1], 1 - hyper["betas"][1]))

SCALES: dict[type, Scale] = {
    torch.optim.Adam: _ADAM,
    torch.optim.AdamW: _ADAM,
    torch.optim.NAdam: _ADAM,
    torch.optim.RAdam: _ADAM,
    torch.optim.RMSprop: Scale(
        "square_avg", lambda hyper: (hyper["alpha"], 1 - hyper["alpha"])
    ),
    torch.optim.Adagrad: Scale("sum", lambda _: (1.0, 1.0)),
    torch.optim.Adamax: Scale(
        "exp_inf", lambda hyper: (hyper["betas"][1] ** 2, 1.0), is_root=True
    ),
}
"""Not Adadelta's, whose `eps` stands under the root: no scale is next to nothing."""


def smoothed(
    trajectory: Trajectory,
    record: StepRecord,
    state: TrainingState,
    gradient: BatchGradient,
) -> TrainingState:
    """Return the state at which to take the derivatives of an update.

    It is the given one, but for elements where a sample typically adds `DOMINATED`
    times the scale to the gradient, and the derivative makes `BEYOND` times as much of
    that as the update itself: there the scale is what that sample would have made it.
    This depends on the step alone, so that influence stays linear in the query.

    Notes
    -----
    Cost: a gradient of the batch loss at each of the `N_FIRST` first steps of a run.
    """
    scale = SCALES.get(trajectory.optimizer_type)
    if scale is None or record.step >= N_FIRST:
        return state
    rule = update_rule_of(trajectory.optimizer_type)
    sizes = gradient.of_a_sample(record.step).abs_()
    lifted = state.slots.get(scale.slot, torch.zeros_like(sizes)).clone()
    for where, hyper in zip(trajectory.layout.groups, record.hyper, strict=True):
        theta, grad, size = state.params[where], gradient.grad[where], sizes[where]
        slots = {name: values[where] for name, values in state.slots.items()}
        square = scale.square(slots, shrunk(theta, grad, hyper)[1], hyper)
        weight = scale.weights(hyper)[1]
        at = (square * DOMINATED**2 < weight * size**2).nonzero()[:, 0]
        slots = {name: values[at] for name, values in slots.items()}
        at = at[_is_beyond(rule, theta[at], slots, grad[at], hyper, size[at])]
        part = lifted[where]
        part[at] = scale.lifted(part[at], size[at], hyper)
    return replace(state, slots={**state.slots, scale.slot: lifted})


def _is_beyond(
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
    return slope.abs() * size > BEYOND * change
