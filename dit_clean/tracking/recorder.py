"""Recording a training run, from skorch or from a plain torch loop."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from dit_clean.tracking import exclusive
from dit_clean.tracking.generator import GeneratorWatch
from dit_clean.tracking.layout import ParameterLayout
from dit_clean.tracking.model import TrackedModel, get_modes
from dit_clean.tracking.recorder_checks import (
    as_row_numbers,
    check_converges,
    check_equal_counts,
    check_finite,
    check_in_range,
    check_module,
    check_one_update,
    check_precision,
    check_same_groups,
    check_same_modes,
    check_same_parameters,
    check_unchanged,
    check_unused,
    trained_flags,
)
from dit_clean.tracking.replay import Replayer, StateReader
from dit_clean.tracking.storage import StateStore
from dit_clean.tracking.trajectory import StepRecord, Trajectory


class StepRecorder:
    """Builds a `Trajectory` while any torch loop trains `module`.

    Parameters
    ----------
    model : TrackedModel
        Private copy of the network, its criterion and its training data.
    module, optimizer : nn.Module, Optimizer
        What is being trained. Read, never changed.
    store : StateStore, optional
        Where states are kept; by default `StateStore.automatic`, bounded. States that
        are not kept are replayed, and a loop that does more than the optimizer's update
        (clips gradients, projects parameters, freezes some layers in evaluation mode)
        cannot be, nor is its influence right: `dit_clean.influence.check_replay` tells.

    Attributes
    ----------
    trajectory : Trajectory
        The run so far.
    keeps_states : bool
        Whether to offer the state before each step to the store. While it is False,
        `snapshot` alone does; states in between are replayed.
    is_in_step : bool
        Whether a step has begun and not ended.

    Examples
    --------
    >>> import torch
    >>> from dit_clean.tracking import StepRecorder, TrackedModel
    >>> X, y = torch.randn(8, 3), torch.arange(8) % 2
    >>> net = torch.nn.Linear(3, 2)
    >>> loss = torch.nn.CrossEntropyLoss()
    >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    >>> recorder = StepRecorder(TrackedModel.of(net, loss, X, y), net, optimizer)
    >>> for epoch in range(2):
    ...     for batch in torch.randperm(8).split(4):
    ...         with recorder.step(batch, epoch):
    ...             optimizer.zero_grad()
    ...             loss(net(X[batch]), y[batch]).backward()
    ...             optimizer.step()
    >>> recorder.snapshot()  # the state after the last step
    >>> recorder.close()
    >>> recorder.trajectory.n_steps
    4

    Questions are asked of a `TrackedRun`:

    >>> from dit_clean import TrackedRun
    >>> from dit_clean.influence import check_replay
    >>> from dit_clean.queries import MeanLoss
    >>> check_replay(recorder.trajectory)  # raises if the loop did something else
    >>> TrackedRun(recorder.trajectory).influence(MeanLoss(X, y), window="late").shape
    (8,)
    """

    def __init__(
        self,
        model: TrackedModel,
        module: nn.Module,
        optimizer: Optimizer,
        store: StateStore | None = None,
    ):
        self.module, self.optimizer = module, optimizer
        self.trajectory = Trajectory(
            model=model,
            layout=ParameterLayout.of(module, optimizer),
            optimizer_type=type(optimizer),
            store=StateStore.automatic() if store is None else store,
            replayer=Replayer(module, optimizer),
        )
        self.keeps_states = True
        self._reader = StateReader(module, optimizer)
        self._generator = GeneratorWatch(module, model.loss.criterion)
        check_module(module)
        check_equal_counts(module, optimizer)
        self._modules = list(module.modules())
        self._trained = trained_flags(optimizer)
        self._pending: list[tuple[Mapping[str, Any], ...]] = []
        self.is_in_step = self._saw_pass = False
        self._start = 0
        self._modes: tuple[bool, ...] | None = None
        self._got_gradient: list[bool] | None = None  # in the first step
        self._hooks = [
            module.register_forward_pre_hook(_BeforePass(self)),
            optimizer.register_step_pre_hook(self._before_update),
        ]

    def step(self, sample_indices: Any, epoch: int) -> "_Step":
        """Record the one update that runs inside the block.

        Parameters
        ----------
        sample_indices : array-like of int, shape (n_batch,)
            Rows of the training data that make up the batch.
        epoch : int
            Epoch of the update, from 0.

        Returns
        -------
        context : context manager
        """
        return _Step(self, sample_indices, epoch)

    def begin(self, sample_indices: Any, epoch: int) -> None:
        """Note the batch, and what the next forward pass starts from.

        To be called before that pass, for it changes buffers.

        Raises
        ------
        RuntimeError
            If an update has been made that is not recorded.
        TypeError
            If `sample_indices` are no row numbers.
        """
        self._check_recorded()
        self._sample_indices, self._epoch = as_row_numbers(sample_indices), epoch
        self.is_in_step = True
        self._saw_pass = False
        self._generator.look()
        self._buffers = self._reader.buffers()

    def end(self) -> None:
        """Add the record of the update that has just been made.

        Raises
        ------
        RuntimeError
            If the optimizer did not make exactly one update since `begin`.
        """
        self.is_in_step = False
        check_one_update(len(self._pending))
        if self._trained != trained_flags(self.optimizer):
            check_same_groups(self._trained, self.optimizer)
            check_same_parameters(
                self.trajectory.layout, self.module, self.optimizer, self._epoch
            )
        if not any(self._gets_gradient):
            self._note_gradients()  # the optimizer has called a closure
        self._check_gradients()
        hyper, modes = self._pending[0], self._modes
        records = self.trajectory.records
        last = records[-1] if records else None
        if last and last.hyper == hyper:
            hyper = last.hyper  # one copy for all steps of a constant rate
        if last and last.modes == modes:
            modes = last.modes
        record = StepRecord(
            step=self.trajectory.n_steps,
            epoch=self._epoch,
            sample_indices=self._sample_indices,
            hyper=hyper,
            rng_state=self._generator.drawn_from(),
            modes=modes,
        )
        records.append(record)
        self._pending.clear()

    def cancel(self) -> None:
        """End a step that an exception has ended, without a record."""
        self.is_in_step = False

    def snapshot(self) -> None:
        """Keep the present state as the one before the next update.

        And the one after that, so that this update can be checked without a replay.

        Raises
        ------
        IndexError
            If a step since the last call had rows that the data do not have.
        FloatingPointError
            If parameters are not finite.
        RuntimeError
            If an update has been made that is not recorded.
        """
        self._check_recorded()
        trajectory, before = self.trajectory, self._start
        check_in_range(trajectory.records[before:], trajectory.model.n_samples)
        self._start = trajectory.n_steps
        trajectory.store.put(self._start, self._reader.state())
        check_finite(trajectory)

    def close(self) -> None:
        """Take the hooks off module and optimizer; the trajectory stays."""
        for hook in self._hooks:
            hook.remove()

    def _check_recorded(self) -> None:
        if self._pending:
            raise RuntimeError(
                "An exception has ended a step after the optimizer's update, which the "
                "record misses. Begin again, with a new StepRecorder."
            )

    def _note_gradients(self) -> None:
        self._gets_gradient = [p.grad is not None for p in self._reader.params]

    def _check_gradients(self) -> None:
        gets = self._gets_gradient
        if not any(gets):
            return  # zeroed by the loop after its step
        if self._got_gradient is None:
            self._got_gradient = gets
        if not all(gets) or gets != self._got_gradient:
            check_unused(self.module, self.optimizer, gets, self._got_gradient)

    def before_pass(self) -> None:
        """Note the modes of layers, and the random state, that a pass starts from.

        Of the last pass with gradients before the update; in a closure, the first.

        Raises
        ------
        RuntimeError
            If two such passes of a step run in different modes.
        """
        if not (self.is_in_step and torch.is_grad_enabled()):
            return
        if self._pending and self._saw_pass:
            return
        if self.trajectory.n_steps == self._start:
            check_precision(self.module)
        modes = get_modes(self._modules)
        if self._saw_pass:
            check_same_modes(self._modes, modes)
        self._saw_pass, self._modes = True, modes
        self._generator.look()

    def _before_update(self, optimizer: Optimizer, *args: Any) -> None:
        if not self.is_in_step:
            raise RuntimeError(
                "The optimizer makes an update outside of `recorder.step(...)`, which "
                "the record would miss. Put it inside, or call `recorder.close()`."
            )
        self._pending.append(self._reader.hyper())
        self._note_gradients()
        if not self._saw_pass:  # the loop has called module.forward, or a compiled one
            self._modes = get_modes(self._modules)
        step, store = self.trajectory.n_steps, self.trajectory.store
        is_known = step in store  # from the end of an epoch
        wanted = self.keeps_states and (step == self._start + 1 or store.wants(step))
        if not (step == 0 or is_known or wanted):
            return
        state = self._reader.state(self._buffers)
        if is_known:
            check_unchanged(store[step], state, step)
        store.put(step, state)


class _Step:
    """The block of one update; an exception in it leaves no record."""

    def __init__(self, recorder: StepRecorder, sample_indices: Any, epoch: int):
        self.recorder, self.sample_indices = recorder, sample_indices
        self.epoch = epoch

    def __enter__(self) -> None:
        # Questions that other threads ask of other runs borrow torch's generator.
        self.lock = exclusive.GLOBAL_STATE
        self.lock.acquire()
        try:
            self.recorder.begin(self.sample_indices, self.epoch)
        except BaseException:
            self.lock.release()
            raise

    def __exit__(self, kind: type | None, *_: Any) -> None:
        try:
            if kind is None:
                self.recorder.end()
            else:
                self.recorder.cancel()
        finally:
            self.lock.release()


class _BeforePass:
    """Hook of the module: tells the recorder of a forward pass.

    A copy of the module, or a saved one, goes without the recorder.
    """

    def __init__(self, recorder: StepRecorder | None = None):
        self.recorder = recorder

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        # What a compiler reads here it would watch: it would compile at every step.
        if self.recorder is not None and not torch.compiler.is_compiling():
            self.recorder.before_pass()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _BeforePass, ()


class TrajectoryRecorder(Callback):
    """skorch callback that records the run it is a callback of.

    It needs the net's ``iterator_train`` to be `IndexedLoader`, whose batches know
    their rows; ``dit_clean.track`` and ``InfluenceCleaner`` see to that.

    Parameters
    ----------
    make_recorder : callable
        ``make_recorder(net)`` -> `StepRecorder` for the initialized net. Called before
        the first batch, when other callbacks have frozen what they freeze.
    after_epoch : callable, optional
        ``after_epoch(trajectory, epoch)``, called with the epoch's states still kept.
    epochs : collection of int, optional
        Epochs whose states are kept until `after_epoch`, by default all; of the others
        only the first.

    Attributes
    ----------
    recorder_ : StepRecorder
        Holds the trajectory.
    """

    recorder_: StepRecorder

    def __init__(
        self,
        make_recorder: Callable[[Any], StepRecorder],
        after_epoch: Callable[[Trajectory, int], None] | None = None,
        epochs: Collection[int] | None = None,
    ):
        self.make_recorder = make_recorder
        self.after_epoch = after_epoch
        self.epochs = epochs

    def __reduce__(self) -> tuple[type, tuple[()]]:
        # A net that is saved in mid-training (skorch's Checkpoint) goes without it.
        return Callback, ()

    @property
    def between_epochs(self) -> bool:
        """Whether the last step of an epoch has been made and no further one begun."""
        is_done = 0 < self.n_steps_seen_ == self.recorder_.trajectory.n_steps
        return is_done and not self.recorder_.is_in_step

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        """Count from the start."""
        self.epoch_ = self.n_steps_seen_ = 0
        self.is_recording_ = False

    def on_batch_begin(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Note what the forward pass starts from; before the first, start to record."""
        if not training:
            return
        if not self.is_recording_:
            self.recorder_ = self.make_recorder(net)
            self.is_recording_ = True
        wanted = self.epochs is None or self.epoch_ in self.epochs
        self.recorder_.keeps_states = wanted
        self.recorder_.begin(batch.sample_indices, self.epoch_)

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Add the step's record."""
        if not training:
            return
        check_converges(kwargs["loss"], self.recorder_.trajectory, self.epoch_)
        self.recorder_.end()

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        """Hand the epoch to `after_epoch`."""
        self.recorder_.snapshot()
        if self.after_epoch is not None:
            self.after_epoch(self.recorder_.trajectory, self.epoch_)
        self.epoch_ += 1
        self.n_steps_seen_ = self.recorder_.trajectory.n_steps

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        """Leave the optimizer as it was found."""
        if self.is_recording_:
            self.recorder_.close()
