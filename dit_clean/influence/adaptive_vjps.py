"""Vector-Jacobian products of `adaptive_rules` in closed form.

As `update_vjps` explains them: autograd's answers, None where options have none here.
To be asked by way of `update_vjp`, which sees to weight decay and `maximize`.
"""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from dit_clean.influence.adaptive_rules import (
    Hyper,
    Slots,
    nadam_shares,
    number_of_update,
    radam_rectification,
)

Products: TypeAlias = tuple[dict[str, Tensor], Tensor]


def adam_vjp(
    slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.Adam`` or ``AdamW``, without AMSGrad."""
    if hyper["amsgrad"] or "max_exp_avg_sq" in slots:
        return None
    (beta1, beta2), t = hyper["betas"], number_of_update(hyper)
    return _scaled_vjp(
        slots,
        grad,
        adjoint,
        decays=(beta1, beta2),
        rate=hyper["lr"] / (1 - beta1**t),
        correction=(1 - beta2**t) ** 0.5,
        eps=hyper["eps"],
    )


def nadam_vjp(slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots) -> Products:
    """Return the products of ``torch.optim.NAdam``."""
    (_, beta2), t = hyper["betas"], number_of_update(hyper)
    _, *shares = nadam_shares(slots, grad, hyper)
    return _scaled_vjp(
        slots,
        grad,
        adjoint,
        decays=hyper["betas"],
        rate=hyper["lr"],
        shares=shares,
        correction=(1 - beta2**t) ** 0.5,
        eps=hyper["eps"],
    )


def radam_vjp(
    slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.RAdam`` where it adapts its steps."""
    rectified = radam_rectification(hyper)
    if rectified is None:
        return None
    (beta1, _), t = hyper["betas"], number_of_update(hyper)
    return _scaled_vjp(
        slots,
        grad,
        adjoint,
        decays=hyper["betas"],
        rate=hyper["lr"] * rectified / (1 - beta1**t),
        eps=hyper["eps"],
    )


def rmsprop_vjp(
    slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.RMSprop``, neither centered nor averaged."""
    is_plain = not hyper["centered"] and hyper["momentum"] == 0
    if not is_plain or slots.keys() - {"square_avg"}:
        return None
    return _scaled_vjp(
        slots,
        grad,
        adjoint,
        square_slot="square_avg",
        decays=(0.0, hyper["alpha"]),
        rate=hyper["lr"],
        eps=hyper["eps"],
    )


def adagrad_vjp(
    slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.Adagrad``."""
    if not slots:
        return None
    return _scaled_vjp(
        slots,
        grad,
        adjoint,
        square_slot="sum",
        decays=(0.0, 1.0),
        weight=1.0,
        rate=hyper["lr"] / (1 + hyper.get("step", 0) * hyper["lr_decay"]),
        eps=hyper["eps"],
    )


def adadelta_vjp(
    slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.Adadelta``."""
    if not slots:
        return None
    rho, eps = hyper["rho"], hyper["eps"]
    square = (slots["square_avg"] * rho).addcmul_(grad, grad, value=1 - rho).add_(eps)
    moved = slots["acc_delta"] + eps
    ratio = (moved / square).sqrt_()
    delta = ratio * grad
    by_delta = adjoint["params"] * -hyper["lr"]
    if "acc_delta" in adjoint:
        by_delta.addcmul_(adjoint["acc_delta"], delta, value=2 - 2 * rho)
    by_square = torch.mul(by_delta, delta / square).mul_(-0.5)
    by_moved = torch.mul(by_delta, delta.div_(moved)).mul_(0.5)
    if "acc_delta" in adjoint:
        by_square.add_(adjoint["square_avg"])
        by_moved.add_(adjoint["acc_delta"], alpha=rho)
    cotangent = by_delta.mul_(ratio).addcmul_(by_square, grad, value=2 - 2 * rho)
    return {
        "params": adjoint["params"],
        "square_avg": by_square.mul_(rho),
        "acc_delta": by_moved,
    }, cotangent


def adamax_vjp(
    slots: Slots, grad: Tensor, hyper: Hyper, adjoint: Slots
) -> Products | None:
    """Return the products of ``torch.optim.Adamax``."""
    if "exp_avg" not in slots:
        return None
    (beta1, beta2), t = hyper["betas"], number_of_update(hyper)
    earlier, now = slots["exp_inf"] * beta2, grad.abs().add_(hyper["eps"])
    largest = torch.maximum(earlier, now)
    slope = torch.lerp(slots["exp_avg"], grad, 1 - beta1).div_(largest)
    by_mean = adjoint["params"] * (-hyper["lr"] / (1 - beta1**t) / largest)
    by_largest = (by_mean * slope).neg_()
    if "exp_avg" in adjoint:
        by_mean.add_(adjoint["exp_avg"])
        by_largest.add_(adjoint["exp_inf"])
    # As autograd has it, halves of both where they are equal.
    share = torch.where(earlier == now, 0.5, (earlier > now).to(grad.dtype))
    by_earlier = by_largest * share
    cotangent = by_largest.sub_(by_earlier).mul_(grad.sign())
    cotangent.add_(by_mean, alpha=1 - beta1)
    return {
        "params": adjoint["params"],
        "exp_avg": by_mean.mul_(beta1),
        "exp_inf": by_earlier.mul_(beta2),
    }, cotangent


def _scaled_vjp(  # noqa: PLR0913
    slots: Slots,
    grad: Tensor,
    adjoint: Slots,
    *,
    decays: tuple[float, float],
    rate: float,
    eps: float,
    correction: float = 1.0,
    square_slot: str = "exp_avg_sq",
    weight: float | None = None,
    shares: Sequence[Tensor] | None = None,
) -> Products:
    """Return the products of what Adam, RMSprop and their kin have in common.

    theta' = theta - rate m' / (sqrt(v') / correction + eps) with
    m' = beta1 m + (1 - beta1) g and v' = beta2 v + weight g^2; `weight` is 1 - beta2
    by default. With `shares` (a, b), a g + b m' in place of m'. Slots that are not
    there are 0.
    """
    beta1, beta2 = decays
    weight = 1 - beta2 if weight is None else weight
    if slots:
        square = (slots[square_slot] * beta2).addcmul_(grad, grad, value=weight)
    else:
        square = grad * grad * weight
    if "exp_avg" in slots:
        direction = torch.lerp(slots["exp_avg"], grad, 1 - beta1)
    else:
        direction = grad * (1 - beta1)
    if shares is not None:
        direction.mul_(shares[1]).addcmul_(shares[0], grad)
    root = square.sqrt_()
    scale = (root / correction).add_(eps)
    # Where v = 0, its root has the derivative 0 (see adaptive_rules).
    inverse = root.reciprocal_().nan_to_num_(nan=torch.nan, posinf=0.0)
    slope = direction.div_(scale).mul_(inverse)
    by_step = (adjoint["params"] / scale).mul_(-rate)
    by_square = (by_step * slope).mul_(-0.5 / correction)
    if square_slot in adjoint:
        by_square.add_(adjoint[square_slot])
    by_mean = by_step if shares is None else by_step * shares[1]
    if "exp_avg" in adjoint:
        by_mean = by_mean + adjoint["exp_avg"]
    cotangent = (by_mean * (1 - beta1)).addcmul_(by_square, grad, value=2 * weight)
    if shares is not None:
        cotangent.addcmul_(by_step, shares[0])
    earlier = {"params": adjoint["params"]}
    if slots:
        earlier[square_slot] = by_square.mul_(beta2)
    if "exp_avg" in slots:
        earlier["exp_avg"] = by_mean.mul_(beta1)
    return earlier, cotangent
