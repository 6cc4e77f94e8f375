"""Leave-one-out retraining of many samples at once.

`TrackedRun.leave_one_out` repeats the run once for each sample. Here all repetitions
run side by side: their parameters have a leading axis, ``torch.func.vmap`` takes every
replica's gradient on the recorded batch, and the update rules of `dit_clean`, which
are element-wise, update all of them. A last replica leaves nothing out and is what the
others are compared with, so that rounding does not enter the difference.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from dit_clean.influence import Steps, update_rule_of
from dit_clean.tracking import StepRecord, Trajectory

THETA = "params"


def retrain_without(
    trajectory: Trajectory,
    samples: Sequence[int],
    removal: Steps,
    points: Sequence[int],
    *,
    linearized: bool = False,
    fraction: float = 1.0,
) -> dict[int, Tensor]:
    """Return parameters at `points` of the runs without each of `samples`.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run.
    samples : sequence of int
        Samples to leave out, one at a time.
    removal : Steps
        Where the sample is gone; batches and divisors stay.
    points : sequence of int
        States wanted, none before ``removal.start``.
    linearized : bool, default=False
        Take the gradient of the run without j as g_{-j}(theta) + H_{-j}(theta) delta_j
        at the recorded theta, and apply the update rule in full. What this keeps and
        influence drops is the removed sample's own curvature and the finite size of
        the step; what it still drops is the change of curvature along delta_j.
    fraction : float, default=1.0
        How much of the sample's loss is left out.

    Returns
    -------
    params : dict of int to Tensor of shape (n_left_out + 1, n_params)
        The last row is the run with all samples.
    """
    left_out = torch.tensor([*samples, -1])
    state = _replicated(trajectory, removal.start, len(left_out))
    gradients_of = _linearized_gradients if linearized else _gradients
    found = {}
    for t in range(removal.start, max(points) + 1):
        if t in points:
            found[t] = state[THETA]
        if t == max(points):
            break
        record = trajectory.records[t]
        removed = (record.sample_indices[None] == left_out[:, None]) & (t in removal)
        kept = 1 - fraction * removed.to(state[THETA])
        gradients = gradients_of(trajectory, record, state[THETA], kept)
        state = _apply(trajectory, record, state, gradients)
    return found


def query_values(
    trajectory: Trajectory, query, params: Tensor, *, chunk_size: int | None = 32
) -> np.ndarray:
    """Return a scalar query's value for each row of parameters, shape (n_rows,)."""

    def value(theta: Tensor) -> Tensor:
        return query(trajectory.layout.unflatten(theta), trajectory)

    with torch.no_grad():
        return vmap(value, chunk_size=chunk_size)(params).double().numpy()


def changes(trajectory: Trajectory, query, params: Tensor) -> np.ndarray:
    """Return the query without each sample minus with it, shape (n_left_out,)."""
    values = query_values(trajectory, query, params)
    return values[:-1] - values[-1]


def _replicated(trajectory: Trajectory, t: int, n_replicas: int) -> dict[str, Tensor]:
    state = trajectory.state(t)
    if state.buffers:
        raise ValueError("Nets with buffers (batch normalization) are not batched.")
    parts = {THETA: state.params, **state.slots}
    return {name: part.expand(n_replicas, -1).clone() for name, part in parts.items()}


def _apply(
    trajectory: Trajectory,
    record: StepRecord,
    state: dict[str, Tensor],
    gradients: Tensor,
) -> dict[str, Tensor]:
    """Return the replicas' state after a step with these gradients."""
    (hyper,) = record.hyper
    rule = update_rule_of(trajectory.optimizer_type)
    slots = {name: part for name, part in state.items() if name != THETA}
    theta, slots = rule(state[THETA], slots, gradients, hyper)
    return {THETA: theta, **slots}


def _loss_of(trajectory: Trajectory, record: StepRecord):
    """Return the step's batch loss, a function of theta and of who is kept."""
    model, layout = trajectory.model, trajectory.layout

    def loss(theta: Tensor, kept: Tensor) -> Tensor:
        losses, _, divisor = model.batch_losses(
            layout.unflatten(theta),
            record.sample_indices,  # vmap takes no dropout
        )
        return (losses * kept).sum() / divisor

    return loss


def _gradients(
    trajectory: Trajectory, record: StepRecord, theta: Tensor, kept: Tensor
) -> Tensor:
    """Return each replica's gradient of its batch loss, (n_replicas, n_params)."""
    return vmap(grad(_loss_of(trajectory, record)))(theta, kept)


def _linearized_gradients(
    trajectory: Trajectory, record: StepRecord, theta: Tensor, kept: Tensor
) -> Tensor:
    base = trajectory.state(record.step).params
    gradient = grad(_loss_of(trajectory, record))

    def at_displaced(delta: Tensor, kept: Tensor) -> Tensor:
        value, slope = jvp(lambda theta: gradient(theta, kept), (base,), (delta,))
        return value + slope

    return vmap(at_displaced)(theta - base, kept)
