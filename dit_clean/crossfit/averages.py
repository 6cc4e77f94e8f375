"""What the runs of the cross-fit answer, averaged."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.measurements import average_over_folds
from dit_clean.crossfit.result import FoldRun
from dit_clean.crossfit.watcher import forward_rows
from dit_clean.influence import Steps, Window, influence_timeline
from dit_clean.influence.accumulate import n_steps_back
from dit_clean.influence.queries import Query
from dit_clean.influence.scores import History, grid_terms
from dit_clean.influence.windows import grid_in_steps
from dit_clean.tracking import Trajectory
from dit_clean.tracking.exclusive import one_thread_at_a_time
from dit_clean.tracking.rows import Rows, cast_floats


def average_timeline(
    runs: list[FoldRun],
    make_query: Callable[[Fold], Query],
    windows: Sequence[Window | Steps] | int,
    history: History,
    *,
    on_step: Callable[[], object] | None = None,
) -> np.ndarray:
    """Return influence over a grid, averaged over the runs that train on each sample.

    Parameters
    ----------
    runs : list of FoldRun
        With their data.
    make_query : callable
        ``make_query(fold)`` -> the query of a fold's run.
    windows : int or sequence of Window and Steps
        So many windows of equal length, or epochs and steps; cut off where a run
        stopped earlier. A run that did not reach a window does not count in it.
    history : {"full", "window"}
        See `influence_scores`.
    on_step : callable, optional
        Called after each of the `steps_to_go_back`.

    Returns
    -------
    timeline : ndarray of shape (n_queries, n_samples, n_windows)
    """
    values, reached = [], []
    for recorded in runs:
        trajectory = recorded.run.trajectory
        grid = _windows_of_run(windows, trajectory)
        values.append(
            influence_timeline(
                trajectory,
                make_query(recorded.fold),
                [window for window, _ in grid],
                history=history,
                run=recorded.run,
                on_step=on_step,
            )
        )
        reached.append(np.array([is_reached for _, is_reached in grid]))
    return average_over_folds([r.fold for r in runs], values, reached)


def steps_to_go_back(
    runs: list[FoldRun], windows: Sequence[Window | Steps] | int, history: History
) -> int:
    """Return how many steps of all runs a query over a grid of windows takes."""
    total = 0
    for recorded in runs:
        trajectory = recorded.run.trajectory
        grid = [window for window, _ in _windows_of_run(windows, trajectory)]
        total += n_steps_back(grid_terms(trajectory, grid, history))
    return total


def _windows_of_run(
    windows: Sequence[Window | Steps] | int, trajectory: Trajectory
) -> list[tuple[Steps, bool]]:
    """Return each window in steps, cut off where the run stopped; and if it got there.

    For a window that it did not reach its last epoch or step stands in.
    """
    if isinstance(windows, int):
        return [(window, True) for window in grid_in_steps(windows, trajectory)]
    grid = []
    for window in windows:
        if isinstance(window, Steps):
            length = trajectory.n_steps
            steps = window.cut_off(length)
        else:
            length = trajectory.n_epochs
            steps = window.cut_off(length).in_steps(trajectory)
        grid.append((steps, window.start < length))
    return grid


def predict_together(runs: list[FoldRun], X: Rows, is_classifier: bool) -> torch.Tensor:
    """Return encoded labels, or targets (n, 1), that the runs predict on average."""
    outputs = [_predicted(run.run.trajectory, X, is_classifier) for run in runs]
    mean = torch.stack(outputs).mean(0)
    return mean.argmax(1) if is_classifier else mean


@one_thread_at_a_time
def _predicted(trajectory: Trajectory, X: Rows, is_classifier: bool) -> torch.Tensor:
    """Return probabilities, or targets (n, 1), of the trained network."""
    state = trajectory.state(trajectory.n_steps)
    inputs = cast_floats(X, state.params.dtype)
    params = trajectory.variables(state)
    output = forward_rows(trajectory.model, params, inputs, is_classifier)
    return output.exp() if is_classifier else output
