"""Tracking the training of a skorch net."""

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from sklearn.utils import check_random_state
from skorch import NeuralNet
from skorch.callbacks import Callback

from dit_clean.data.inputs import checked_weight
from dit_clean.influence import check_differentiable, check_replay, update_rule_of
from dit_clean.influence.batch_norm import unfollowed_buffers, warn_of_buffers
from dit_clean.memory import parse_bytes
from dit_clean.runs.tracked_run import TrackedRun
from dit_clean.tracking import (
    SampleLoss,
    StateStore,
    StepRecorder,
    TrackedModel,
    Trajectory,
    TrajectoryRecorder,
)
from dit_clean.tracking.copies import copied
from dit_clean.tracking.criterion_checks import check_holds_none
from dit_clean.tracking.exclusive import borrowed_generators, with_gradients
from dit_clean.tracking.module_checks import check_module
from dit_clean.tracking.networks import tracked_clone
from dit_clean.tracking.probabilities import check_probabilities, takes_log
from dit_clean.tracking.rows import (
    as_rows,
    as_targets,
    as_tensor,
    cast_floats,
    cast_targets,
    own_rows,
    skorch_rows,
)
from dit_clean.tracking.weighting import SampleWeighting
from dit_clean.warning import warn


@with_gradients()
def track(
    net: NeuralNet,
    X: Any,
    y: Any,
    *,
    record: str | int = "auto",
    sample_weight: Any = None,
    random_state: Any = None,
) -> TrackedRun:
    """Fit a clone of `net` under tracking.

    Parameters
    ----------
    net : NeuralNetClassifier or NeuralNetRegressor
        Cloned, never touched.
    X : array-like, dict of array-like or sparse matrix, first axis n_samples
        Training inputs as the net takes them; floats are cast to its precision. They
        are copied: replaying needs them as they were.
    y : array-like of shape (n_samples, ...)
        Targets as the criterion takes them, copied and cast in the same way.
    record : "auto", "all", str or int, default="auto"
        Memory for recorded states: all of them, or at most so much ("256MiB", or
        bytes). "auto" is at most 1 GiB, and of states above 1 KiB every k-th, so that
        recording hardly slows training down. States in between are replayed exactly
        when asked for, a training step each; scores do not depend on it. Choose "all"
        for many questions, or for timelines over single steps.
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

    Warns
    -----
    UserWarning
        If some samples are in no batch.

    Notes
    -----
    Influence is exact to first order; above all with batch normalization leaving a
    sample out can be far from that: compare some samples with ``run.leave_one_out``.

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
    ...     train_split=None,
    ...     verbose=0,
    ... )
    >>> run = track(net, X[::2], y[::2], random_state=0)
    >>> run.influence(MeanLoss(X[1::2], y[1::2]), window=2).shape
    (75,)
    """
    if record == "auto":
        store = StateStore.automatic()
    else:
        store = StateStore(None if record == "all" else parse_bytes(record))
    if y is None:
        raise TypeError(
            "track needs the targets, one for each row of X, got y=None. A dataset "
            "cannot be tracked: give its inputs and targets as arrays or tensors."
        )
    seed = check_random_state(random_state).randint(2**31)
    weight = checked_weight(sample_weight, len(y))
    weight = None if weight is None else weight.copy()
    run = fit_tracked(
        net,
        X,
        own_rows(as_targets(y)),
        store=store,
        seed=seed,
        sample_weight=weight,
        copies=True,
    )
    _warn_of_unseen(run.trajectory)
    warn_of_buffers(unfollowed_buffers(run.trajectory))
    _warn_of_other_parameters(run.trajectory, run.net_)
    return run


def _warn_of_unseen(trajectory: Trajectory) -> None:
    """Warn if there are samples that a run has never trained on."""
    n_samples = trajectory.model.n_samples
    n_unseen = n_samples - len(trajectory.seen_samples)
    if n_unseen:
        warn(
            f"{n_unseen} of {n_samples} samples were in no batch: their influence is "
            "0. skorch sets a fifth aside for validation unless train_split=None."
        )


def _warn_of_other_parameters(trajectory: Trajectory, net: NeuralNet) -> None:
    """Warn if the trained net has not the parameters that training has ended with."""
    parameters = dict(net.module_.named_parameters())
    last = trajectory.params(trajectory.n_steps)
    if not all(torch.equal(values, parameters[name]) for name, values in last.items()):
        warn(
            "run.net_ has other parameters than the last step of training has left: a "
            "callback has loaded or averaged some (EarlyStopping and Checkpoint with "
            "load_best=True). Influence is on the network of the last step; give the "
            "`window`, or `query_step`, of the epoch whose network you mean."
        )


