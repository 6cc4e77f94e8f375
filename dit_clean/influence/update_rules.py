"""Optimizer updates as pure functions, for one flat vector of parameters.

A rule is ``rule(theta, slots, grad, hyper) -> (theta', slots')``: element-wise, made
of differentiable tensor operations, with torch's exact semantics. `slots` is empty
before the first update; `hyper` holds the group's hyper-parameters and, for rules that
count, ``"step"``, the number of updates made before. To teach tracking one more
optimizer, write such a function and add it to `UPDATE_RULES`; the tests then hold it
against ``torch.optim`` and against autograd through unrolled training. Its state has to
be of the parameters' shape, and to begin with the first update.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

PARAMS = "params"
"""The parameters among the slots of a state."""

Slots: TypeAlias = Mapping[str, Tensor]
UpdateRule: TypeAlias = Callable[
    [Tensor, Slots, Tensor, Mapping[str, Any]], tuple[Tensor, dict[str, Tensor]]
]


def sgd(
    theta: Tensor, slots: Slots, grad: Tensor, hyper: Mapping[str, Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the update of ``torch.optim.SGD``.

    g' = g + weight_decay theta; b' = momentum b + (1 - dampening) g' (b' = g' at the
    first update); theta' = theta - lr (g' + momentum b' if nesterov, else b').
    """
    grad = _decayed(theta, grad, hyper)
    momentum = hyper["momentum"]
    if momentum == 0:
        return theta - hyper["lr"] * grad, dict(slots)
    buffer = grad
    if "momentum_buffer" in slots:
        new = (1 - hyper["dampening"]) * grad
        buffer = momentum * slots["momentum_buffer"] + new
    direction = grad + momentum * buffer if hyper["nesterov"] else buffer
    return theta - hyper["lr"] * direction, {"momentum_buffer": buffer}


def adam(
    theta: Tensor,
    slots: Slots,
    grad: Tensor,
    hyper: Mapping[str, Any],
    *,
    decoupled: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the update of ``torch.optim.Adam``; with `decoupled`, of ``AdamW``.

    m' = beta1 m + (1 - beta1) g; v' = beta2 v + (1 - beta2) g^2;
    theta' = theta - lr m'/(1 - beta1^t) / (sqrt(v'/(1 - beta2^t)) + eps).

    Weight decay is added to g (Adam) or shrinks theta first (AdamW).
    """
    lr, (beta1, beta2) = hyper["lr"], hyper["betas"]
    if decoupled or hyper.get("decoupled_weight_decay", False):
        grad = -grad if hyper["maximize"] else grad
        theta = theta * (1 - lr * hyper["weight_decay"])
    else:
        grad = _decayed(theta, grad, hyper)
    t = hyper.get("step", 0) + 1
    zeros = torch.zeros_like(grad)
    mean = beta1 * slots.get("exp_avg", zeros) + (1 - beta1) * grad
    square = beta2 * slots.get("exp_avg_sq", zeros) + (1 - beta2) * grad * grad
    new = {"exp_avg": mean, "exp_avg_sq": square}
    if hyper["amsgrad"]:
        square = torch.maximum(slots.get("max_exp_avg_sq", zeros), square)
        new["max_exp_avg_sq"] = square
    scale = _safe_sqrt(square) / (1 - beta2**t) ** 0.5 + hyper["eps"]
    return theta - lr / (1 - beta1**t) * mean / scale, new


UPDATE_RULES: dict[type, UpdateRule] = {
    torch.optim.SGD: sgd,
    torch.optim.Adam: adam,
    torch.optim.AdamW: partial(adam, decoupled=True),
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
    hyper: tuple[Mapping[str, Any], ...],
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


def _decayed(theta: Tensor, grad: Tensor, hyper: Mapping[str, Any]) -> Tensor:
    """Return the gradient with its L2 penalty, negated where torch maximizes."""
    grad = -grad if hyper["maximize"] else grad
    if hyper["weight_decay"] == 0:
        return grad
    return grad + hyper["weight_decay"] * theta


def _safe_sqrt(square: Tensor) -> Tensor:
    """Return the square root, with derivative 0 where it is infinite (at 0).

    A parameter that never had a gradient (a dead unit) has v = 0 and stays there.
    """
    zero = square == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())
