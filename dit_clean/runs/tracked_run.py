"""A recorded training run and the questions it answers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from skorch import NeuralNet

from dit_clean.influence import Removal, influence_scores, influence_timeline, leave_out
from dit_clean.influence.chosen_rows import as_row_groups, as_sample_rows
from dit_clean.influence.queries import Query
from dit_clean.influence.scores import History
from dit_clean.influence.windows import (
    GridLike,
    WindowLike,
    grid_in_steps,
    window_in_steps,
)
from dit_clean.tracking import TrackedModel, Trajectory


@dataclass(frozen=True, repr=False)
class TrackedRun:
    """A recorded training run and the questions it answers.

    Attributes
    ----------
    trajectory : Trajectory
        Steps and states; iterating yields `StepRecord`, ``trajectory.params(t)`` is the
        parameter dict before step t.
    net_ : NeuralNet or None
        The trained clone; None in the runs inside of an `InfluenceCleaner`, and of a
        loop of one's own.
    """

    trajectory: Trajectory
    net_: NeuralNet | None = None

    def __repr__(self) -> str:
        return f"TrackedRun({self.trajectory.summary})"

    @property
    def model(self) -> TrackedModel:
        """Outputs and losses as functions of the parameters, for queries."""
        return self.trajectory.model

    @property
    def n_epochs(self) -> int:
        """Epochs of the run."""
        return self.trajectory.n_epochs

    def influence(
        self,
        query: Query,
        window: WindowLike = None,
        history: History = "full",
        query_step: int | None = None,
    ) -> np.ndarray:
        """Return each sample's influence on a query over a window of training.

        Query without the sample minus query with it: for a loss, negative = harmful.
        Computed by one reverse pass over the run; see `influence_scores`.

        Parameters
        ----------
        query : callable
            ``query(params, run)`` -> scalar tensor, or one value per query.
        window : None, str, int, pair or Steps, default=None
            Epochs (see `resolve_window`) or ``Steps(start, stop)``. None is the whole
            run.
        history : {"full", "window"}, default="full"
            Whether the sample is gone from step 0 on (the paper's), or only during
            the window.
        query_step : int, optional
            Step at which the query is evaluated, by default the window's end.

        Returns
        -------
        influence : ndarray of shape (n_samples,) or (n_queries, n_samples)

        Raises
        ------
        ValueError
            If the window is unknown or outside of training, the query step lies before
            its end, or the query's result cannot be differentiated.
        TypeError
            If the query cannot be called or returns no tensor.
        RuntimeError
            If a recorded update does not follow from its gradient.
        FloatingPointError
            If influence grows beyond all numbers on its way back.
        """
        scores = influence_scores(
            self.trajectory,
            query,
            window_in_steps(window, self.trajectory),
            history=history,
            query_step=query_step,
            run=self,
        )
        return _squeezed(scores.values)

    def timeline(
        self,
        query: Query,
        windows: GridLike = None,
        history: History = "window",
        query_step: int | None = None,
    ) -> np.ndarray:
        """Return each sample's influence over each window of a grid.

        Parameters
        ----------
        query, history
            As in `influence`.
        windows : None, int or iterable of windows, default=None
            None is one window for each epoch; a number, so many windows of equally
            many steps; else a list of whatever `influence` takes as a window.
        query_step : int, optional
            Step at which the query is evaluated for all windows, by default each
            window's own end.

        Returns
        -------
        timeline : ndarray of shape (n_samples, n_windows)
            With a leading axis n_queries for a query of several values.

        Raises
        ------
        ValueError, TypeError, RuntimeError, FloatingPointError
            As `influence` does; or if there are no windows, or more than steps.

        Notes
        -----
        Cost for windows that do not overlap: one reverse pass over them, with
        ``history="full"`` one that carries as many adjoints as there are windows; see
        `influence_timeline`.
        """
        return _squeezed(
            influence_timeline(
                self.trajectory,
                query,
                grid_in_steps(windows, self.trajectory),
                history=history,
                query_step=query_step,
                run=self,
            )
        )

    def leave_one_out(
        self,
        query: Query,
        samples: Iterable[int] | None = None,
        window: WindowLike = None,
        history: History = "full",
        query_step: int | None = None,
        verbose: int = 0,
    ) -> np.ndarray:
        """Measure by retraining what `influence` estimates.

        Parameters
        ----------
        query, window, history, query_step
            As in `influence`.
        samples : iterable of int or a boolean mask, optional
            Samples to leave out, one at a time; by default all.
        verbose : int, default=0
            Whether to show progress, sample by sample.

        Returns
        -------
        changes : ndarray of shape (n_left_out,) or (n_queries, n_left_out)

        Raises
        ------
        ValueError, TypeError
            If `samples` are no mask and no row numbers, or as `influence` does.
        RuntimeError
            If training again without leaving anything out ends somewhere else.

        Notes
        -----
        Cost: a training run for each sample.
        """
        n_samples = self.model.n_samples
        samples = range(n_samples) if samples is None else samples
        groups = [[row] for row in as_sample_rows(samples, n_samples)]
        return self.leave_out(query, groups, window, history, query_step, verbose)

    def leave_out(
        self,
        query: Query,
        groups: Iterable[Iterable[int]],
        window: WindowLike = None,
        history: History = "full",
        query_step: int | None = None,
        verbose: int = 0,
    ) -> np.ndarray:
        """Measure by retraining what leaving out whole groups of samples does.

        Parameters
        ----------
        query, window, history, query_step
            As in `influence`.
        groups : iterable of iterables of int, or of boolean masks
            Samples to leave out together, one group at a time.
        verbose : int, default=0
            Whether to show progress, group by group.

        Returns
        -------
        changes : ndarray of shape (n_groups,) or (n_queries, n_groups)

        Raises
        ------
        ValueError, TypeError, RuntimeError
            As `leave_one_out` does; or if there is no group.

        Notes
        -----
        Cost: a training run for each group.
        """
        changes = leave_out(
            self.trajectory,
            query,
            groups,
            window_in_steps(window, self.trajectory),
            history=history,
            query_step=query_step,
            run=self,
            verbose=verbose,
        )
        return _squeezed(changes)

    def check_removal(
        self,
        query: Query,
        groups: Iterable[Iterable[int]],
        window: WindowLike = None,
        history: History = "full",
        query_step: int | None = None,
        verbose: int = 0,
    ) -> Removal:
        """Compare what influence predicts for groups of samples with retraining.

        For random groups of one size, ``check_removal(...).datamodeling_score`` is the
        linear datamodeling score.

        Parameters
        ----------
        query : callable
            One scalar query.
        groups, window, history, query_step, verbose
            As in `leave_out`.

        Returns
        -------
        removal : Removal
            Predicted and actual changes of the query, by group.

        Raises
        ------
        ValueError
            If the query has several values, or there is no group.
        """
        rows = as_row_groups(groups, self.model.n_samples)
        influence = self.influence(query, window, history, query_step)
        if influence.ndim > 1:
            raise ValueError(
                f"The query has {len(influence)} values. Give a scalar query, such as "
                "MeanLoss."
            )
        return Removal(
            sizes=np.array([len(group) for group in rows]),
            predicted=np.array([influence[group].sum() for group in rows]),
            actual=self.leave_out(query, rows, window, history, query_step, verbose),
        )


def _squeezed(values: np.ndarray) -> np.ndarray:
    """Drop the axis of queries where there is one query."""
    return values[0] if len(values) == 1 else values
