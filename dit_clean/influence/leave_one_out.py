"""The oracle: retraining without a sample, or without a group, on the same batches."""

from collections.abc import Iterable

import numpy as np
import torch
from tqdm.auto import tqdm

from dit_clean.influence.batch_norm import variance_names
from dit_clean.influence.chosen_rows import as_row_groups
from dit_clean.influence.functional import check_query, check_query_values
from dit_clean.influence.queries import HasModel, Query
from dit_clean.influence.scores import History, check_history, check_steps
from dit_clean.influence.update_check import follows
from dit_clean.influence.windows import Steps
from dit_clean.tracking import TrainingState, Trajectory
from dit_clean.tracking.exclusive import one_thread_at_a_time
from dit_clean.tracking.generator import same_draws

MAX_DRIFT = 0.05
"""Allowed distance of retrained parameters from recorded ones, as a part of how far the
run has moved them."""


@one_thread_at_a_time
def leave_out(
    trajectory: Trajectory,
    query: Query,
    groups: Iterable[Iterable[int]],
    window: Steps,
    *,
    history: History = "full",
    query_step: int | None = None,
    run: HasModel | None = None,
    verbose: int = 0,
) -> np.ndarray:
    """Measure by retraining what leaving out whole groups of samples does.

    The loss terms of all samples of a group are left out together; batches, order,
    divisors, learning rates and dropout masks stay those of the recorded run. A sum of
    influences over the group estimates it to first order.

    Parameters
    ----------
    trajectory, query, window, history, query_step, run
        As in `influence_scores`.
    groups : iterable of iterables of int, or of boolean masks
        Rows of the training data to leave out, one group at a time.
    verbose : int, default=0
        Whether to show progress, group by group.

    Returns
    -------
    changes : ndarray of shape (n_queries, n_groups)
        Query without the group minus query with it.

    Raises
    ------
    TypeError
        If the query cannot be asked: a class, say. Or if the window is not in steps.
    ValueError
        If there is no group, or a group is no mask and no row numbers.
    RuntimeError
        If training again without leaving anything out ends somewhere else.

    Notes
    -----
    Cost: a training run for each group, and one for the comparison.

    A network of your own in which values decide *how many* random numbers are drawn
    draws others than the recorded ones, until the next epoch.
    """
    check_history(history)
    check_query(query)
    rows_of = as_row_groups(groups, trajectory.model.n_samples)
    query_step = check_steps(trajectory, window, query_step)
    context = trajectory if run is None else run

    def value(state: TrainingState) -> np.ndarray:
        with torch.no_grad(), same_draws(trajectory.model.device):
            values = check_query_values(query(trajectory.variables(state), context))
        return values.cpu().double().numpy()

    removal, points = window, [query_step]
    if history == "full":
        removal, points = Steps(0, window.stop), [query_step, window.start]
    nothing = np.array([], dtype=int)
    again = _retrained(trajectory, nothing, removal, points)
    _check_ends_alike(trajectory, again, removal.start)
    base = {t: value(again[t]) for t in points}
    changes = []
    for rows in tqdm(rows_of, "retraining", unit="run", disable=not verbose):
        states = _retrained(trajectory, rows, removal, points)
        change = {t: value(states[t]) - base[t] for t in points}
        # Gone from the window's start on, a sample has changed nothing there.
        changes.append(change[query_step] - change.get(window.start, 0.0))
    return np.stack(changes, axis=1)


def _check_ends_alike(
    trajectory: Trajectory, again: dict[int, TrainingState], first: int
) -> None:
    """Raise if training again leads elsewhere than the recorded run.

    A single step may show little of what is done beside the recorded updates, but it
    adds up.
    """
    start = trajectory.state(first)
    for t, state in again.items():
        recorded = trajectory.state(t)
        away = float((state.params - recorded.params).norm())
        if away > MAX_DRIFT * float((recorded.params - start.params).norm()):
            raise RuntimeError(
                f"Training again from step {first} on, with nothing left out, does not "
                f"lead to the recorded parameters of step {t}: they are {away:.2g} "
                "apart. Something beside the recorded updates changes parameters or "
                "the optimizer's state (a penalty outside of the criterion, momentum "
                "that is reset), so that retraining shows nothing of the samples. "
                "`check_replay` may tell which step it is."
            )
        for name in variance_names(trajectory.model.module):
            before, found, values = (s.buffers[name] for s in (start, state, recorded))
            if not follows(before, found, values):
                raise RuntimeError(
                    f"Training again from step {first} on, with nothing left out, does "
                    f"not lead to the recorded buffer {name!r} of step {t}. Forward "
                    "passes in training mode beside those of the steps move it: put "
                    "the module into evaluation mode for all else, module.eval()."
                )


def _retrained(
    trajectory: Trajectory, rows: np.ndarray, removal: Steps, points: list[int]
) -> dict[int, TrainingState]:
    """Return states of the run without these rows in `removal`, by step.

    Those at the start and the end of `removal`, and at the `points` after it.
    """
    removed = torch.zeros(trajectory.model.n_samples, dtype=torch.bool)
    removed[torch.as_tensor(rows)] = True
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
