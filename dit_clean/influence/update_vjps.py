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

from dit_clean.influence.adaptive_rules import Slots
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


UPDATE_VJPS: dict[type, UpdateVJP] = {
    torch.optim.SGD: sgd_vjp,
    torch.optim.Adam: adam_vjp,
    torch.optim.AdamW: partial(adam_vjp, decoupled=True),
    torch.optim.RMSprop: rmsprop_vjp,
    torch.optim.Adagrad: adagrad_vjp,
    torch.optim.Adadelta: adadelta_vjp,
    torch.optim.Adamax: adamax_vjp,
    torch.optim.NAdam: nadam_vjp,
    torch.optim.RAdam: radam_vjp,
}

LINEAR_UPDATES = (torch.optim.SGD,)
"""Whose update is linear in the gradient: its products do not depend on the values."""


def _decayed(params: Tensor, cotangent: Tensor, hyper: Mapping[str, Any]) -> Tensor:
    """Return the cotangent of parameters that an L2 penalty feeds into the gradient."""
    if hyper["weight_decay"] == 0:
        return params
    return params + hyper["weight_decay"] * cotangent
