"""Optimizer updates as pure functions, for one flat vector of parameters.

A rule is ``rule(theta, slots, grad, hyper) -> (theta', slots')``: element-wise, made
of differentiable tensor operations, with torch's exact semantics. `slots` may be empty
before the first update; `hyper` holds the group's hyper-parameters and, for rules that
count, ``"step"``, the number of updates made before, if any. To teach tracking one more
optimizer, write such a function and add it to `UPDATE_RULES`; the tests then hold it
against ``torch.optim`` and against autograd through unrolled training. Its state has to
be ``"step"``, which all parameters of a group share, and tensors of the parameters'
shape, which are 0 before the first update or there already. Numbers that it keeps for
each parameter (NAdam's product) are slots, too, once
`dit_clean.tracking.replay.NUMBERS` names them. If steps are divided by a mean of
squared gradients, say where it is kept in `dit_clean.influence.smoothing.SCALES`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from dit_clean.influence.adaptive_rules import (
    Hyper,
    Slots,
    Update,
    adadelta,
    adagrad,
    adam,
    adamax,
    decayed,
    nadam,
    radam,
    rmsprop,
)

PARAMS = "params"
"""The parameters among the slots of a state."""

UpdateRule: TypeAlias = Callable[[Tensor, Slots, Tensor, Hyper], Update]


def sgd(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.SGD``.

    g' = g + weight_decay theta; b' = momentum b + (1 - dampening) g' (b' = g' at the
    first update); theta' = theta - lr (g' + momentum b' if nesterov, else b').
    """
    grad = decayed(theta, grad, hyper)
    momentum = hyper["momentum"]
    if momentum == 0:
        return theta - hyper["lr"] * grad, dict(slots)
    buffer = grad
    if "momentum_buffer" in slots:
        new = (1 - hyper["dampening"]) * grad
        buffer = momentum * slots["momentum_buffer"] + new
    direction = grad + momentum * buffer if hyper["nesterov"] else buffer
    return theta - hyper["lr"] * direction, {"momentum_buffer": buffer}


UPDATE_RULES: dict[type, UpdateRule] = {
    torch.optim.SGD: sgd,
    torch.optim.Adam: adam,
    torch.optim.AdamW: adam,
    torch.optim.RMSprop: rmsprop,
    torch.optim.Adagrad: adagrad,
    torch.optim.Adadelta: adadelta,
    torch.optim.Adamax: adamax,
    torch.optim.NAdam: nadam,
    torch.optim.RAdam: radam,
}


def update_rule_of(optimizer_type: type) -> UpdateRule:
    """Return the update rule of an optimizer class.

    Raises
    ------
    ValueError
        If no rule is known; lists the optimizers that have one.
    """
    if optimizer_type in UPDATE_RULES:
        return UPDATE_RULES[optimizer_type]
    known = ", ".join(known.__name__ for known in UPDATE_RULES)
    raise ValueError(
        f"Optimizer {optimizer_type.__name__} cannot be tracked: its update rule is "
        f"unknown. Known optimizers of torch.optim: {known}. To add one, put its rule "
        "into dit_clean.influence.update_rules.UPDATE_RULES."
    )


def apply_rule(
    rule: UpdateRule,
    groups: Sequence[slice],
    hyper: tuple[Hyper, ...],
    state: Mapping[str, Tensor],
    grad: Tensor,
) -> dict[str, Tensor]:
    """Return the state after an update: "params" and slots, of the groups' elements."""
    parts = []
    for where, settings in zip(groups, hyper, strict=True):
        slots = {name: v[where] for name, v in state.items() if name != PARAMS}
        theta, slots = rule(state[PARAMS][where], slots, grad[where], settings)
        parts.append({PARAMS: theta, **slots})
    if len(parts) == 1:
        return parts[0]
    names = {name for part in parts for name in part}
    return {
        name: torch.cat(
            [part.get(name, torch.zeros_like(part[PARAMS])) for part in parts]
        )
        for name in names
    }
