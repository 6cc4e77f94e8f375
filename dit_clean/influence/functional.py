"""The one derivative primitive: Hessian products and all gradient products at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dit_clean.influence.batch_norm import (
    differentiable_norm,
    followed_statistics,
    statistics_names,
    variance_names,
)
from dit_clean.influence.lean import lean_derivatives
from dit_clean.tracking import (
    ParameterLayout,
    StepRecord,
    TrackedModel,
    TrainingState,
)
from dit_clean.tracking.generator import same_draws
from dit_clean.warning import warn

N_DRAWS = 8
"""Draws of signs for a mean over samples. One alone may cancel as the batch does: where
gradients differ in their sign alone, with a probability of 0.18 at 20 samples."""


@dataclass(frozen=True)
class BatchGradient:
    """Gradient of a batch loss that can be differentiated once more.

    Attributes
    ----------
    grad : Tensor of shape (n_params,)
        d/d(theta) of the batch loss, detached; without meaning if it was not to be
        formed.
    variances : dict of str to Tensor
        Running variances of batch normalization after the step, detached.
    products : callable
        ``products(v, s)`` for v of shape (n_queries, n_params), and cotangents s of
        the running statistics after the step, (n_queries, n_statistics), returns

        - the Hessian of the batch loss times each v, plus s times the derivative of
          the statistics by theta, (n_queries, n_params);
        - ``<v, grad loss_j> / divisor`` of every sample j, (n_queries, n_batch); or
          under every label, (n_queries, n_batch, n_classes);
        - the cotangents of the statistics before the step, like s.
    mean_square : callable
        ``mean_square(seed)`` -> mean over the samples of the square of what each adds
        to `grad`, (n_params,). Of more than `N_DRAWS` samples it is estimated: it is
        the mean over random signs of the square of their sum with these signs, over
        their number.
    """

    grad: Tensor
    variances: Mapping[str, Tensor]
    products: Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
    mean_square: Callable[[int], Tensor]


def batch_gradient(
    model: TrackedModel,
    layout: ParameterLayout,
    record: StepRecord,
    state: TrainingState,
    *,
    each_label: bool = False,
    forms_gradient: bool = True,
) -> BatchGradient:
    r"""Return the gradient of a recorded step's batch loss, ready for products.

    Each sample gets a dummy weight w_j = 1. With g(theta, w) = d/d(theta)
    sum_j w_j loss_j / divisor, one vector-Jacobian product of g with v gives H v for
    theta and <v, grad loss_j> / divisor for w: no per-sample gradient is ever formed.
    With `each_label`, w_jc weighs the loss of sample j under label c (its sample weight
    for its own label, else 0), and the same product answers what each label would have
    done, at a sample weight of 1.
    Without `forms_gradient`, `grad` itself is left out where that saves time.

    Notes
    -----
    Cost: about two gradients of the batch loss for one v.
    """
    theta, params = _leaf(layout, state)
    before = _statistics(model, state)
    # A pass may read them: of a layer that is frozen, or before they are moved.
    read = {name: values.clone() for name, values in before.items()}
    variables = state.copied_buffers() | params | read
    with (
        lean_derivatives(model.module, () if forms_gradient else params.values()),
        followed_statistics(variables, before) as after,
    ):
        losses, weights, divisor = _batch_losses(
            model, variables, record, state, each_label=each_label
        )
    weights.requires_grad_()
    total = (weights * losses).sum() / divisor
    (grad,) = torch.autograd.grad(total, theta, create_graph=True)

    def products(v: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if not before:
            hvp, dots = vjp((grad,), (theta, weights), (v,))
            return hvp, dots, s
        moved = torch.cat(list(after.values()))
        inputs = (theta, weights, *before.values())
        hvp, dots, *earlier = vjp((grad, moved), inputs, (v, s))
        return hvp, dots, torch.cat(earlier, dim=1)

    def mean_square(seed: int) -> Tensor:
        n_batch = len(losses)
        parts = (weights * losses).reshape(n_batch, -1).sum(dim=1) / divisor
        mixtures = torch.eye(n_batch)
        if n_batch > N_DRAWS:
            generator = torch.Generator().manual_seed(seed)
            draws = torch.randint(2, (N_DRAWS, n_batch), generator=generator)
            mixtures = (2.0 * draws - 1) / n_batch**0.5
        mixed = [(mixture * parts).sum() for mixture in mixtures.to(parts)]
        found = [torch.autograd.grad(m, theta, retain_graph=True)[0] for m in mixed]
        return torch.stack([part * part for part in found]).mean(dim=0)

    names = variance_names(model.module) if before else []
    variances = {name: after[name].detach() for name in names}
    return BatchGradient(grad.detach(), variances, products, mean_square)


def loss_gradient(
    model: TrackedModel,
    layout: ParameterLayout,
    record: StepRecord,
    state: TrainingState,
) -> Tensor:
    """Return d/d(theta) of a recorded step's batch loss alone, (n_params,)."""
    theta, params = _leaf(layout, state)
    variables = state.copied_buffers() | params
    with model.kernels:
        losses, weights, divisor = _batch_losses(model, variables, record, state)
        (grad,) = torch.autograd.grad((weights * losses).sum() / divisor, theta)
    return grad


