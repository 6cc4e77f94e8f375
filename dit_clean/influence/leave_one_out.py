"""The oracle: retraining without a sample, or without a group, on the same batches."""

from collections.abc import Iterable

import numpy as np
import torch

from dit_clean.influence.functional import check_query_values
from dit_clean.influence.queries import HasModel, Query
from dit_clean.influence.scores import History, check_history, check_steps
from dit_clean.influence.windows import Window
from dit_clean.tracking import TrainingState, Trajectory


def leave_one_out(
    trajectory: Trajectory,
    query: Query,
    samples: Iterable[int],
    window: Window,
    *,
    history: History = "full",
    query_step: int | None = None,
    run: HasModel | None = None,
) -> np.ndarray:
    """Measure by retraining what `influence_scores` estimates.

    Each sample's loss terms are left out, alone; batches, order, divisors, learning
    rates and dropout masks stay those of the recorded run.

    Parameters
    ----------
    trajectory, query, window, history, query_step, run
        As in `influence_scores`.
    samples : iterable of int
        Rows of the training data to leave out, one at a time.

    Returns
    -------
    changes : ndarray of shape (n_queries, n_left_out)
        Query without the sample minus query with it.

    Notes
    -----
    Cost: a training run for each sample.
    """
    return leave_out(
        trajectory,
        query,
        [[int(sample)] for sample in samples],
        window,
        history=history,
        query_step=query_step,
        run=run,
    )


def leave_out(
    trajectory: Trajectory,
    query: Query,
    groups: Iterable[Iterable[int]],
    window: Window,
    *,
    history: History = "full",
    query_step: int | None = None,
    run: HasModel | None = None,
) -> np.ndarray:
    """Measure by retraining what leaving out whole groups of samples does.

    The loss terms of all samples of a group are left out together; all else is as in
    `leave_one_out`. A sum of influences over the group estimates it to first order.

    Parameters
    ----------
    trajectory, query, window, history, query_step, run
        As in `influence_scores`.
    groups : iterable of iterables of int
        Rows of the training data to leave out, one group at a time.

    Returns
    -------
    changes : ndarray of shape (n_queries, n_groups)
        Query without the group minus query with it.

    Raises
    ------
    ValueError
        If there is no group.

    Notes
    -----
    Cost: a training run for each group.
    """
    check_history(history)
    query_step = check_steps(trajectory, window, query_step)
    context = trajectory if run is None else run

    def value(state: TrainingState) -> np.ndarray:
        with torch.no_grad():
            values = check_query_values(query(trajectory.variables(state), context))
        return values.cpu().double().numpy()

    points = [query_step, window.start] if history == "full" else [query_step]
    base = {t: value(trajectory.state(t)) for t in points}
    first = 0 if history == "full" else window.start
    changes = []
    for group in map(as_rows_of_group, groups):
        states = _retrained(trajectory, group, Window(first, window.stop), points)
        change = {t: value(states[t]) - base[t] for t in points}
        changes.append(
            change[query_step] - change.get(window.start, 0.0)
            if history == "full"
            else change[query_step]
        )
    if not changes:
        raise ValueError("There is nothing to leave out: give one group at least.")
    return np.stack(changes, axis=1)


def _retrained(
    trajectory: Trajectory, group: Iterable[int], removal: Window, points: list[int]
) -> dict[int, TrainingState]:
    """Return the states at `points` of the run without a group in `removal`."""
    removed = torch.zeros(trajectory.model.n_samples, dtype=torch.bool)
    removed[torch.as_tensor(np.fromiter(group, dtype=np.int64))] = True
    state, t, found = trajectory.state(removal.start), removal.start, {}
    for stop, gone in ((removal.stop, removed), (max(points), None)):
        found[t] = state
        replayed = trajectory.replayer.iterate_states(
            trajectory.model, state, trajectory.records[t:stop], gone
        )
        for state in replayed:
            t += 1
            found |= {t: state} if t in points else {}
    return found


def as_rows_of_group(group: Iterable[int]) -> np.ndarray:
    """Return the row numbers of a group given as row numbers or as a boolean mask."""
    rows = np.asarray(list(group))
    return np.flatnonzero(rows) if rows.dtype == bool else rows.astype(int)
