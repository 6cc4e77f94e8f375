"""Closed vector-Jacobian products of the update rules: autograd's answers, faster.

``vjp(slots, grad, hyper, adjoint) -> (earlier, cotangent)``: from the cotangents of the
state after an update (``adjoint``: "params" and slots, each (n_queries, n_params)) to
those of the state before it and of the gradient. None stands for options that have no
closed form here; autograd through the rule then answers. Tested against it.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

Slots: TypeAlias = Mapping[str, Tensor]
Products: TypeAlias = tuple[dict[str, Tensor], Tensor]
UpdateVJP: TypeAlias = Callable[
    [Slots, Tensor, Mapping[str, Any], Slots], Products | None
]


def sgd_vjp(
    slots: Slots, grad: Tensor, hyper: Mapping[str, Any], adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.SGD`` without Nesterov's momentum."""
    # Torch keeps the buffer of a step without momentum, for later steps.
    kept_buffer = hyper["momentum"] == 0 and "momentum_buffer" in slots
    if hyper["nesterov"] or hyper["maximize"] or kept_buffer:
        return None
    params = adjoint["params"]
    cotangent = params * -hyper["lr"]
    earlier = {}
    if hyper["momentum"] != 0:
        if "momentum_buffer" in adjoint:
            cotangent = cotangent.add_(adjoint["momentum_buffer"])
        if "momentum_buffer" in slots:
            earlier["momentum_buffer"] = cotangent * hyper["momentum"]
            cotangent = cotangent * (1 - hyper["dampening"])
    return earlier | {"params": _decayed(params, cotangent, hyper)}, cotangent


def adam_vjp(
    slots: Slots,
    grad: Tensor,
    hyper: Mapping[str, Any],
    adjoint: Slots,
    *,
    decoupled: bool = False,
) -> Products | None:
    """Return the products of ``torch.optim.Adam`` or ``AdamW``, without AMSGrad."""
    decoupled = decoupled or hyper.get("decoupled_weight_decay", False)
    coupled_decay = hyper["weight_decay"] != 0 and not decoupled
    if hyper["amsgrad"] or hyper["maximize"] or coupled_decay:
        return None
    (beta1, beta2), t = hyper["betas"], hyper.get("step", 0) + 1
    if slots:
        mean = torch.lerp(slots["exp_avg"], grad, 1 - beta1)
        square = (slots["exp_avg_sq"] * beta2).addcmul_(grad, grad, value=1 - beta2)
    else:
        mean, square = grad * (1 - beta1), grad * grad * (1 - beta2)
    root, correction = square.sqrt_(), (1 - beta2**t) ** 0.5
    scale = (root / correction).add_(hyper["eps"])
    params = adjoint["params"]
    by_step, rate = params / scale, -hyper["lr"] / (1 - beta1**t)
    # Where v = 0, its root has the derivative 0 (see update_rules).
    slope = mean.div_(scale).div_(root.masked_fill_(root == 0, torch.inf))
    if "exp_avg" in adjoint:
        by_mean = torch.add(adjoint["exp_avg"], by_step, alpha=rate)
        by_square = torch.addcmul(
            adjoint["exp_avg_sq"], by_step, slope, value=-0.5 * rate / correction
        )
    else:
        by_mean = by_step * rate
        by_square = by_step.mul_(slope).mul_(-0.5 * rate / correction)
    cotangent = (by_mean * (1 - beta1)).addcmul_(by_square, grad, value=2 - 2 * beta2)
    kept = 1 - hyper["lr"] * hyper["weight_decay"]
    earlier = {"params": params if kept == 1 else params * kept}
    if slots:
        earlier["exp_avg"] = by_mean.mul_(beta1)
        earlier["exp_avg_sq"] = by_square.mul_(beta2)
    return earlier, cotangent


UPDATE_VJPS: dict[type, UpdateVJP] = {
    torch.optim.SGD: sgd_vjp,
    torch.optim.Adam: adam_vjp,
    torch.optim.AdamW: partial(adam_vjp, decoupled=True),
}

LINEAR_UPDATES = (torch.optim.SGD,)
"""Whose update is linear in the gradient: its products do not depend on the values."""


def _decayed(params: Tensor, cotangent: Tensor, hyper: Mapping[str, Any]) -> Tensor:
    """Return the cotangent of parameters that an L2 penalty feeds into the gradient."""
    if hyper["weight_decay"] == 0:
        return params
    return params + hyper["weight_decay"] * cotangent
