"""Influence scores of samples over windows of a recorded run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from torch import Tensor

from dit_clean.influence.accumulate import Term, accumulate, query_gradient
from dit_clean.influence.queries import HasModel, Query
from dit_clean.influence.windows import Steps, grid_in_steps
from dit_clean.tracking import Trajectory
from dit_clean.tracking.exclusive import one_thread_at_a_time

History: TypeAlias = Literal["full", "window"]


@dataclass(frozen=True)
class InfluenceScores:
    """Influence of every training sample on one or several queries.

    Attributes
    ----------
    values : ndarray of shape (n_queries, n_samples)
        Query without the sample minus query with it; for a loss query negative =
        harmful.
    window : Steps
        Those that the sample is gone from (history="window"), or over which the
        change is taken (history="full").
    query_step : int
        State that the query is evaluated at.
    """

    values: np.ndarray
    window: Steps
    query_step: int


@one_thread_at_a_time
def influence_scores(
    trajectory: Trajectory,
    query: Query,
    window: Steps,
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
    window : Steps
        Of epochs: ``Window(start, stop).in_steps(trajectory)``.
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
    TypeError
        If the query cannot be asked: a class, say. Or if the window is not in steps.
    ValueError
        If the window or the query step is outside of the run, or the network or its
        loss is one that no question can be answered for: see `check_differentiable`.
    FloatingPointError
        If influence overflows on the way back.

    Notes
    -----
    One reverse pass: about 3 times the cost of the training steps it goes back over.

    The first two updates of Adam and its kin are not differentiated at a point where
    they divide by next to nothing: see `dit_clean.influence.smoothing`.

    References
    ----------
    .. [1] "Dynamic Influence Tracker: Measuring Time-Varying Sample Influence During
       Training", arXiv 2502.10793, eq. 4-6.
    .. [2] S. Hara, A. Nitanda, T. Maehara, "Data Cleansing for Models Trained with
       SGD", NeurIPS 2019.
    """
    terms = grid_terms(trajectory, [window], history, query_step)
    values = accumulate(trajectory, query_gradient(trajectory, query, run), terms)
    return InfluenceScores(values[:, :, 0], window, terms[0].query_step)


@one_thread_at_a_time
def influence_timeline(
    trajectory: Trajectory,
    query: Query,
    windows: Sequence[Steps] | None = None,
    *,
    history: History = "window",
    query_step: int | None = None,
    run: HasModel | None = None,
    on_step: Callable[[], object] | None = None,
) -> np.ndarray:
    """Return the influence of each sample over each window of a grid.

    Parameters
    ----------
    trajectory, query, history, run
        As in `influence_scores`.
    windows : sequence of Steps, optional
        In any order; they may overlap and leave gaps. By default the epochs.
    query_step : int, optional
        State at which the query is evaluated for all windows; by default each
        window's own end.
    on_step : callable, optional
        Called after each step that is gone back over, to show progress.

    Returns
    -------
    timeline : ndarray of shape (n_queries, n_samples, n_windows)
        Column w is the score of window w, as `influence_scores` defines it.

    Notes
    -----
    The steps are gone over once, but a step costs the more the more adjoints pass it:

    - a fixed query step and history="window": one adjoint, whatever the windows. The
      columns of a partition of training then add up to the score of the whole run;
    - a query that moves and history="window": as many as windows overlap, one for a
      partition. Steps that lie in no window cost nothing;
    - history="full": one for each distinct window bound later than the step.

    k adjoints cost less than k passes, since the forward pass is shared.
    """
    windows = grid_in_steps(None, trajectory) if windows is None else windows
    terms = grid_terms(trajectory, windows, history, query_step)
    gradient_of = query_gradient(trajectory, query, run)
    return accumulate(trajectory, gradient_of, terms, on_step)


def grid_terms(
    trajectory: Trajectory,
    windows: Sequence[Steps],
    history: History,
    query_step: int | None = None,
) -> list[Term]:
    """Return the parts of the scores of windows of steps, after checking them."""
    check_history(history)
    return [
        term
        for column, window in enumerate(windows)
        for term in _window_terms(
            window, check_steps(trajectory, window, query_step), column, history
        )
    ]


def _window_terms(
    window: Steps, query_step: int, column: int, history: History
) -> list[Term]:
    """Return the parts of a window's score; `influence_scores` defines it."""
    if history == "window":
        return [Term(query_step, window, column)]
    terms = [Term(query_step, Steps(0, window.stop), column)]
    if window.start > 0:
        terms.append(Term(window.start, Steps(0, window.start), column, -1.0))
    return terms


@one_thread_at_a_time
def label_influence(
    trajectory: Trajectory,
    query: Query,
    window: Steps,
    *,
    run: HasModel | None = None,
) -> np.ndarray:
    """Return the influence that each sample would have under each label.

    To first order, with the network as it was trained: the loss term that the sample
    would have contributed to its batches in the window had its label been c and its
    sample weight 1, since a low weight does not make a label right. The column of its
    own label, times the weight, is ``influence_scores(..., history="window")``. So this
    is evidence about labels that has not seen the sample's own. A class that the
    criterion ignores (``ignore_index``) does nothing, and samples of it are no part of
    training under any label: 0.

    Parameters
    ----------
    trajectory, query, run
        As in `influence_scores`.
    window : Steps
        The query is evaluated at its end.

    Returns
    -------
    values : ndarray of shape (n_queries, n_samples, n_classes)
        Query without the sample minus query with it under label c.

    Raises
    ------
    TypeError
        If the window is not in steps.
    ValueError
        If targets are not one class for each sample, or the window is outside of the
        run.

    Notes
    -----
    Costs what `influence_scores` costs, whatever the number of classes.
    """
    _check_classes(trajectory.model.targets)
    terms = grid_terms(trajectory, [window], "window")
    gradient_of = query_gradient(trajectory, query, run)
    return accumulate(trajectory, gradient_of, terms, each_label=True)[..., 0]


def _check_classes(targets: Tensor) -> None:
    """Raise if targets are not one class for each sample."""
    if targets.ndim != 1 or targets.is_floating_point():
        raise ValueError(
            "Influence under each label needs targets that are one class for each "
            f"sample, integers of shape (n_samples,), got {targets.dtype} of shape "
            f"{tuple(targets.shape)}. influence_scores takes targets of any kind."
        )


def check_history(history: Any) -> History:
    """Return `history`, after checking that it is one that is known."""
    if history not in get_args(History):
        raise ValueError(
            f"Unknown history {history!r}. Known: {', '.join(get_args(History))}."
        )
    return history


def check_steps(trajectory: Trajectory, window: Steps, query_step: int | None) -> int:
    """Return the query step, after checking it and the window against the run."""
    if not isinstance(window, Steps):
        raise TypeError(
            f"{window!r} is not in steps. Give Steps(start, stop), or for epochs "
            "Window(start, stop).in_steps(trajectory)."
        )
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
