"""Running statistics of batch normalization, and how they follow the parameters.

In training mode a layer normalizes by the statistics of the batch, and its running
ones, which a query in evaluation mode is normalized by, move towards them:

    s[t+1] = (1 - m) s[t] + m batch statistics(theta[t], S[t]).

So a query depends on earlier parameters by this way too. Torch's own update of s is no
part of autograd's graph; here the same values are computed within it. (A sample whose
loss term is left out stays in the batch, and in its statistics.)
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dit_clean.influence.stand_ins import StandIns

MEAN, VARIANCE = "running_mean", "running_var"


def statistics_names(module: nn.Module) -> list[str]:
    """Return the names of the buffers that hold running means and variances."""
    return [
        f"{name}.{buffer}".lstrip(".")
        for name, layer in _layers(module)
        for buffer in (MEAN, VARIANCE)
    ]


def frozen_statistics(module: nn.Module, modes: tuple[bool, ...] | None) -> list[str]:
    """Return those of `statistics_names` whose layer is not in training mode.

    `modes` says it of each of ``module.modules()``; None: all are.
    """
    if modes is None:
        return []
    frozen = {
        name
        for (name, _), mode in zip(module.named_modules(), modes, strict=True)
        if not mode
    }
    names = statistics_names(module)
    return [name for name in names if name.rpartition(".")[0] in frozen]


@contextmanager
def followed_statistics(
    module: nn.Module, statistics: Mapping[str, Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Yield a dict of running statistics that forward passes inside bring up to date.

    Parameters
    ----------
    module : nn.Module
        Statistics of layers that are not in training mode stay.
    statistics : dict of str to Tensor
        Values before the batch, by `statistics_names`.
    """
    values = dict(statistics)
    layers = _layers(module) if values else []
    hooks = [
        layer.register_forward_pre_hook(partial(_update, name, values))
        for name, layer in layers
    ]
    try:
        yield values
    finally:
        for hook in hooks:
            hook.remove()


def differentiable_norm() -> StandIns:
    """Return a context in which evaluation mode has derivatives by running statistics.

    Torch's own operation has none; the formula has.
    """
    return StandIns({nn.functional.batch_norm: _batch_norm})


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return what ``torch.nn.functional.batch_norm`` returns."""
    if training or running_mean is None or running_var is None:
        return nn.functional.batch_norm(
            input, None, None, weight, bias, training, momentum, eps
        )
    scale = (running_var + eps).rsqrt()
    scale = scale if weight is None else scale * weight
    shift = -running_mean * scale if bias is None else bias - running_mean * scale
    shape = (1, -1, *[1] * (input.ndim - 2))
    return input * scale.reshape(shape) + shift.reshape(shape)


def _layers(module: nn.Module) -> list[tuple[str, _BatchNorm]]:
    return [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None
    ]


def _update(
    name: str, values: dict[str, Tensor], layer: _BatchNorm, inputs: tuple[Any, ...]
) -> None:
    if not layer.training:
        return
    (batch,) = inputs
    axes = [axis for axis in range(batch.ndim) if axis != 1]
    found = {
        MEAN: batch.mean(axes),
        VARIANCE: batch.var(axes, unbiased=True),
    }
    share: Any = layer.momentum
    if share is None:  # the mean over all batches so far
        share = 1 / (int(cast("Tensor", layer.num_batches_tracked)) + 1)
    for buffer, value in found.items():
        key = f"{name}.{buffer}".lstrip(".")
        values[key] = values[key] + share * (value.to(values[key]) - values[key])