def query_gradients(
    evaluate: Callable[[Mapping[str, Tensor]], Tensor],
    model: TrackedModel,
    layout: ParameterLayout,
    state: TrainingState,
) -> Tensor:
    """Return d(query)/d(theta, running statistics).

    Shape (n_queries, n_params + n_statistics).

    Parameters
    ----------
    evaluate : callable
        Parameters and buffers by name -> scalar, or one value per query.
    model : TrackedModel
        Says which buffers are running statistics.
    layout : ParameterLayout
        Names and shapes of the parameters.
    state : TrainingState
        Where the queries are evaluated.
    """
    theta, params = _leaf(layout, state)
    statistics = _statistics(model, state)
    norm = differentiable_norm() if statistics else nullcontext()
    with norm, same_draws(model.device):
        values = evaluate(params | state.copied_buffers() | statistics)
    values = check_query_values(values)
    seeds = torch.eye(len(values), dtype=values.dtype, device=values.device)
    with model.kernels:
        found = vjp((values,), (theta, *statistics.values()), (seeds,))
    gradients = torch.cat(found, dim=1)
    if not gradients.any() and not _are_computed_from(values, theta):
        warn(
            "The query does not depend on the params that it is given, or not "
            "smoothly: all influence on it is 0. Compute outputs from them, with "
            "run.model.forward, not by a module of your own, and without detach(), "
            "no_grad() or argmax()."
        )
    return gradients


def _are_computed_from(values: Tensor, theta: Tensor) -> bool:
    """Tell whether autograd leads from a query's values back to the parameters."""
    return any(leaf is theta for leaf in leaves_of(values))


def leaves_of(values: Tensor) -> Iterator[Tensor]:
    """Yield the leaves of autograd's graph that values are computed from."""
    for node in nodes_of(values):
        if isinstance(leaf := getattr(node, "variable", None), Tensor):
            yield leaf


def nodes_of(values: Tensor) -> Iterator[Any]:
    """Yield the nodes of autograd's graph that values are computed by."""
    seen, ahead = set(), [values.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        ahead += [following for following, _ in node.next_functions]


def check_query(query: Any) -> None:
    """Raise if it cannot be asked: a class, say, or a name."""
    if not callable(query) or isinstance(query, type):
        is_short = isinstance(query, type | str | None)
        given = repr(query) if is_short else f"a {type(query).__name__}"
        raise TypeError(
            f"query is {given}, which is no query. Give one of dit_clean.queries with "
            "its samples, such as MeanLoss(X, y), or a function of (params, run)."
        )


def check_query_values(values: Tensor) -> Tensor:
    """Return a query's values as a vector, shape (n_queries,).

    Raises
    ------
    TypeError, ValueError
        If the query returned no tensor, or a table of values, or none.
    """
    if not isinstance(values, Tensor):
        raise TypeError(
            f"A query must return a scalar tensor, got {type(values).__name__}. "
            "Compute it with torch operations on the given params."
        )
    if values.ndim > 1 or values.numel() == 0:
        raise ValueError(
            f"A query must return a scalar or one value per query, got shape "
            f"{tuple(values.shape)}. Reduce it, for example with .mean()."
        )
    return values.reshape(-1)


def vjp(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Return vector-Jacobian products, each with a leading axis (n_queries, ...)."""
    n_queries = len(cotangents[0])
    live = [
        (output, v)
        for output, v in zip(outputs, cotangents, strict=True)
        if output.requires_grad
    ]
    if not live:
        return tuple(x.new_zeros((n_queries, *x.shape)) for x in inputs)
    outputs, cotangents = zip(*live, strict=True)
    if n_queries == 1:
        return _one_by_one(outputs, inputs, cotangents)
    try:
        found = torch.autograd.grad(
            outputs,
            inputs,
            list(cotangents),
            is_grads_batched=True,
            allow_unused=True,
            retain_graph=True,
        )
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # torch cannot batch all of its operations: group norm
        return _one_by_one(outputs, inputs, cotangents)
    return tuple(
        x.new_zeros((n_queries, *x.shape)) if part is None else part
        for part, x in zip(found, inputs, strict=True)
    )


def _one_by_one(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
) -> tuple[Tensor, ...]:
    """Return what `vjp` returns, query by query."""
    last = len(cotangents[0]) - 1
    rows = [
        torch.autograd.grad(
            outputs, inputs, v, retain_graph=row < last, materialize_grads=True
        )
        for row, v in enumerate(zip(*cotangents, strict=True))
    ]
    if last == 0:
        return tuple(part[None] for part in rows[0])
    return tuple(map(torch.stack, zip(*rows, strict=True)))


def _batch_losses(
    model: TrackedModel,
    variables: dict[str, Tensor],
    record: StepRecord,
    state: TrainingState,
    *,
    each_label: bool = False,
) -> tuple[Tensor, Tensor, Any]:
    """Return losses, weights and divisor of a recorded step."""
    return model.batch_losses(
        variables,
        record.sample_indices,
        record.draws_from(state.rng_state),
        record.modes,
        each_label=each_label,
    )


def _statistics(model: TrackedModel, state: TrainingState) -> dict[str, Tensor]:
    """Return running statistics as leaves of autograd's graph."""
    if not state.buffers:
        return {}
    return {
        name: state.buffers[name].detach().clone().requires_grad_()
        for name in statistics_names(model.module)
    }


def _leaf(
    layout: ParameterLayout, state: TrainingState
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return theta as a leaf of autograd's graph, and the parameters as its parts."""
    theta = state.params.detach().requires_grad_()
    return theta, layout.unflatten(theta)
