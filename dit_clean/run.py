"""Tracking a skorch net, and asking the recorded run."""

import copy
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from sklearn.utils import check_random_state
from skorch import NeuralNet
from skorch.callbacks import Callback

from dit_clean.influence import (
    Removal,
    check_differentiable,
    check_replay,
    influence_scores,
    influence_timeline,
    leave_out,
    update_rule_of,
)
from dit_clean.influence.queries import Query
from dit_clean.influence.removal import predicted_changes
from dit_clean.influence.scores import History
from dit_clean.influence.windows import (
    GridLike,
    WindowLike,
    grid_in_steps,
    window_in_steps,
)
from dit_clean.inputs import checked_weight
from dit_clean.memory import parse_bytes
from dit_clean.tracking import (
    SampleLoss,
    StateStore,
    StepRecorder,
    TrackedModel,
    Trajectory,
    TrajectoryRecorder,
)
from dit_clean.tracking.networks import check_module, cuda_devices, tracked_clone
from dit_clean.tracking.rows import as_rows, cast_floats


def track(
    net: NeuralNet,
    X: Any,
    y: Any,
    *,
    record: str | int = "auto",
    sample_weight: Any = None,
    random_state: Any = None,
) -> "TrackedRun":
    """Fit a clone of `net` under tracking.

    Parameters
    ----------
    net : NeuralNetClassifier or NeuralNetRegressor
        Any skorch net; cloned, never touched.
    X : array-like, dict of array-like or sparse matrix, first axis n_samples
        Training inputs as the net takes them; floats are cast to its precision.
    y : array-like of shape (n_samples, ...)
        Targets as the criterion takes them.
    record : "auto", "all", str or int, default="auto"
        Memory for recorded states: all of them, at most so much ("256MiB", or bytes),
        or at most 1 GiB ("auto"). States beyond it are replayed exactly when asked
        for; scores do not depend on it.
    sample_weight : array-like of shape (n_samples,), optional
        Factor of each sample's loss.
    random_state : int, RandomState instance or None
        Seed of initialization, shuffling and dropout. Torch's global generator is
        left as found.

    Returns
    -------
    run : TrackedRun

    Raises
    ------
    TypeError, ValueError
        If the net, its optimizer or a layer cannot be tracked.
    FloatingPointError
        If training diverges.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from skorch import NeuralNetClassifier
    >>> from dit_clean import track
    >>> from dit_clean.queries import MeanLoss
    >>> X, y = load_iris(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     torch.nn.Linear,
    ...     module__in_features=4,
    ...     module__out_features=3,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=5,
    ...     verbose=0,
    ... )
    >>> run = track(net, X[::2], y[::2], random_state=0)
    >>> run.influence(MeanLoss(X[1::2], y[1::2]), window=2).shape
    (75,)
    """
    store = StateStore(None if record == "all" else parse_bytes(record))
    seed = check_random_state(random_state).randint(2**31)
    weight = checked_weight(sample_weight, len(y))
    return fit_tracked(net, X, y, store=store, sample_weight=weight, seed=seed)


def fit_tracked(
    net: NeuralNet,
    X: Any,
    y: Any,
    *,
    store: StateStore,
    seed: int,
    sample_weight: Any = None,
    after_epoch: Callable[[Trajectory, int], None] | None = None,
    epochs: Collection[int] | None = None,
) -> "TrackedRun":
    """Fit a clone of `net` under tracking; `track` explains the rest.

    `after_epoch(trajectory, epoch)` is called while the states of the epoch are at
    hand, for all epochs or those in `epochs`.
    """
    rows, targets = as_rows(X), cast(torch.Tensor, as_rows(y))
    weight = (
        None if sample_weight is None else cast(torch.Tensor, as_rows(sample_weight))
    )

    def make_recorder(net: NeuralNet) -> StepRecorder:
        loss = SampleLoss.of(net.criterion_, takes_log=_takes_log(net))
        module = copy.deepcopy(net.module_)
        model = TrackedModel(module, loss, rows, targets, weight)
        recorder = StepRecorder(model, net.module_, net.optimizer_, store)
        check_differentiable(recorder.trajectory)
        return recorder

    recorder = TrajectoryRecorder(make_recorder, after_epoch, epochs)
    callbacks: list[tuple[str, Callback]] = [("trajectory_recorder", recorder)]
    if weight is not None:
        callbacks.append(("sample_weighting", SampleWeighting(weight)))
    tracked = tracked_clone(net, callbacks)
    with torch.random.fork_rng(devices=cuda_devices(tracked)):
        torch.manual_seed(seed)
        tracked.initialize()
        update_rule_of(type(tracked.optimizer_))
        check_module(tracked.module_)
        rows = cast_floats(rows, next(tracked.module_.parameters()).dtype)
        try:
            _train(tracked, rows, targets, recorder)
        finally:
            _remove_callbacks(tracked, net, [name for name, _ in callbacks])
    trajectory = recorder.recorder_.trajectory
    check_replay(trajectory)
    return TrackedRun(trajectory, tracked)


