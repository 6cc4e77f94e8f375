"""The reverse pass: one adjoint propagated backwards through recorded updates."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import torch
from torch import Tensor

from dit_clean.influence.change_limit import ChangeLimit
from dit_clean.influence.derivative_check import check_differentiable
from dit_clean.influence.functional import BatchGradient, batch_gradient, vjp
from dit_clean.influence.smoothing import smoothed
from dit_clean.influence.update_check import check_update
from dit_clean.influence.update_rules import (
    PARAMS,
    UpdateRule,
    apply_rule,
    update_rule_of,
)
from dit_clean.influence.update_vjps import LINEAR_UPDATES, Products, update_vjp
from dit_clean.tracking import StepRecord, TrainingState, Trajectory

STATISTICS = "statistics"
CHECK_EVERY = 17
"""Steps from one check of an update to the next, where all states are kept. A prime
number: what a loop does every 2nd, 4th or 10th time is met."""
MAX_CHECKED = 2**14
"""Parameters that are looked at: a check takes far less than the step itself."""

Adjoint: TypeAlias = dict[str, Tensor]
"""Cotangents of a training state: "params" and slots, each (n_rows, n_params), and
"statistics" of batch normalization, (n_rows, n_statistics)."""


def sweep_back(
    trajectory: Trajectory,
    gradient_of: Callable[[TrainingState], Tensor],
    lanes: Mapping[int, int],
    start: int,
    *,
    each_label: bool = False,
) -> Iterator[tuple[StepRecord, Tensor]]:
    r"""Yield each step's contributions, from the last query step back to `start`.

    With a[t] the adjoint d(query)/d(state t) and u the cotangent of the gradient in
    the update (theta', slots') = U(theta, slots, g):

        a[t] = (dU/d(state))^T a[t+1] + H[t] u,
        contribution_j = - <u, grad loss_j> / |S|.

    For plain SGD, u = -eta a[t+1], so that a[t] = (I - eta H) a[t+1]. Running
    statistics of batch normalization are part of the state too, see `statistics`.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run.
    gradient_of : callable
        ``gradient_of(state)`` -> d(query)/d(theta, running statistics) there, shape
        (n_queries, n_params + n_statistics).
    lanes : dict of int to int
        Steps that the queries are evaluated at, each with the number of the adjoint
        that starts there; whatever that one carried from later steps is replaced.
    start : int
        First step of the pass.
    each_label : bool, default=False
        Whether to ask what each sample would have done under each label.

    Raises
    ------
    RuntimeError
        If a recorded update does not follow from its gradient.
    ValueError
        If the optimizer's update rule is unknown, the network cannot be differentiated
        twice, or the query has another number of values at another step.

    Yields
    ------
    record : StepRecord
        The step, last one first.
    contributions : Tensor of shape (n_lanes, n_queries, n_batch[, n_classes])
        First-order change of each query when a sample's loss term is left out of
        this one step: query without the sample minus query with it.

    Notes
    -----
    Cost: about 3 training steps per step for one query, whatever the number of samples.
    Updates are checked: those between two kept states together, and every
    `CHECK_EVERY`-th where all states are kept.
    First updates are differentiated at `smoothed` states.
    Memory: n_lanes x n_queries vectors of parameters per kind of optimizer state.
    """
    update_rule_of(trajectory.optimizer_type)  # before states are read, of any kind
    if not trajectory.is_differentiable:
        check_differentiable(trajectory)
    n_params, n_lanes = trajectory.layout.n_params, max(lanes.values()) + 1
    stop = max(lanes)
    adjoint: Adjoint = {}
    after, checks = trajectory.state(stop), _Checks(trajectory, stop)
    is_linear = trajectory.optimizer_type in LINEAR_UPDATES
    limit = ChangeLimit(trajectory.optimizer_type.__name__)
    with trajectory.model.kernels:
        for record, state in trajectory.iterate_back(start, stop):
            lane = lanes.get(record.step + 1)
            if lane is not None:
                query_gradient = gradient_of(after)
                adjoint = adjoint or _zero_adjoint(query_gradient, n_lanes, n_params)
                n_queries = len(adjoint[PARAMS]) // n_lanes
                check_same_number(len(query_gradient), n_queries, record.step + 1)
                adjoint = _planted(adjoint, query_gradient, lane, n_params)
            states, is_due = (state, after), checks.are_due(record.step)
            after = state
            gradient = batch_gradient(
                trajectory.model,
                trajectory.layout,
                record,
                state,
                each_label=each_label,
                forms_gradient=is_due or not is_linear,
            )
            if is_due:
                checks.make(record, state, gradient)
            later = adjoint[PARAMS]
            adjoint, contributions = _step_back(
                trajectory, record, state, gradient, adjoint
            )
            if not is_linear:
                limit.check(states, later, contributions)
            del gradient  # and with it the graph, before the next one is made
            yield record, contributions.unflatten(0, (n_lanes, -1))


class _Checks:
    """Which updates a reverse pass compares with their gradients on its way."""

    def __init__(self, trajectory: Trajectory, stop: int):
        self.trajectory, self._next = trajectory, stop
        # Every how many-th parameter is looked at. Odd: no columns are missed.
        self._every = trajectory.layout.n_params // MAX_CHECKED | 1

    def are_due(self, step: int) -> bool:
        """Tell whether the update of a step is to be checked."""
        store = self.trajectory.store
        return (step < self._next or step not in store) and step + 1 in store

    def make(
        self, record: StepRecord, state: TrainingState, gradient: BatchGradient
    ) -> None:
        """Check an update."""
        grad, variances = gradient.grad, gradient.variances
        check_update(self.trajectory, record, state, grad, variances, every=self._every)
        self._next = record.step + 1 - CHECK_EVERY


def check_same_number(n_values: int, expected: int, step: int) -> None:
    """Raise if a query has more or fewer values than at a later step."""
    if n_values != expected:
        raise ValueError(
            f"The query has {n_values} values before step {step} of training, and "
            f"{expected} later. Give one that has as many everywhere."
        )


def _zero_adjoint(query_gradient: Tensor, n_lanes: int, n_params: int) -> Adjoint:
    n_queries, n_values = query_gradient.shape
    zeros = query_gradient.new_zeros(n_lanes * n_queries, n_values)
    return {PARAMS: zeros[:, :n_params], STATISTICS: zeros[:, n_params:]}


def _planted(
    adjoint: Adjoint, query_gradient: Tensor, lane: int, n_params: int
) -> Adjoint:
    """Return the adjoint with one lane started anew."""
    n_queries = len(query_gradient)
    row = slice(lane * n_queries, (lane + 1) * n_queries)
    adjoint = {name: rows.clone() for name, rows in adjoint.items()}
    for rows in adjoint.values():
        rows[row] = 0
    adjoint[PARAMS][row] = query_gradient[:, :n_params]
    adjoint[STATISTICS][row] = query_gradient[:, n_params:]
    return adjoint


def _step_back(
    trajectory: Trajectory,
    record: StepRecord,
    state: TrainingState,
    gradient: BatchGradient,
    adjoint: Adjoint,
) -> tuple[Adjoint, Tensor]:
    """Return the adjoint one step earlier and the step's contributions."""
    at = smoothed(trajectory, record, state, gradient)
    products = _closed_products(trajectory, record, at, gradient.grad, adjoint)
    if products is None:
        rule = update_rule_of(trajectory.optimizer_type)
        groups = trajectory.layout.groups
        products = rule_vjp(rule, groups, record, at, gradient.grad, adjoint)
    earlier, cotangent = products
    hvp, dots, statistics = gradient.products(cotangent, adjoint[STATISTICS])
    found = {name: rows for name, rows in earlier.items() if name in state.slots}
    # Not in place: where there is no curvature torch gives zeros that share memory.
    found |= {PARAMS: hvp + earlier[PARAMS], STATISTICS: statistics}
    return found, -dots


