"""What a tracked training run leaves behind: steps, states and how to repeat them."""

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import torch
from torch import Tensor

from dit_clean.tracking.exclusive import TorchSettings, one_thread_at_a_time
from dit_clean.tracking.layout import ParameterLayout
from dit_clean.tracking.model import TrackedModel
from dit_clean.tracking.records import StepRecord, pack_records, unpack_records
from dit_clean.tracking.replay import Replayer
from dit_clean.tracking.storage import MIN_STATES, StateStore, TrainingState

FORMAT = 10
"""Version of pickled runs and of `memory`: to be raised where their contents change, or
what is measured of them."""


@dataclass(repr=False)
class Trajectory:
    """A training run: T steps and the T + 1 states around them.

    States that `store` dropped are computed again from the nearest earlier one by
    running the recorded updates with the original optimizer, which gives the same
    bits. Iterating yields the `StepRecord` of each step.

    Attributes
    ----------
    model : TrackedModel
        Module, criterion and training data.
    layout : ParameterLayout
        Names and shapes of the trained parameters.
    optimizer_type : type
        Class of the optimizer.
    store : StateStore
        The states that are kept.
    replayer : Replayer
        Computes states that were not kept.
    records : list of StepRecord
        The steps, in order.
    is_differentiable : bool
        Whether `dit_clean.influence.check_differentiable` has found no fault; questions
        ask it of a run once.
    """

    model: TrackedModel
    layout: ParameterLayout
    optimizer_type: type
    store: StateStore
    replayer: Replayer
    records: list[StepRecord] = field(default_factory=list)
    is_differentiable: bool = False

    def __repr__(self) -> str:
        return f"Trajectory({self.summary})"

    @property
    def summary(self) -> str:
        """Size of the run in words."""
        epochs = f"{self.n_epochs} epochs, {self.n_steps} steps"
        optimizer = self.optimizer_type.__name__
        return f"{self.model.n_samples} samples, {epochs}, {optimizer}"

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[StepRecord]:
        return iter(self.records)

    def to(self, device: Any) -> "Trajectory":
        """Return the run with network and states on a torch device.

        The training data go to the CPU, from where batches are sent. A run whose layers
        drew random numbers answers on the kind of device of its training only.
        """
        return replace(
            self,
            model=self.model.to(device),
            store=self.store.to(device),
            replayer=self.replayer.to(device),
        )

    def __getstate__(self) -> dict[str, Any]:
        # torch cannot read a tensor of a device that the reader does not have.
        device = self.model.device
        run = self if device.type == "cpu" else self.to("cpu")
        return vars(run) | {
            "records": pack_records(self.records),
            "device": device,
            "format": FORMAT,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        if state.pop("format", 0) != FORMAT:
            raise ValueError(
                "This run, or fitted cleaner, was saved by another version of "
                "dit_clean. Fit again, or load it with the version that saved it."
            )
        device = state.pop("device")
        vars(self).update(state, records=unpack_records(state["records"]))
        if device.type != "cpu" and has_device(device):
            vars(self).update(vars(self.to(device)))

    @property
    def settings(self) -> TorchSettings:
        """Settings of torch in training."""
        return self.model.settings

    @property
    def n_steps(self) -> int:
        """Number of optimizer updates, T."""
        return len(self.records)

    @property
    def epoch_starts(self) -> list[int]:
        """First step of each epoch, and T at the end: n_epochs + 1 numbers."""
        epochs = [record.epoch for record in self.records]
        starts = [t for t, e in enumerate(epochs) if t == 0 or e != epochs[t - 1]]
        return [*starts, self.n_steps]

    @property
    def n_epochs(self) -> int:
        """Number of epochs with at least one step."""
        return len(self.epoch_starts) - 1

    @property
    def seen_samples(self) -> Tensor:
        """Rows of the training data that were in some batch, sorted."""
        return torch.cat([record.sample_indices for record in self]).unique()

    def params(self, t: int) -> dict[str, Tensor]:
        """Return the parameter dict before step t (t = T: after the last step)."""
        return self.layout.unflatten(self.state(t).params.clone())

    def variables(self, state: TrainingState) -> dict[str, Tensor]:
        """Return copies of parameters and buffers of a state by name."""
        return self.layout.unflatten(state.params.clone()) | state.copied_buffers()

    @one_thread_at_a_time
    def state(self, t: int) -> TrainingState:
        """Return parameters, optimizer state and buffers before step t."""
        if not 0 <= t <= self.n_steps:
            raise IndexError(
                f"Step {t} is outside of the run: states 0 to {self.n_steps} exist."
            )
        base = self.store.nearest(t)
        replayed = self.replayer.iterate_states(
            self.model, self.store[base], self.records[base:t]
        )
        return deque(chain([self.store[base]], replayed), maxlen=1)[0]

    def iterate_back(
        self, start: int, stop: int
    ) -> Iterator[tuple[StepRecord, TrainingState]]:
        """Yield (record, state before it) for steps stop - 1 down to start.

        Notes
        -----
        States that were not kept are replayed forwards and held, no more of them than
        the store may keep. Where these are too few for the steps between kept states,
        some steps are replayed again.
        """
        t = stop
        while t > start:
            base = max(self.store.nearest(t - 1), start)
            room = self.store.n_fitting(t - base)
            yield from self._replay_back(self.state(base), base, t, room)
            t = base

    def _replay_back(
        self, state: TrainingState, start: int, stop: int, room: int
    ) -> Iterator[tuple[StepRecord, TrainingState]]:
        """Yield the same from the state before `start`, holding `room` states."""
        n_steps = stop - start
        n_held = n_steps if n_steps <= room else max(MIN_STATES, room // 2)
        stride = math.ceil(n_steps / n_held)
        records = self.records[start : start + (n_steps - 1) // stride * stride]
        states = self.replayer.iterate_states(self.model, state, records)
        held = list(islice(chain([state], states), 0, None, stride))
        while held:
            first = start + (len(held) - 1) * stride
            state = held.pop()
            if stride == 1:
                yield self.records[first], state
            else:
                room_left = max(MIN_STATES, room - len(held))
                yield from self._replay_back(state, first, stop, room_left)
            stop = first


def has_device(device: torch.device) -> bool:
    """Tell whether torch has the device here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return False
    return True
