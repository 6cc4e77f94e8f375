"""Updates of the optimizers that scale every element's step by its own gradients.

Rules as `update_rules` explains them. In the formulas g is the gradient, negated where
torch maximizes, with the penalty weight_decay theta added; t the number of the update,
from 1; sqrt has the derivative 0 where it is infinite.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

Slots: TypeAlias = Mapping[str, Tensor]
Hyper: TypeAlias = Mapping[str, Any]
Update: TypeAlias = tuple[Tensor, dict[str, Tensor]]

MIN_RECTIFIED = 5.0
"""RAdam adapts its steps from this length of the averages on."""


def rmsprop(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.RMSprop``.

    v' = alpha v + (1 - alpha) g^2; a' = alpha a + (1 - alpha) g if centered, else 0;
    s = g / (sqrt(v' - a'^2) + eps); b' = momentum b + s; theta' = theta - lr b'.
    """
    alpha, momentum = hyper["alpha"], hyper["momentum"]
    grad = decayed(theta, grad, hyper)
    square = _mean_square(slots, "square_avg", grad, alpha)
    new = {"square_avg": square}
    if hyper["centered"]:
        new["grad_avg"] = mean = _mean(slots, "grad_avg", grad, alpha)
        square = torch.addcmul(square, mean, mean, value=-1)
    direction = grad / (safe_sqrt(square) + hyper["eps"])
    if momentum > 0:
        buffer = slots.get("momentum_buffer", torch.zeros_like(grad))
        new["momentum_buffer"] = direction = momentum * buffer + direction
    # Torch leaves what options do not use as it is, for later steps.
    return theta - hyper["lr"] * direction, {**slots, **new}