def _closed_products(
    trajectory: Trajectory,
    record: StepRecord,
    state: TrainingState,
    grad: Tensor,
    adjoint: Adjoint,
) -> Products | None:
    """Return what `rule_vjp` returns, faster; None if a group has no closed form."""
    parts = []
    for where, hyper in zip(trajectory.layout.groups, record.hyper, strict=True):
        products = update_vjp(
            trajectory.optimizer_type,
            state.params[where],
            {name: values[where] for name, values in state.slots.items()},
            grad[where],
            hyper,
            {k: v[:, where] for k, v in adjoint.items() if k != STATISTICS},
        )
        if products is None:
            return None
        parts.append(products)
    if len(parts) == 1:
        return parts[0]
    earlier = [part for part, _ in parts]
    return {
        name: torch.cat([part[name] for part in earlier], dim=1) for name in earlier[0]
    }, torch.cat([cotangent for _, cotangent in parts], dim=1)


def rule_vjp(
    rule: UpdateRule,
    groups: tuple[slice, ...],
    record: StepRecord,
    state: TrainingState,
    grad: Tensor,
    adjoint: Adjoint,
) -> tuple[Adjoint, Tensor]:
    """Return autograd's vector-Jacobian products of an update.

    Returns
    -------
    earlier : dict of str to Tensor of shape (n_queries, n_params)
        Cotangents of the state before the update.
    cotangent : Tensor of shape (n_queries, n_params)
        Cotangent of the gradient.
    """
    before = {PARAMS: state.params, **state.slots}
    before = {name: value.detach().requires_grad_() for name, value in before.items()}
    grad = grad.detach().requires_grad_()
    after = apply_rule(rule, groups, record.hyper, before, grad)
    names = [name for name in after if name in adjoint]
    *earlier, cotangent = vjp(
        [after[name] for name in names],
        [*before.values(), grad],
        [adjoint[name] for name in names],
    )
    return dict(zip(before, earlier, strict=True)), cotangent
