"""Independent truths: autograd through the whole unrolled training, differences."""

import numpy as np
import torch

from dit_clean.influence.adjoint import apply_rule
from dit_clean.influence.functional import check_query_values
from dit_clean.influence.update_rules import update_rule_of
from dit_clean.tracking.model import replayed_rng


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
    state = {"params": theta}
    states = {0: theta}
    for record in trajectory:
        rows = record.sample_indices
        X, y = model.batch(rows)
        with replayed_rng(record.rng_state, model.device):
            params = layout.unflatten(state["params"])
            output = model.forward(params, X, training=True)
        factor = weight[rows] if record.step in removed else torch.ones(len(rows))
        if model.sample_weight is not None:
            factor = factor * model.sample_weight[rows]
        loss = (factor * model.loss.each(output, y)).sum() / model.loss.divisor(y)
        (grad,) = torch.autograd.grad(loss, state["params"], create_graph=True)
        state = apply_rule(rule, layout.groups, record.hyper, state, grad)
        states[record.step + 1] = state["params"]
    return states


def _query(trajectory, query, theta):
    return check_query_values(query(trajectory.layout.unflatten(theta), trajectory))


def differences(train_with_weights, query, sample, step=1e-4):
    """Return minus the central difference of the queries in a sample's weight.

    `train_with_weights(weights)` -> trajectory; torch's own optimizer does the work.
    """
    values = []
    for sign in (1, -1):
        weights = torch.ones(train_with_weights.n_samples, dtype=torch.float64)
        weights[sample] += sign * step
        trajectory = train_with_weights(weights)
        theta = trajectory.state(trajectory.n_steps).params
        values.append(_query(trajectory, query, theta).numpy())
    return -(values[0] - values[1]) / (2 * step)


def relative_error(found, truth):
    """Return the largest error relative to the largest true value."""
    return np.abs(found - truth).max() / np.abs(truth).max()