def adagrad(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.Adagrad``, which has a sum before the first.

    s' = s + g^2; theta' = theta - lr / (1 + (t - 1) lr_decay) g / (sqrt(s') + eps).
    """
    grad = decayed(theta, grad, hyper)
    start = hyper["initial_accumulator_value"]
    total = slots.get("sum", torch.full_like(grad, start)) + grad * grad
    rate = hyper["lr"] / (1 + hyper.get("step", 0) * hyper["lr_decay"])
    return theta - rate * grad / (safe_sqrt(total) + hyper["eps"]), {"sum": total}


def adadelta(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.Adadelta``.

    v' = rho v + (1 - rho) g^2; d = sqrt(a + eps) / sqrt(v' + eps) g;
    a' = rho a + (1 - rho) d^2; theta' = theta - lr d.
    """
    rho, eps = hyper["rho"], hyper["eps"]
    grad = decayed(theta, grad, hyper)
    square = _mean_square(slots, "square_avg", grad, rho)
    earlier = slots.get("acc_delta", torch.zeros_like(grad))
    delta = safe_sqrt(earlier + eps) / safe_sqrt(square + eps) * grad
    new = {
        "square_avg": square,
        "acc_delta": _mean_square(slots, "acc_delta", delta, rho),
    }
    return theta - hyper["lr"] * delta, new


def adam(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.Adam``, and of ``AdamW``.

    m' = beta1 m + (1 - beta1) g; v' = beta2 v + (1 - beta2) g^2;
    theta' = theta - lr m'/(1 - beta1^t) / (sqrt(v'/(1 - beta2^t)) + eps).

    Weight decay is added to g (Adam) or shrinks theta first (AdamW).
    """
    lr, (beta1, beta2), t = hyper["lr"], hyper["betas"], number_of_update(hyper)
    theta, grad = shrunk(theta, grad, hyper)
    new = _moments(slots, grad, beta1, beta2)
    square = new["exp_avg_sq"]
    if hyper["amsgrad"]:
        earlier = slots.get("max_exp_avg_sq", torch.zeros_like(grad))
        new["max_exp_avg_sq"] = square = torch.maximum(earlier, square)
    scale = safe_sqrt(square) / (1 - beta2**t) ** 0.5 + hyper["eps"]
    # As in `rmsprop`: the largest square stays while nothing asks for it.
    return theta - lr / (1 - beta1**t) * new["exp_avg"] / scale, {**slots, **new}


def adamax(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.Adamax``.

    m' = beta1 m + (1 - beta1) g; u' = max(beta2 u, |g| + eps);
    theta' = theta - lr m'/(1 - beta1^t) / u'.
    """
    beta1, beta2 = hyper["betas"]
    grad = decayed(theta, grad, hyper)
    mean = _mean(slots, "exp_avg", grad, beta1)
    earlier = beta2 * slots.get("exp_inf", torch.zeros_like(grad))
    largest = torch.maximum(earlier, grad.abs() + hyper["eps"])
    rate = hyper["lr"] / (1 - beta1 ** number_of_update(hyper))
    return theta - rate * mean / largest, {"exp_avg": mean, "exp_inf": largest}


def nadam(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.NAdam``.

    m', v' and weight decay as Adam's; mu[t] = beta1 (1 - 0.96^(t momentum_decay) / 2);
    p' = p mu[t], from p = 1; theta' = theta - lr (n + n') / (sqrt(v'/(1 - beta2^t))
    + eps) with n = (1 - mu[t]) / (1 - p') g, n' = mu[t + 1] / (1 - p' mu[t + 1]) m'.
    """
    (beta1, beta2), t = hyper["betas"], number_of_update(hyper)
    theta, grad = shrunk(theta, grad, hyper)
    new = _moments(slots, grad, beta1, beta2)
    new["mu_product"], by_grad, by_mean = nadam_shares(slots, grad, hyper)
    scale = safe_sqrt(new["exp_avg_sq"]) / (1 - beta2**t) ** 0.5 + hyper["eps"]
    direction = by_grad * grad + by_mean * new["exp_avg"]
    return theta - hyper["lr"] * direction / scale, new


def nadam_shares(
    slots: Slots, grad: Tensor, hyper: Hyper
) -> tuple[Tensor, Tensor, Tensor]:
    """Return NAdam's p' and the factors of g and m' in its step, of each element."""
    beta1, t = hyper["betas"][0], number_of_update(hyper)
    mu, mu_next = (
        beta1 * (1 - 0.5 * 0.96 ** (step * hyper["momentum_decay"]))
        for step in (t, t + 1)
    )
    # No parameter moves this product. Torch rounds it to the precision of its own.
    before = slots.get("mu_product")
    if before is None:
        dtype = torch.promote_types(torch.get_default_dtype(), torch.float32)
        before = torch.ones_like(grad, dtype=dtype)
    product = before.detach() * mu
    exact = product.to(torch.promote_types(product.dtype, grad.dtype))
    by_grad, by_mean = (1 - mu) / (1 - exact), mu_next / (1 - exact * mu_next)
    return product, by_grad.to(grad.dtype), by_mean.to(grad.dtype)


def radam(theta: Tensor, slots: Slots, grad: Tensor, hyper: Hyper) -> Update:
    """Return the update of ``torch.optim.RAdam``.

    m', v' and weight decay as Adam's; l = 2/(1 - beta2) - 1;
    l[t] = l - 2 t beta2^t / (1 - beta2^t);
    r = sqrt((l[t] - 4) (l[t] - 2) l / ((l - 4) (l - 2) l[t]));
    theta' = theta - lr m'/(1 - beta1^t) r sqrt(1 - beta2^t) / (sqrt(v') + eps), and
    theta' = theta - lr m'/(1 - beta1^t) as long as l[t] <= 5.
    """
    beta1, beta2 = hyper["betas"]
    theta, grad = shrunk(theta, grad, hyper)
    new = _moments(slots, grad, beta1, beta2)
    rate = hyper["lr"] / (1 - beta1 ** number_of_update(hyper))
    rectified = radam_rectification(hyper)
    if rectified is None:
        return theta - rate * new["exp_avg"], new
    scale = safe_sqrt(new["exp_avg_sq"]) + hyper["eps"]
    return theta - rate * rectified * new["exp_avg"] / scale, new


def radam_rectification(hyper: Hyper) -> float | None:
    """Return RAdam's r sqrt(1 - beta2^t); None where it does not adapt its steps."""
    beta2, t = hyper["betas"][1], number_of_update(hyper)
    limit, correction = 2 / (1 - beta2) - 1, 1 - beta2**t
    length = limit - 2 * t * beta2**t / correction
    if length <= MIN_RECTIFIED:
        return None
    square = (length - 4) * (length - 2) * limit
    square /= (limit - 4) * (limit - 2) * length
    return float((square * correction) ** 0.5)


def decayed(theta: Tensor, grad: Tensor, hyper: Hyper) -> Tensor:
    """Return the gradient with its L2 penalty, negated where torch maximizes."""
    grad = -grad if hyper["maximize"] else grad
    if hyper["weight_decay"] == 0:
        return grad
    return grad + hyper["weight_decay"] * theta


def safe_sqrt(square: Tensor) -> Tensor:
    """Return the square root, with derivative 0 where it is infinite (at 0).

    A parameter that never had a gradient (a dead unit) has v = 0 and stays there. What
    rounding has made negative counts as 0: if it were so in training, too, that would
    have ended with NaN.
    """
    zero = square <= 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, square).sqrt())


def shrunk(theta: Tensor, grad: Tensor, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """Return parameters and gradient after weight decay, decoupled or not."""
    if not hyper.get("decoupled_weight_decay", False):
        return theta, decayed(theta, grad, hyper)
    grad = -grad if hyper["maximize"] else grad
    return theta * (1 - hyper["lr"] * hyper["weight_decay"]), grad


def _moments(
    slots: Slots, grad: Tensor, beta1: float, beta2: float
) -> dict[str, Tensor]:
    """Return the moving averages of gradients and squares that Adam's kin keeps."""
    return {
        "exp_avg": _mean(slots, "exp_avg", grad, beta1),
        "exp_avg_sq": _mean_square(slots, "exp_avg_sq", grad, beta2),
    }


def _mean(slots: Slots, name: str, values: Tensor, decay: float) -> Tensor:
    earlier = slots.get(name, torch.zeros_like(values))
    return torch.lerp(earlier, values, 1 - decay)


def _mean_square(slots: Slots, name: str, values: Tensor, decay: float) -> Tensor:
    earlier = slots.get(name, torch.zeros_like(values))
    return torch.addcmul(decay * earlier, values, values, value=1 - decay)


def number_of_update(hyper: Hyper) -> int:
    """Return the number of an update, from 1."""
    return int(hyper.get("step", 0)) + 1