@dataclass(frozen=True)
class TrackedRun:
    """A recorded training run and the questions it answers.

    Attributes
    ----------
    trajectory : Trajectory
        Steps and states; iterating yields `StepRecord`, ``trajectory.params(t)`` is the
        parameter dict before step t.
    net_ : NeuralNet or None
        The trained clone; None in the runs inside of an `InfluenceCleaner`.
    """

    trajectory: Trajectory
    net_: NeuralNet | None

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
    ) -> np.ndarray:
        """Measure by retraining what `influence` estimates.

        Parameters
        ----------
        query, window, history, query_step
            As in `influence`.
        samples : iterable of int, optional
            Samples to leave out, one at a time; by default all.

        Returns
        -------
        changes : ndarray of shape (n_left_out,) or (n_queries, n_left_out)

        Notes
        -----
        Cost: a training run for each sample.
        """
        samples = range(self.model.n_samples) if samples is None else samples
        groups = [[sample] for sample in samples]
        return self.leave_out(query, groups, window, history, query_step)

    def leave_out(
        self,
        query: Query,
        groups: Iterable[Iterable[int]],
        window: WindowLike = None,
        history: History = "full",
        query_step: int | None = None,
    ) -> np.ndarray:
        """Measure by retraining what leaving out whole groups of samples does.

        Parameters
        ----------
        query, window, history, query_step
            As in `influence`.
        groups : iterable of iterables of int
            Samples to leave out together, one group at a time.

        Returns
        -------
        changes : ndarray of shape (n_groups,) or (n_queries, n_groups)

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
        )
        return _squeezed(changes)

    def check_removal(
        self,
        query: Query,
        groups: Iterable[Iterable[int]],
        window: WindowLike = None,
        history: History = "full",
    ) -> Removal:
        """Compare what influence predicts for groups of samples with retraining.

        For random groups of one size, ``check_removal(...).datamodeling_score`` is the
        linear datamodeling score.

        Parameters
        ----------
        query : callable
            One scalar query.
        groups, window, history
            As in `leave_out`.

        Returns
        -------
        removal : Removal
            Predicted and actual changes of the query, by group.

        Raises
        ------
        ValueError
            If the query has several values.
        """
        rows = [list(group) for group in groups]
        influence = self.influence(query, window, history)
        if influence.ndim > 1:
            raise ValueError(
                f"The query has {len(influence)} values. Give a scalar query, such as "
                "MeanLoss."
            )
        return Removal(
            sizes=np.array([len(group) for group in rows]),
            predicted=predicted_changes(influence, rows),
            actual=self.leave_out(query, rows, window, history),
        )


class SampleWeighting(Callback):
    """Multiplies each training sample's loss by its weight; the divisor stays.

    Parameters
    ----------
    weights : Tensor of shape (n_samples,)
        By row of the X given to fit.
    """

    def __init__(self, weights: torch.Tensor):
        self.weights = weights

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Make the criterion return weighted losses."""
        self.loss_ = SampleLoss.of(net.criterion_)
        self.rows_: torch.Tensor | None = None
        net.criterion_.reduction = "none"
        self.hook_ = net.criterion_.register_forward_hook(self._reduce)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Note whose losses come next."""
        self.rows_ = batch.sample_indices if training else None

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Leave the criterion as it was found."""
        self.hook_.remove()
        net.criterion_.reduction = self.loss_.criterion.reduction

    def _reduce(self, criterion: Any, inputs: Any, losses: torch.Tensor) -> Any:
        if self.rows_ is None:
            return losses.mean()
        losses = losses if losses.ndim == 1 else losses.flatten(1).mean(1)
        weighted = losses * self.weights[self.rows_].to(losses)
        return weighted.sum() / self.loss_.divisor(inputs[1])


def _train(
    net: NeuralNet, X: Any, y: torch.Tensor, recorder: TrajectoryRecorder
) -> None:
    """Fit an initialized net as skorch does, but let an interrupt through.

    skorch's callbacks stop early by raising KeyboardInterrupt at the end of an epoch,
    and ``NeuralNet.fit`` keeps silent about one that comes from the keyboard.
    """
    net.notify("on_train_begin", X=X, y=y)
    try:
        net.fit_loop(X, y)
    except KeyboardInterrupt:
        if not recorder.between_epochs:
            raise
    finally:
        net.notify("on_train_end", X=X, y=y)


def _takes_log(net: NeuralNet) -> bool:
    """Tell whether skorch takes the logarithm of the module's output."""
    is_classifier = hasattr(net, "classes")
    return is_classifier and isinstance(net.criterion_, torch.nn.NLLLoss)


def _remove_callbacks(tracked: NeuralNet, net: NeuralNet, names: list[str]) -> None:
    """Give the trained net the callbacks of the net it was cloned from."""
    tracked.callbacks = net.callbacks
    tracked.callbacks_ = [
        (name, callback) for name, callback in tracked.callbacks_ if name not in names
    ]


def _squeezed(values: np.ndarray) -> np.ndarray:
    """Drop the axis of queries where there is one query."""
    return values[0] if len(values) == 1 else values
