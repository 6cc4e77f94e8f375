"""Running statistics of batch normalization, and how they follow the parameters.

In training mode a layer normalizes by the statistics of the batch, and its running
ones, which a query in evaluation mode is normalized by, move towards them:

    s[t+1] = (1 - m) s[t] + m batch statistics(theta[t], S[t]).

So a query depends on earlier parameters by this way too. Torch's own update of s is no
part of autograd's graph; here the same values are computed within it. (A sample whose
loss term is left out stays in the batch, and in its statistics.)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dit_clean.influence.stand_ins import StandIns
from dit_clean.tracking import (
    StepRecord,
    TrackedModel,
    TrainingState,
    Trajectory,
)
from dit_clean.tracking.layers import labeled
from dit_clean.tracking.model import get_modes
from dit_clean.tracking.storage import are_same
from dit_clean.warning import warn

Follow = Callable[[Tensor | None, Tensor, float], None]
MEAN, VARIANCE = "running_mean", "running_var"


def statistics_names(module: nn.Module) -> list[str]:
    """Return the names of the buffers that hold running means and variances."""
    return [
        f"{name}.{buffer}".lstrip(".")
        for name, layer in _layers(module)
        for buffer in (MEAN, VARIANCE)
    ]


def variance_names(module: nn.Module) -> list[str]:
    """Return those that hold variances: means of centered inputs are rounding error."""
    return [name for name in statistics_names(module) if name.endswith(VARIANCE)]


def unfollowed_buffers(trajectory: Trajectory) -> list[str]:
    """Return the names of buffers that training has changed in some other way.

    Running statistics of instance normalization, vectors of a spectral norm, a module's
    own averages: influence takes them as they were at each step.
    """
    followed = statistics_names(trajectory.model.module)
    others = {
        name: values
        for name, values in trajectory.state(0).buffers.items()
        if values.is_floating_point() and name not in followed
    }
    if not others:  # the last state may have to be replayed
        return []
    last = trajectory.state(trajectory.n_steps).buffers
    return [n for n, values in others.items() if not are_same(values, last[n])]


def warn_of_buffers(changed: Sequence[str]) -> None:
    """Warn if training has changed buffers in a way that influence does not follow.

    Parameters
    ----------
    changed : sequence of str
        What `unfollowed_buffers` returns.
    """
    if changed:
        warn(
            f"The forward pass changes {', '.join(changed)} while the network trains. "
            "Influence does not follow it, only the statistics of batch normalization, "
            "and is off by a tenth or more where outputs depend on it. Use "
            "InstanceNorm with track_running_stats=False, and weight_norm in place of "
            "spectral_norm."
        )


def check_norms(
    trajectory: Trajectory, record: StepRecord, state: TrainingState
) -> None:
    """Raise if a layer of batch normalization moves its running statistics by itself.

    Or if the network reads them when they have been moved. What torch's function would
    move stays where it is while another function stands in for it.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run; it may have no steps yet.
    record : StepRecord
        Whose batch to run, in all modes that layers have had in training.
    state : TrainingState
        Parameters and buffers to run with.

    Raises
    ------
    ValueError
        Names the layer, or the network.
    """
    model = trajectory.model
    module, names = model.module, statistics_names(model.module)
    for modes in _modes_in_training(trajectory) if names else ():
        params = trajectory.layout.unflatten(state.params.detach().requires_grad_())
        variables = params | state.copied_buffers()
        before = {name: variables[name].clone() for name in names}
        with followed_statistics(variables, before):
            found = _losses(model, variables, record, modes)
        for name, values in before.items():
            if not are_same(variables[name], values):
                layer = name.rpartition(".")[0]
                raise ValueError(
                    f"{labeled(layer, module.get_submodule(layer))} moves its running "
                    "statistics by itself, which influence does not follow. Have its "
                    "forward call torch.nn.functional.batch_norm, which moves them."
                )
        moved, again = (
            _losses(model, params | state.copied_buffers(), record, modes)
            for _ in range(2)
        )
        if torch.equal(moved, again):
            _check_reads(module, found, moved)


def _check_reads(module: nn.Module, found: Tensor, moved: Tensor) -> None:
    """Raise if losses of a pass that moves running statistics are other ones."""
    rounding = 10 * torch.finfo(moved.dtype).eps ** 0.5
    if (found - moved).norm() > rounding * moved.norm():
        raise ValueError(
            f"{type(module).__name__} reads running statistics of batch normalization "
            "after the same pass has moved them, which influence does not follow. Read "
            "them before, self.running_mean.clone(), or put the layer into evaluation "
            "mode."
        )


def _losses(
    model: TrackedModel,
    variables: dict[str, Tensor],
    record: StepRecord,
    modes: tuple[bool, ...] | None,
) -> Tensor:
    """Return the losses of a pass in these modes."""
    rows, rng_state = record.sample_indices, record.rng_state
    return model.batch_losses(variables, rows, rng_state, modes)[0].detach()


def _modes_in_training(trajectory: Trajectory) -> set[tuple[bool, ...] | None]:
    """Return the modes of steps: before the first, those that ``train()`` sets."""
    if trajectory.records:
        return {record.modes for record in trajectory.records}
    module = trajectory.model.module.train()
    return {get_modes(module.modules())}


@contextmanager
def followed_statistics(
    variables: Mapping[str, Tensor], statistics: Mapping[str, Tensor]
) -> Iterator[dict[str, Tensor]]:
    """Yield a dict of running statistics that forward passes in the block update.

    From what layers hand to torch's ``batch_norm``, however the layers are called.

    Parameters
    ----------
    variables : dict of str to Tensor
        Parameters and buffers that the passes run with.
    statistics : dict of str to Tensor
        Values before the batch, by `statistics_names`. Statistics of layers that are
        not in training mode stay.
    """
    values = dict(statistics)
    names = {
        id(variables[name]): name.removesuffix(MEAN)
        for name in values
        if name.endswith(MEAN)
    }

    def follow(running_mean: Tensor | None, batch: Tensor, share: float) -> None:
        if id(running_mean) in names:
            _update(values, names[id(running_mean)], batch, share)

    stand_in = partial(_batch_norm, follow=follow)
    with StandIns({nn.functional.batch_norm: stand_in}) if values else nullcontext():
        yield values


def differentiable_norm() -> StandIns:
    """Return a context in which evaluation mode has derivatives by running statistics.

    Torch's own operation has none; the formula has.
    """
    return StandIns({nn.functional.batch_norm: _batch_norm})


def _update(values: dict[str, Tensor], name: str, batch: Tensor, share: float) -> None:
    """Move the statistics of a layer by this share towards those of a batch."""
    axes = [axis for axis in range(batch.ndim) if axis != 1]
    found = {MEAN: batch.mean(axes), VARIANCE: batch.var(axes, unbiased=True)}
    for buffer, value in found.items():
        before = values[name + buffer]
        values[name + buffer] = before + share * (value.to(before) - before)


def _batch_norm(  # noqa: PLR0913
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    follow: Follow | None = None,
) -> Tensor:
    """Return what ``torch.nn.functional.batch_norm`` returns.

    In training mode `follow` is called with the running mean, the batch and the share.
    """
    if training and follow is not None:
        follow(running_mean, input, momentum)
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
