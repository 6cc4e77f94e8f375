"""Closed vector-Jacobian products of the update rules: autograd's answers, faster.

``vjp(slots, grad, hyper, adjoint) -> (earlier, cotangent)``: from the cotangents of the
state after an update (``adjoint``: "params" and slots, each (n_queries, n_params)) to
those of the state before it and of the gradient. None stands for options that have no
closed form here; autograd through the rule then answers. Tested against it. To be asked
by `update_vjp`, which sees to what optimizers make of the gradient.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from dit_clean.influence.adaptive_rules import Hyper, Slots
from dit_clean.influence.adaptive_vjps import (
    Products,
    adadelta_vjp,
    adagrad_vjp,
    adam_vjp,
    adamax_vjp,
    nadam_vjp,
    radam_vjp,
    rmsprop_vjp,
)

UpdateVJP: TypeAlias = Callable[[Slots, Tensor, Hyper, Slots], Products | None]


def sgd_vjp(
    slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.SGD``."""
    momentum = hyper["momentum"]
    if momentum == 0 and "momentum_buffer" in slots:
        return None  # torch keeps the buffer, for later steps
    cotangent = adjoint["params"] * -hyper["lr"]
    earlier = {"params": adjoint["params"]}
    if momentum != 0:
        by_buffer = cotangent * momentum if hyper["nesterov"] else cotangent
        if "momentum_buffer" in adjoint:
            by_buffer.add_(adjoint["momentum_buffer"])
        if "momentum_buffer" in slots:
            earlier["momentum_buffer"] = by_buffer * momentum
            by_buffer = by_buffer * (1 - hyper["dampening"])
        cotangent = cotangent + by_buffer if hyper["nesterov"] else by_buffer
    return earlier, cotangent


UPDATE_VJPS: dict[type, UpdateVJP] = {
    torch.optim.SGD: sgd_vjp,
    torch.optim.Adam: adam_vjp,
    torch.optim.AdamW: adam_vjp,
    torch.optim.RMSprop: rmsprop_vjp,
    torch.optim.Adagrad: adagrad_vjp,
    torch.optim.Adadelta: adadelta_vjp,
    torch.optim.Adamax: adamax_vjp,
    torch.optim.NAdam: nadam_vjp,
    torch.optim.RAdam: radam_vjp,
}

LINEAR_UPDATES = (torch.optim.SGD,)
"""Whose update is linear in the gradient: its products do not depend on the values."""


def update_vjp(
    optimizer_type: type,
    params: Tensor,
    slots: Slots,
    grad: Tensor,
    hyper: Hyper,
    adjoint: Slots,
) -> Products | None:
    """Return the closed products of an update; None if there are none.

    An L2 penalty and `maximize` are g' = weight_decay theta +- g in the place of g,
    decoupled weight decay shrinks the parameters before the update.
    """
    closed = UPDATE_VJPS.get(optimizer_type)
    if closed is None:
        return None
    decay, sign = hyper["weight_decay"], -1 if hyper["maximize"] else 1
    if decay == 0 and sign == 1:
        return closed(slots, grad, hyper, adjoint)
    decoupled = hyper.get("decoupled_weight_decay", False)
    if sign == -1:
        grad = -grad
    if not decoupled and optimizer_type not in LINEAR_UPDATES:
        grad = torch.add(grad, params, alpha=decay)
    products = closed(slots, grad, hyper, adjoint)
    if products is None:
        return None
    earlier, cotangent = products
    by_params = earlier["params"]
    if decoupled:
        by_params = by_params * (1 - hyper["lr"] * decay)
    else:
        by_params = torch.add(by_params, cotangent, alpha=decay)
    return earlier | {"params": by_params}, sign * cotangent
