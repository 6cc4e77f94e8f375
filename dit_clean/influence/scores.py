"""Influence scores of samples over windows of a recorded run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from dit_clean.influence.adjoint import Seed, sweep_back
from dit_clean.influence.functional import query_gradients
from dit_clean.influence.queries import HasModel, Query
from dit_clean.influence.windows import Window
from dit_clean.tracking import Trajectory

History: TypeAlias = Literal["full", "window"]


@dataclass(frozen=True)
class InfluenceScores:
    """Influence of every training sample on one or several queries.

    Attributes
    ----------
    values : ndarray of shape (n_queries, n_samples)
        Query without the sample minus query with it; for a loss query negative =
        harmful.
    window : Window
        Steps that the sample is removed from (history="window"), or over which the
        change is taken (history="full").
    query_step : int
        State that the query is evaluated at.
    """

    values: np.ndarray
    window: Window
    query_step: int


def influence_scores(
    trajectory: Trajectory,
    query: Query,
    window: Window,
    *,
    history: History = "full",
    query_step: int | None = None,
    run: HasModel | None = None,
) -> InfluenceScores:
    r"""Estimate how each query would differ had a sample been left out.

    The retraining experiment that the number estimates, to first order: the same
    batches in the same order with the same divisors, only sample j's loss terms gone.

    - ``history="window"``: gone in steps [start, stop) alone; the score is the change
      of the query at `query_step`.
    - ``history="full"`` (the paper's): gone from step 0 on, up to `stop`; the score is
      the change of the query at `query_step` minus its change at `start`.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run.
    query : callable
        ``query(params, run)`` -> scalar, or one value per query.
    window : Window
        In steps.
    history : {"full", "window"}, default="full"
        See above.
    query_step : int, optional
        State at which the query is evaluated, at least ``window.stop`` (the default).
    run : object with a `model`, optional
        Passed to the query; by default the trajectory.

    Returns
    -------
    scores : InfluenceScores

    Raises
    ------
    ValueError
        If the window or the query step is outside of the run.

    Notes
    -----
    One reverse pass: 2 to 3 times the cost of the training steps it goes back over.

    References
    ----------
    .. [1] "Dynamic Influence Tracker: Measuring Time-Varying Sample Influence During
       Training", arXiv 2502.10793, eq. 4-6.
    .. [2] S. Hara, A. Nitanda, T. Maehara, "Data Cleansing for Models Trained with
       SGD", NeurIPS 2019.
    """
    check_history(history)
    query_step = check_steps(trajectory, window, query_step)
    n_removed = 0 if history == "full" else window.start
    gradient_at = _query_gradient(trajectory, query, run)
    gradient = gradient_at(query_step)
    n_queries = len(gradient)
    seeds = [Seed(query_step, slice(0, n_queries), gradient)]
    if history == "full" and window.start > 0:
        row = slice(n_queries, 2 * n_queries)
        seeds.append(Seed(window.start, row, -gradient_at(window.start)))
    values = _zero_scores(trajectory, max(seed.row.stop for seed in seeds))
    for record, contributions in sweep_back(trajectory, seeds, n_removed):
        if record.step < window.stop:
            values.index_add_(1, record.sample_indices, contributions.cpu().double())
    values = values.reshape(-1, n_queries, trajectory.model.n_samples).sum(0)
    return InfluenceScores(values.numpy(), window, query_step)


def influence_timeline(
    trajectory: Trajectory,
    query: Query,
    *,
    history: History = "window",
    query_step: int | None = None,
    run: HasModel | None = None,
) -> np.ndarray:
    """Return the influence of each sample over each epoch.

    Parameters
    ----------
    trajectory, query, history, run
        As in `influence_scores`.
    query_step : int, optional
        State at which the query is evaluated for all epochs; by default each epoch's
        own end.

    Returns
    -------
    timeline : ndarray of shape (n_queries, n_samples, n_epochs)
        Column e is the score of the window of epoch e.

    Notes
    -----
    One reverse pass for a fixed query step (the columns then add up to the score of
    the whole run) and for history="window". With history="full" and a moving query
    the one pass carries an adjoint for each epoch.
    """
    check_history(history)
    starts = trajectory.epoch_starts
    gradient_at = _query_gradient(trajectory, query, run)
    if query_step is not None:
        check_steps(trajectory, Window(0, trajectory.n_steps), query_step)
        seeds = [_single_row(query_step, gradient_at(query_step))]
        return _binned(trajectory, seeds)
    ends = [_single_row(stop, gradient_at(stop)) for stop in starts[1:]]
    if history == "window":
        return _binned(trajectory, ends)
    return _differences(trajectory, ends)


def label_influence(
    trajectory: Trajectory,
    query: Query,
    window: Window,
    *,
    run: HasModel | None = None,
) -> np.ndarray:
    """Return the influence that each sample would have under each label.

    To first order, with the network as it was trained: the loss term that the sample
    would have contributed to its batches in the window had its label been c. The
    column of its own label is ``influence_scores(..., history="window")``. Evidence
    about labels that has not seen the sample's own.

    Parameters
    ----------
    trajectory, query, run
        As in `influence_scores`.
    window : Window
        In steps; the query is evaluated at its end.

    Returns
    -------
    values : ndarray of shape (n_queries, n_samples, n_classes)
        Query without the sample minus query with it under label c.

    Notes
    -----
    Costs what `influence_scores` costs, whatever the number of classes.
    """
    check_steps(trajectory, window, None)
    gradient = _query_gradient(trajectory, query, run)(window.stop)
    seeds = [_single_row(window.stop, gradient)]
    values: Any = 0
    for record, contributions in sweep_back(
        trajectory, seeds, window.start, each_label=True
    ):
        n_queries, _, n_classes = contributions.shape
        if isinstance(values, int):
            shape = (n_queries, trajectory.model.n_samples, n_classes)
            values = torch.zeros(shape, dtype=torch.float64)
        values.index_add_(1, record.sample_indices, contributions.cpu().double())
    return values.numpy()


def check_history(history: Any) -> History:
    """Return `history`, after checking that it is one that is known."""
    if history not in get_args(History):
        raise ValueError(
            f"Unknown history {history!r}. Known: {', '.join(get_args(History))}."
        )
    return history


def check_steps(trajectory: Trajectory, window: Window, query_step: int | None) -> int:
    """Return the query step, after checking it and the window against the run."""
    n_steps = trajectory.n_steps
    if not 0 <= window.start < window.stop <= n_steps:
        raise ValueError(
            f"The window [{window.start}, {window.stop}) is outside of the run of "
            f"{n_steps} steps: 0 <= start < stop <= {n_steps} is needed."
        )
    query_step = window.stop if query_step is None else query_step
    if not window.stop <= query_step <= n_steps:
        raise ValueError(
            f"query_step={query_step} must lie between the window's end "
            f"({window.stop}) and the end of the run ({n_steps})."
        )
    return query_step


def _query_gradient(
    trajectory: Trajectory, query: Query, run: HasModel | None
) -> Callable[[int], Tensor]:
    context = trajectory if run is None else run

    def gradient_at(step: int) -> Tensor:
        return query_gradients(
            lambda params: query(params, context),
            trajectory.layout,
            trajectory.state(step),
        )

    return gradient_at


def _single_row(step: int, gradient: Tensor) -> Seed:
    return Seed(step, slice(0, len(gradient)), gradient)


def _binned(trajectory: Trajectory, seeds: list[Seed]) -> np.ndarray:
    """Return contributions summed by epoch, (n_queries, n_samples, n_epochs)."""
    n_queries = len(seeds[0].gradient)
    values = torch.stack(
        [_zero_scores(trajectory, n_queries) for _ in range(trajectory.n_epochs)]
    )
    for record, contributions in sweep_back(trajectory, seeds, 0):
        values[record.epoch].index_add_(
            1, record.sample_indices, contributions.cpu().double()
        )
    return values.permute(1, 2, 0).numpy()


def _differences(trajectory: Trajectory, ends: list[Seed]) -> np.ndarray:
    """Return the growth per epoch of the influence since step 0."""
    n_queries, n_epochs = len(ends[0].gradient), len(ends)
    seeds = [
        Seed(end.step, slice(e * n_queries, (e + 1) * n_queries), end.gradient)
        for e, end in enumerate(ends)
    ]
    values = _zero_scores(trajectory, n_queries * n_epochs)
    for record, contributions in sweep_back(trajectory, seeds, 0):
        values.index_add_(1, record.sample_indices, contributions.cpu().double())
    since_start = values.reshape(n_epochs, n_queries, -1).permute(1, 2, 0).numpy()
    return np.diff(since_start, axis=2, prepend=0.0)


def _zero_scores(trajectory: Trajectory, n_rows: int) -> Any:
    return torch.zeros(n_rows, trajectory.model.n_samples, dtype=torch.float64)
