"""Independent truths: autograd through the whole unrolled training, differences."""

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from dit_clean.influence.batch_norm import differentiable_norm
from dit_clean.influence.functional import check_query_values
from dit_clean.influence.update_rules import apply_rule, update_rule_of
from dit_clean.tracking.generator import replayed_rng
from dit_clean.tracking.model import set_modes


def unrolled_influence(trajectory, query, window, history, query_step):
    """Differentiate queries with respect to each loss term's weight, by autograd.

    One graph over all steps; no adjoint recursion, no double-backward trick.
    Returns (n_queries, n_samples).
    """
    removed = range(0 if history == "full" else window.start, window.stop)
    weight = torch.ones(
        trajectory.model.n_samples, dtype=torch.float64, requires_grad=True
    )
    states = _unrolled_states(trajectory, weight, removed)
    values = _query(trajectory, query, states[query_step])
    if history == "full":
        values = values - _query(trajectory, query, states[window.start])
    rows = [
        torch.autograd.grad(v, weight, retain_graph=True, allow_unused=True)[0]
        for v in values
    ]
    zeros = torch.zeros_like(weight)
    # Removal takes the weight from 1 to 0: first-order change = minus derivative.
    return -torch.stack([zeros if row is None else row for row in rows]).numpy()


def _unrolled_states(trajectory, weight, removed):
    model, layout = trajectory.model, trajectory.layout
    rule = update_rule_of(trajectory.optimizer_type)
    theta = trajectory.state(0).params.clone().requires_grad_()
    state, buffers = {"params": theta}, dict(trajectory.state(0).buffers)
    states = {0: layout.unflatten(theta) | buffers}
    for record in trajectory:
        rows = record.sample_indices
        X, y = model.batch(rows)
        params = layout.unflatten(state["params"])
        set_modes(model.module.modules(), record.modes)
        frozen = record.modes is not None
        copies = {
            name: buffer if frozen else buffer.detach().clone()
            for name, buffer in buffers.items()
        }
        drawn_from = record.draws_from(trajectory.state(record.step).rng_state)
        with replayed_rng(drawn_from, model.device), differentiable_norm():
            output = functional_call(model.module, params | copies, (X,))
        buffers = _next_buffers(model.module, params, buffers, X)
        factor = weight[rows] if record.step in removed else torch.ones(len(rows))
        if model.sample_weight is not None:
            factor = factor * model.sample_weight[rows]
        losses = factor * model.loss.each(output, y)
        loss = losses.sum() / model.loss.divisor(y, losses.dtype)
        (grad,) = torch.autograd.grad(loss, state["params"], create_graph=True)
        state = apply_rule(rule, layout.groups, record.hyper, state, grad)
        states[record.step + 1] = layout.unflatten(state["params"]) | buffers
    return states


def _next_buffers(module, params, buffers, X):
    """Return running statistics after a batch; the formula is written out.

    What comes before the batch norm is run layer by layer.
    """
    for place, layer in enumerate(module if isinstance(module, nn.Sequential) else []):
        own = {
            name.partition(".")[2]: value
            for name, value in params.items()
            if name.startswith(f"{place}.")
        }
        if isinstance(layer, nn.BatchNorm1d):
            if not layer.training:
                return buffers
            count = buffers[f"{place}.num_batches_tracked"] + 1
            m = 1 / int(count) if layer.momentum is None else layer.momentum
            axes = (0,) if X.ndim == 2 else (0, 2)
            n = X.numel() // X.shape[1]
            mean = X.mean(axes, keepdim=True)
            variance = ((X - mean) ** 2).sum(axes) / (n - 1)
            old = buffers[f"{place}.running_mean"], buffers[f"{place}.running_var"]
            return {
                f"{place}.running_mean": (1 - m) * old[0] + m * mean.flatten(),
                f"{place}.running_var": (1 - m) * old[1] + m * variance,
                f"{place}.num_batches_tracked": count,
            }
        X = torch.func.functional_call(layer, own, (X,))
    return buffers


def _query(trajectory, query, variables):
    with differentiable_norm():
        return check_query_values(query(variables, trajectory))


def differences(train_with_weights, query, sample, step=1e-4):
    """Return minus the central difference of the queries in a sample's weight.

    `train_with_weights(weights)` -> trajectory; torch's own optimizer does the work.
    """
    values = []
    for sign in (1, -1):
        weights = torch.ones(train_with_weights.n_samples, dtype=torch.float64)
        weights[sample] += sign * step
        trajectory = train_with_weights(weights)
        last = trajectory.state(trajectory.n_steps)
        variables = trajectory.variables(last)
        values.append(_query(trajectory, query, variables).numpy())
    return -(values[0] - values[1]) / (2 * step)


def relative_error(found, truth):
    """Return the largest error relative to the largest true value."""
    return np.abs(found - truth).max() / np.abs(truth).max()
