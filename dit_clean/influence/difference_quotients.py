"""Comparing derivatives of networks with difference quotients of gradients."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dit_clean.influence.batch_norm import statistics_names
from dit_clean.influence.functional import batch_gradient, loss_gradient, nodes_of
from dit_clean.influence.padding import keep_padding
from dit_clean.influence.stand_ins import InDouble
from dit_clean.tracking import StepRecord, TrackedModel, TrainingState
from dit_clean.tracking.copies import copied
from dit_clean.tracking.generator import same_draws
from dit_clean.tracking.layout import ParameterLayout
from dit_clean.tracking.rows import cast_floats, subset_rows


class _Precision(NamedTuple):
    """How closely products are compared with difference quotients.

    Attributes
    ----------
    dtype : torch.dtype or None
        What the network computes in; None: whatever it is in.
    steps : tuple of float
        Relative sizes of the steps. Larger ones cross kinks, of which a network of
        convolutions has millions, smaller ones drown in rounding: one has to agree.
    rounding : float
        Allowed error relative to the gradient.
    """

    dtype: torch.dtype | None
    steps: tuple[float, ...]
    rounding: float


class BatchAt(NamedTuple):
    """A batch at some parameters: what derivatives are taken of, and where."""

    model: TrackedModel
    layout: ParameterLayout
    record: StepRecord
    state: TrainingState

    def at(self, theta: Tensor) -> "BatchAt":
        """Return the batch at other parameters."""
        return self._replace(state=TrainingState(theta, {}, self.state.buffers))


DOUBLE = _Precision(torch.float64, (1e-9, 1e-6, 1e-4), 1e-6)
AS_IS = _Precision(None, (1e-2, 1e-3), 1e-3)
"""For networks that cannot compute in double precision."""
SHIFT = 0.01
"""Relative distance from the parameters, since they may be a special place: zeros."""
TOLERANCE = 0.05
"""Allowed error of a product, relative to it."""
FAR = 1.0
"""Relative size of a step that changes rounded outputs."""
ROUNDING = ("Round", "Floor", "Ceil", "Trunc", "Sign", "NotImplemented")
"""Beginnings of the names of autograd's nodes whose gradients are 0, or none."""
N_SUMS = 4
"""Sums of outputs whose gradients are looked at."""


def has_right_products(step: BatchAt) -> bool | None:
    """Tell whether Hessian and gradient products are right; None: unknown."""
    return _compared(step, _agree_by_parameters)


def follows_statistics(step: BatchAt) -> bool | None:
    """Tell whether derivatives by running statistics are right; None: unknown."""
    return _compared(step, _agree_by_statistics)


def has_right_gradients(step: BatchAt) -> bool | None:
    """Tell whether gradients of outputs in evaluation mode are right; None: unknown."""
    return _compared(step, _agree_in_evaluation)


def _compared(
    step: BatchAt, agrees: Callable[[BatchAt, _Precision], bool | None]
) -> bool | None:
    """Compare derivatives with what gradients show.

    In double precision if the network can compute in it. True if there are none in
    either precision: torch has computed the second derivatives before.
    """
    for precision, context in ((DOUBLE, InDouble()), (AS_IS, nullcontext())):
        try:
            with context:
                return agrees(_in_precision(step, precision.dtype), precision)
        except (NotImplementedError, RuntimeError, TypeError):
            continue
    return True


def _agree_by_parameters(step: BatchAt, precision: _Precision) -> bool | None:
    """Compare a Hessian product and gradient products."""
    theta, v = _near_parameters(step)
    gradient, hvp, dots, _ = products(step.at(theta), v)
    rounding = precision.rounding * gradient.norm()
    if not rounding.isfinite():
        return True  # nothing to compare
    if not _close(dots.sum(), gradient @ v, rounding):
        return False

    def quotient(h: float) -> Tensor:
        gradients = (loss_gradient(*step.at(theta.add(v, alpha=x))) for x in (h, -h))
        return next(gradients).sub_(next(gradients)).div_(2 * h)

    return _is_met(hvp, quotient, precision, _scale(theta), rounding)


def _agree_in_evaluation(step: BatchAt, precision: _Precision) -> bool | None:
    """Compare gradients of some sums of the outputs that queries are made of."""
    theta, v = _near_parameters(step)
    leaf = theta.clone().requires_grad_()
    output = outputs(step.at(leaf))
    factors = torch.randn(
        N_SUMS, len(output), generator=torch.Generator().manual_seed(0)
    ).to(output)
    gradients = theta.new_zeros(N_SUMS, len(theta))
    if output.requires_grad:
        for row, each in zip(gradients, factors @ output, strict=True):
            (row[:],) = torch.autograd.grad(each, leaf, retain_graph=True)

    @torch.no_grad()
    def quotient(h: float) -> Tensor:
        ends = (outputs(step.at(theta.add(v, alpha=x))) for x in (h, -h))
        return factors @ next(ends).sub(next(ends)).div(2 * h)

    size = gradients.norm() + (factors @ output.detach()).norm()
    rounding = precision.rounding * size
    if not rounding.isfinite():
        return True
    if not gradients.any() and _is_rounded(output):
        return _close(gradients @ v, quotient(FAR * _scale(theta)), rounding)
    return _is_met(gradients @ v, quotient, precision, _scale(theta), rounding)


