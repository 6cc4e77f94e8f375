"""Recording a training run, step by step."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from dit_clean.tracking import exclusive
from dit_clean.tracking.kernels import TrackedKernels
from dit_clean.tracking.layout import ParameterLayout
from dit_clean.tracking.model import TrackedModel
from dit_clean.tracking.module_checks import check_module
from dit_clean.tracking.passes import PassWatch
from dit_clean.tracking.records import StepRecord
from dit_clean.tracking.replay import Replayer, StateReader
from dit_clean.tracking.state_checks import (
    as_row_numbers,
    check_constants,
    check_finite,
    check_in_range,
    check_unchanged,
)
from dit_clean.tracking.storage import StateStore, TrainingState
from dit_clean.tracking.trajectory import Trajectory
from dit_clean.tracking.update_checks import (
    check_equal_counts,
    check_first_momentum,
    check_same_groups,
    check_same_parameters,
    check_unused,
    gradient_flags,
    refuse_no_gradient,
    refuse_updates,
)


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
        (clips gradients, projects parameters) cannot be, nor is its influence right:
        `dit_clean.influence.check_replay` tells, after the first `snapshot` already. It
        may miss what is done once, amid an epoch, unless it is asked for all steps.
        Whoever asks many questions is better off with ``StateStore()``, which keeps
        every state.

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
        check_module(module)
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
        self._passes = PassWatch(module, model.loss.criterion)
        self._kernels = TrackedKernels(module, model.loss.criterion)
        check_equal_counts(module, optimizer)
        # Of the first step, as far as is known, and of the last one.
        self._first_flags = self._flags = [
            [p.requires_grad or None for p in group["params"]]
            for group in optimizer.param_groups
        ]
        self._is_partial = False
        self._pending: list[tuple[dict[str, Any], ...]] = []
        self._counts: tuple[int, ...] = ()
        self.is_in_step = False
        self._start = 0
        self._hook = optimizer.register_step_pre_hook(self._before_update)

    @contextmanager
    def step(self, sample_indices: Any, epoch: int) -> Iterator[None]:
        """Record the one update that runs inside the block.

        An exception in it leaves no record.

        Parameters
        ----------
        sample_indices : array-like of int, shape (n_batch,)
            Rows of the training data that make up the batch.
        epoch : int
            Epoch of the update, from 0.
        """
        # Questions that other threads ask of other runs borrow torch's generator.
        with exclusive.GLOBAL_STATE:
            try:
                self.begin(sample_indices, epoch)
                yield
            except BaseException:
                self.cancel()
                raise
            self.end()

    def begin(self, sample_indices: Any, epoch: int) -> None:
        """Note the batch, and what the next forward pass starts from.

        To be called before that pass, since it changes buffers.

        Raises
        ------
        RuntimeError
            If an update has been made that is not recorded.
        TypeError
            If `sample_indices` are no row numbers.
        """
        if self._pending:
            self._refuse_unrecorded()
        if self.is_in_step:  # left open by an exception
            self.cancel()
        self._sample_indices, self._epoch = as_row_numbers(sample_indices), epoch
        self.is_in_step = True
        self._is_watched = self._passes.begin()
        self._kernels.set()
        self._is_kept = self._keeps_next()
        self._buffers = self._reader.buffers() if self._is_kept else {}

    def end(self) -> None:
        """Add the record of the update that has just been made.

        Raises
        ------
        RuntimeError
            If the optimizer did not make exactly one update since `begin`.
        """
        self.cancel()
        if len(self._pending) != 1:
            refuse_updates(len(self._pending))
        if self._has_closure:
            self._note_gradients()
        records = self.trajectory.records
        records.append(
            StepRecord(
                len(records),
                self._epoch,
                self._sample_indices,
                self._pending.pop(),
                self._counts,
                self._passes.rng_state_to_keep() if self._is_watched else None,
                self._passes.modes,
            )
        )

    def cancel(self) -> None:
        """Drop a step that an exception has ended: it gets no record."""
        self.is_in_step = False
        self._passes.end()
        self._kernels.reset()

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
            If an update has been made that is not recorded, or a parameter has changed
            that the optimizer does not train.
        """
        if self._pending:
            self._refuse_unrecorded()
        trajectory, before = self.trajectory, self._start
        check_in_range(trajectory.records[before:], trajectory.model.n_samples)
        self._start = trajectory.n_steps
        state = self._state()
        trajectory.store.put(self._start, state)
        check_finite(state, trajectory)
        check_constants(trajectory.model, self.module, trajectory.layout.names)
        self._passes.begin_epoch()

    def close(self) -> None:
        """Release module and optimizer; the trajectory stays.

        To be called before anything else changes the parameters, because the state
        after the last step is kept: the last steps are checked against it.
        """
        self.cancel()
        n_steps = self.trajectory.n_steps
        if n_steps > self._start and not self._pending:
            self.trajectory.store.put(n_steps, self._state())
        self._hook.remove()

    def _refuse_unrecorded(self) -> None:
        raise RuntimeError(
            "An exception has ended a step after the optimizer's update, which the "
            "record misses. Begin again, with a new StepRecorder."
        )

    def _note_gradients(self) -> None:
        """Check which parameters the update is made of."""
        flags = gradient_flags(self.optimizer)
        if flags != self._flags:
            check_same_groups(flags, self._flags)
            check_same_parameters(
                self.trajectory.layout, self.module, self.optimizer, self._epoch
            )
            if not any(map(any, flags)):
                if not self._has_closure:  # after which a loop may zero them
                    refuse_no_gradient()
                return
            self._flags = flags
            self._is_partial = any(False in group for group in flags)
            if not self.trajectory.records:
                self._first_flags = flags
        if self._is_partial or flags != self._first_flags:
            check_unused(self.module, self.optimizer, flags, self._first_flags)

    def _before_update(
        self, optimizer: Optimizer, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        if not self.is_in_step:
            raise RuntimeError(
                "The optimizer makes an update outside of `recorder.step(...)`, which "
                "the record would miss. Put it inside, or call `recorder.close()`: "
                "that of an earlier recorder of this optimizer, too."
            )
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        self._has_closure = closure is not None
        if self._is_watched:
            self._passes.before_update(has_closure=self._has_closure)
        if not self._has_closure:
            self._note_gradients()
        if self._is_kept:
            self._keep_state(len(self.trajectory.records))
        self._counts = self._next_counts()
        settings, records = self._reader.settings(), self.trajectory.records
        if not records or settings is not records[-1].settings:
            check_first_momentum(self.module, optimizer)
        self._pending.append(settings)

    def _next_counts(self) -> tuple[int, ...]:
        """Return how often groups were updated before.

        Read where the state is kept, which takes 5 us and waits for a GPU; in between
        it rises by one with each update, once it is there: not yet after the first.
        """
        if self._is_kept or not all(self._counts):
            return self._reader.counts()
        return tuple(count + 1 for count in self._counts)

    def _keeps_next(self) -> bool:
        """Tell whether the state before the next update is one to be kept."""
        step, since = len(self.trajectory.records), self._start
        if step == since:
            return True
        return self.keeps_states and (
            step == since + 1 or self.trajectory.store.wants(step)
        )

    def _keep_state(self, step: int) -> None:
        store, state = self.trajectory.store, self._state(self._buffers)
        if step in store:  # from the end of an epoch
            check_unchanged(store[step], state, step)
        store.put(step, state)

    def _state(self, buffers: Mapping[str, Tensor] | None = None) -> TrainingState:
        return self._reader.state(buffers, self._passes.left)
