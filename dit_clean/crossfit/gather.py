"""From the runs of the cross-fit to one row of evidence per sample."""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dit_clean.crossfit.epochs import average_over_runs
from dit_clean.crossfit.fold import Fold, FoldResult
from dit_clean.crossfit.watcher import forward_rows
from dit_clean.detection import LabelEvidence, TargetEvidence
from dit_clean.influence import (
    BoundedError,
    LabelError,
    MeanLoss,
    Steps,
    Window,
    influence_timeline,
)
from dit_clean.influence.queries import Query, Several
from dit_clean.influence.scores import History
from dit_clean.influence.windows import grid_in_steps
from dit_clean.targets import Targets
from dit_clean.tracking import Trajectory
from dit_clean.tracking.rows import Rows, cast_floats, subset_rows


class QueryMaker:
    """Builds the default query of a fold, on the rows that it holds out.

    Bounded, since nobody has checked those rows: the mean error of labels, or the mean
    bounded error of regression targets. Clean validation samples add their mean loss
    as a second query.

    Parameters
    ----------
    X : Tensor or csr_array, first axis n_samples
        All inputs.
    targets : Targets
        All targets.
    validation : pair of inputs and encoded targets, or None
        Clean samples.
    """

    def __init__(
        self,
        X: Rows,
        targets: Targets,
        validation: tuple[Rows, torch.Tensor] | None = None,
    ):
        self.X, self.targets, self.validation = X, targets, validation

    def __call__(self, fold: Fold) -> Query:
        """Return the query of a fold."""
        rows = torch.as_tensor(fold.held_out)
        X, y = subset_rows(self.X, rows), self.targets.encoded[rows]
        query: Query = (
            LabelError(X, y)
            if self.targets.is_classifier
            else BoundedError(X, y, scale=self.targets.spread)
        )
        if self.validation is None:
            return query
        return Several((query, MeanLoss(*self.validation)))


def gather_evidence(
    results: list[FoldResult], targets: Targets
) -> LabelEvidence | TargetEvidence:
    """Return evidence in the row order of the X given to fit.

    Runs that stopped early keep their last outputs.
    """
    n_epochs = max(result.outputs.shape[1] for result in results)
    outputs = [_extended(result.outputs, n_epochs) for result in results]
    if targets.is_classifier:
        outputs = [np.exp(output) for output in outputs]
    in_sample = average_over_runs(
        results, [o[None, r.fold.train] for o, r in zip(outputs, results, strict=True)]
    )[0]
    held_out = np.empty_like(outputs[0])
    for output, result in zip(outputs, results, strict=True):
        held_out[result.fold.held_out] = output[result.fold.held_out]
    if targets.is_classifier:
        n_in_sample = len(results) - 1
        return LabelEvidence(targets.codes, in_sample, held_out, n_in_sample)
    y = targets.encoded.numpy()[:, 0]
    return TargetEvidence(y, in_sample[:, :, 0], held_out[:, :, 0])


def average_influence(
    results: list[FoldResult],
    make_query: Callable[[Fold], Query],
    window: Window | Steps,
    history: History,
) -> np.ndarray:
    """Return influence averaged over the runs that train on each sample.

    Parameters
    ----------
    results : list of FoldResult
        Runs with their data.
    make_query : callable
        ``make_query(fold)`` -> the query of a fold's run.
    window : Window or Steps
        In epochs or steps; cut off where a run stopped earlier. A run that did not
        reach it does not count.
    history : {"full", "window"}
        See `influence_scores`.

    Returns
    -------
    influence : ndarray of shape (n_queries, n_samples)
    """
    return average_timeline(results, make_query, [window], history)[:, :, 0]


def average_timeline(
    results: list[FoldResult],
    make_query: Callable[[Fold], Query],
    windows: Sequence[Window | Steps] | int,
    history: History,
) -> np.ndarray:
    """Return influence over a grid of windows, averaged as in `average_influence`.

    Parameters
    ----------
    results, make_query, history
        As in `average_influence`.
    windows : int or sequence of Window and Steps
        So many windows of equal length, or epochs and steps.

    Returns
    -------
    timeline : ndarray of shape (n_queries, n_samples, n_windows)
    """
    values, reached = [], []
    for result in results:
        trajectory = result.run.trajectory
        grid = _windows_of_run(windows, trajectory)
        values.append(
            influence_timeline(
                trajectory,
                make_query(result.fold),
                [window for window, _ in grid],
                history=history,
                run=result.run,
            )
        )
        reached.append(np.array([is_reached for _, is_reached in grid]))
    return average_over_runs(results, values, reached)


def _windows_of_run(
    windows: Sequence[Window | Steps] | int, trajectory: Trajectory
) -> list[tuple[Window, bool]]:
    """Return each window in steps, cut off where the run stopped; and if it got there.

    A window that the run did not reach is replaced by its last one.
    """
    if isinstance(windows, int):
        return [(window, True) for window in grid_in_steps(windows, trajectory)]
    grid = []
    for window in windows:
        in_steps = isinstance(window, Steps)
        length = trajectory.n_steps if in_steps else trajectory.n_epochs
        inside = Window(min(window.start, length - 1), min(window.stop, length))
        inside = inside if in_steps else inside.in_steps(trajectory)
        grid.append((inside, window.start < length))
    return grid


def predict_together(
    results: list[FoldResult], X: Rows, is_classifier: bool
) -> torch.Tensor:
    """Return encoded labels, or targets (n, 1), that the runs predict on average."""
    outputs = []
    for result in results:
        trajectory = result.run.trajectory
        state = trajectory.state(trajectory.n_steps)
        params = trajectory.layout.unflatten(state.params) | dict(state.buffers)
        inputs = cast_floats(X, state.params.dtype)
        output = forward_rows(trajectory.model, params, inputs, is_classifier)
        outputs.append(output.exp() if is_classifier else output)
    mean = torch.stack(outputs).mean(0)
    return mean.argmax(1) if is_classifier else mean


def _extended(outputs: np.ndarray, n_epochs: int) -> np.ndarray:
    missing = n_epochs - outputs.shape[1]
    return np.pad(outputs, ((0, 0), (0, missing), (0, 0)), mode="edge")