def fit_tracked(  # noqa: PLR0913
    net: NeuralNet,
    X: Any,
    y: Any,
    *,
    store: StateStore,
    seed: int,
    sample_weight: Any = None,
    after_epoch: Callable[[Trajectory, int], None] | None = None,
    epochs: Collection[int] | None = None,
    copies: bool = False,
) -> TrackedRun:
    """Fit a clone of `net` under tracking; `track` explains the rest.

    `copies` says whether X is copied, since somebody else may change it.
    `after_epoch(trajectory, epoch)` is called while the states of the epoch are at
    hand, for all epochs or those in `epochs`.
    """
    rows, targets = as_rows(X), as_targets(y)
    weight = None if sample_weight is None else as_tensor(sample_weight)

    def make_recorder(net: NeuralNet) -> StepRecorder:
        module = copied(net.module_)
        model = TrackedModel(module, loss, rows, targets, weight)
        recorder = StepRecorder(model, net.module_, net.optimizer_, store)
        check_differentiable(recorder.trajectory)
        return recorder

    recorder = TrajectoryRecorder(make_recorder, after_epoch, epochs)
    callbacks: list[tuple[str, Callback]] = [("trajectory_recorder", recorder)]
    if weight is not None:
        callbacks.append(("sample_weighting", SampleWeighting(weight)))
    tracked = tracked_clone(net, callbacks)
    if tracked.max_epochs < 1:
        raise ValueError(f"max_epochs={tracked.max_epochs}: nothing would be trained.")
    with borrowed_generators(tracked.device, seed):
        tracked.initialize()
        update_rule_of(type(tracked.optimizer_))
        check_module(tracked.module_)
        # Now, because other callbacks change the criterion.
        loss = SampleLoss.of(tracked.criterion_, takes_log=takes_log(tracked))
        check_holds_none(tracked.criterion_, tracked.module_)
        dtype = next(tracked.module_.parameters()).dtype
        rows = own_rows(rows, dtype) if copies else cast_floats(rows, dtype)
        targets = cast_targets(targets, dtype)
        check_probabilities(tracked, rows)
        try:
            _train(tracked, skorch_rows(rows), targets, recorder)
        finally:
            _remove_callbacks(tracked, net, callbacks)
    trajectory = recorder.recorder_.trajectory
    check_replay(trajectory, {0, trajectory.epoch_starts[-2]})
    check_differentiable(trajectory)
    return TrackedRun(trajectory, tracked)


def _train(
    net: NeuralNet, X: Any, y: torch.Tensor, recorder: TrajectoryRecorder
) -> None:
    """Fit an initialized net as skorch does, but let an interrupt through.

    skorch's callbacks stop early by raising KeyboardInterrupt at the end of an epoch,
    and ``NeuralNet.fit`` keeps silent about one that comes from the keyboard. As there,
    callbacks hear of the end of training unless it has failed.
    """
    net.notify("on_train_begin", X=X, y=y)
    try:
        with _noted_interrupts() as interrupts:
            net.fit_loop(X, y)
    except KeyboardInterrupt:
        if interrupts or not recorder.between_epochs:
            with suppress(Exception):  # of a callback: the interrupt matters more
                net.notify("on_train_end", X=X, y=y)
            raise
    except BaseException:
        recorder.on_train_end(net)
        raise
    net.notify("on_train_end", X=X, y=y)


@contextmanager
def _noted_interrupts() -> Iterator[list[int]]:
    """Yield a list of the signals that interrupt from the keyboard meanwhile.

    A callback may be at work when one comes, which it does not raise itself. A handler
    that raises nothing interrupts nothing. Only the main thread is interrupted, and may
    ask for that.
    """
    noted: list[int] = []
    found = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(found):
        yield noted
        return

    def note(number: int, frame: Any) -> None:
        try:
            found(number, frame)
        except KeyboardInterrupt:
            noted.append(number)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        if signal.getsignal(signal.SIGINT) is note:
            signal.signal(signal.SIGINT, found)


def _remove_callbacks(
    tracked: NeuralNet, net: NeuralNet, added: list[tuple[str, Callback]]
) -> None:
    """Leave the trained net with copies of the callbacks of the net it was cloned from.

    Callbacks that were `added` for tracking come first.
    """
    tracked.callbacks = tracked.callbacks[len(added) :] or net.callbacks
    names = [name for name, _ in added]
    tracked.callbacks_ = [
        (name, callback) for name, callback in tracked.callbacks_ if name not in names
    ]
