"""Recording what a skorch net does while it trains."""

from collections.abc import Callable, Collection
from typing import Any

from skorch.callbacks import Callback

from dit_clean.tracking.recorder import StepRecorder
from dit_clean.tracking.state_checks import check_converges
from dit_clean.tracking.trajectory import Trajectory


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
        """Whether training stands between two epochs."""
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
        _, target = batch
        trajectory = self.recorder_.trajectory
        check_converges(kwargs["loss"], target, trajectory, self.epoch_)
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