def _is_rounded(output: Tensor) -> bool:
    """Tell whether values may be steps of the parameters, which small ones miss."""
    names = (node.name().rpartition("::")[2] for node in nodes_of(output))
    return not output.requires_grad or any(n.startswith(ROUNDING) for n in names)


def outputs(step: BatchAt) -> Tensor:
    """Return what queries see of the batch in evaluation mode, in one row.

    The outputs, or the losses where these take several outputs, not all of which they
    may read.
    """
    model, layout, record, state = step
    # Those that a first pass registers are in no state: constants.
    buffers = dict(model.module.named_buffers()) | state.copied_buffers()
    variables = buffers | layout.unflatten(state.params)
    with same_draws(model.device):
        X, y = model.batch(record.sample_indices)
        found: Any = model.forward(variables, X)  # losses of one's own take others
        if not isinstance(found, Tensor):
            found = model.loss.each(found, y)
    return found.flatten().to(state.params.dtype)


def _agree_by_statistics(step: BatchAt, precision: _Precision) -> bool | None:
    """Compare the derivative of a gradient product by running statistics."""
    names, buffers = statistics_names(step.model.module), step.state.buffers
    if not names:
        return True
    theta, v = _near(step.state.params)
    v /= v.norm()
    start = torch.cat([buffers[name] for name in names])
    near, ds = _near(start)
    near, ds = start + (near - start).abs(), ds / ds.norm()  # variances stay positive

    def at(statistics: Tensor) -> BatchAt:
        parts = statistics.split([len(buffers[name]) for name in names])
        moved = {**buffers, **dict(zip(names, parts, strict=True))}
        return step._replace(state=TrainingState(theta, {}, moved))

    gradient, _, _, by_statistics = products(at(near), v)

    def quotient(h: float) -> Tensor:
        gradients = (loss_gradient(*at(near + x * ds)) for x in (h, -h))
        return (next(gradients) - next(gradients)) @ v / (2 * h)

    rounding = precision.rounding * gradient.norm()
    if not rounding.isfinite():
        return True
    return _is_met(by_statistics @ ds, quotient, precision, _scale(start), rounding)


def _is_met(
    found: Tensor,
    quotient: Callable[[float], Tensor],
    precision: _Precision,
    scale: float,
    rounding: Tensor,
) -> bool | None:
    """Tell whether a derivative is what difference quotients show; None: unknown."""
    quotients: list[Tensor] = []
    for size in precision.steps:
        quotients.append(quotient(size * scale))
        if _close(found, quotients[-1], rounding):
            return True
    # If they differ, each step crosses kinks; in double precision not the smallest.
    is_double = precision.dtype is not None
    is_told = is_double or _close(quotients[0], quotients[1], rounding)
    return False if is_told else None


def products(step: BatchAt, v: Tensor) -> tuple[Tensor, ...]:
    """Return the gradient g, and derivatives of <g, v>.

    By the parameters, by the weight of each sample (its part of <g, v>), and by the
    running statistics of batch normalization.
    """
    gradient = batch_gradient(*step)
    names = statistics_names(step.model.module)
    n_statistics = sum(step.state.buffers[name].numel() for name in names)
    found = gradient.products(v[None], v.new_zeros(1, n_statistics))
    return gradient.grad, *(part[0] for part in found)


def _in_precision(step: BatchAt, dtype: torch.dtype | None) -> BatchAt:
    """Return the step in a precision, of a model that holds no other samples."""
    model, layout, record, state = step
    dtype = state.params.dtype if dtype is None else dtype
    rows = record.sample_indices
    inputs = cast_floats(subset_rows(model.inputs, rows), dtype)
    targets = model.targets[rows]
    theta = state.params.to(dtype)
    # The module's own values of these are never used: no second copy of them is made.
    held = dict(model.module.named_parameters())
    shared = {
        id(held[name]): nn.Parameter(part)
        for name, part in layout.unflatten(theta).items()
    }
    cast = TrackedModel(
        copied(model.module, shared=shared).to(dtype),
        model.loss.to(dtype),
        inputs,
        targets.to(dtype) if targets.is_floating_point() else targets,
    )
    record = record._replace(sample_indices=torch.arange(len(rows)))
    buffers: Any = cast_floats(dict(state.buffers), dtype)
    return BatchAt(cast, layout, record, TrainingState(theta, {}, buffers))


def _near(theta: Tensor) -> tuple[Tensor, Tensor]:
    """Return a place near theta, and a direction."""
    generator = torch.Generator().manual_seed(0)
    # In single precision, in which torch draws four times as fast.
    shift, v = (
        torch.randn(len(theta), generator=generator).to(theta) for _ in range(2)
    )
    shift *= SHIFT * _scale(theta) / shift.norm()
    return shift.add_(theta), v


def _near_parameters(step: BatchAt) -> tuple[Tensor, Tensor]:
    """Return a place near the parameters, and a direction of length 1 that counts."""
    theta, v = _near(step.state.params)
    keep_padding(step.model, step.layout, v)
    return theta, v / v.norm()


def _scale(theta: Tensor) -> float:
    """Return the length of theta, or 1 where it is shorter: it may be all zeros."""
    return max(float(theta.norm()), 1.0)


def _close(found: Tensor, expected: Tensor, rounding: Tensor) -> bool:
    """Compare, up to `TOLERANCE` and `rounding`."""
    allowed = TOLERANCE * expected.norm() + rounding
    return bool((found - expected).norm() <= allowed)
