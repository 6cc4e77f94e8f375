"""Which states of a run are kept in memory: bounded, whatever the run's length."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

AUTO_BYTES = 2**30
"""Memory of a run's states where nothing else is asked for."""
AUTO_BYTES_PER_STEP = 2**10
"""Memory has to be fetched from the system, which may take 3 us or more for so much: a
tenth of a step of a network of 10,000 parameters is 30 us."""
MIN_STATES = 2
"""States that are kept whatever the bound: there is nothing to halve."""
MAX_STRIDE = 32
"""Steps that are replayed at most because keeping their states takes time."""


@dataclass(frozen=True)
class TrainingState:
    """Everything that the next update starts from.

    Attributes
    ----------
    params : Tensor of shape (n_params,)
        Trained parameters, flat.
    slots : dict of str to Tensor of shape (n_params,)
        The optimizer's state by torch's names ("momentum_buffer", "exp_avg", ...);
        empty before the first update, but for Adagrad's.
    buffers : dict of str to Tensor
        The module's buffers (running statistics of batch normalization).
    rng_state : Tensor or None
        State of torch's generator where the last forward pass that drew random numbers
        (dropout) left it, on the CPU; None where none has, or it is not known. See
        `StepRecord.draws_from`.
    """

    params: Tensor
    slots: Mapping[str, Tensor] = field(default_factory=dict)
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    rng_state: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the state in bytes."""
        tensors = [self.params, *self.slots.values(), *self.buffers.values()]
        rng_bytes = 0 if self.rng_state is None else self.rng_state.nbytes
        return sum(tensor.nbytes for tensor in tensors) + rng_bytes

    def copied_buffers(self) -> dict[str, Tensor]:
        """Return copies of the buffers, since passes write to them."""
        return {name: values.clone() for name, values in self.buffers.items()}

    def to(self, device: Any) -> "TrainingState":
        """Return the state on a torch device, but for the random one."""
        slots = {name: values.to(device) for name, values in self.slots.items()}
        buffers = {name: values.to(device) for name, values in self.buffers.items()}
        return TrainingState(self.params.to(device), slots, buffers, self.rng_state)


def are_same(one: Tensor, other: Tensor) -> bool:
    """Tell whether two tensors hold the same values; NaN is the same as NaN."""
    if torch.equal(one, other):
        return True
    if one.shape != other.shape:
        return False
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


class StateStore:
    """Keeps states by step, and forgets every other one when memory runs out.

    A forgotten state is not lost: the trajectory replays it from the nearest earlier
    one that is kept. Halving needs no knowledge of how long training will take, and
    the kept states stay evenly spread.

    Parameters
    ----------
    max_bytes : int, optional
        Bound on the memory of the kept states, random states included, by default none.
    bytes_per_step : int, optional
        Memory that a step of training may take, since copying a large state takes time:
        a state of k times this size is kept at every k-th step, k at most
        `MAX_STRIDE`. By default states of any size are kept at every step.

    Raises
    ------
    ValueError
        If a bound is no positive whole number.
    """

    def __init__(self, max_bytes: int | None = None, bytes_per_step: int | None = None):
        for name, bound in (
            ("max_bytes", max_bytes),
            ("bytes_per_step", bytes_per_step),
        ):
            is_number = isinstance(bound, int | np.integer) and bound > 0
            if bound is not None and not is_number:
                raise ValueError(
                    f"{name} is a positive number of bytes, got {bound!r}; None for no "
                    "bound."
                )
        self.max_bytes, self.bytes_per_step = max_bytes, bytes_per_step
        self._states: dict[int, TrainingState] = {}
        self._nbytes = self._largest = 0
        self._every = 1

    @classmethod
    def automatic(cls) -> "StateStore":
        """Return a store that is bounded and hardly slows training down.

        At most 1 GiB, and of states above 1 KiB every k-th.
        """
        return cls(AUTO_BYTES, AUTO_BYTES_PER_STEP)

    def __contains__(self, t: int) -> bool:
        return t in self._states

    def __getitem__(self, t: int) -> TrainingState:
        return self._states[t]

    def __len__(self) -> int:
        return len(self._states)

    @property
    def steps(self) -> list[int]:
        """Steps whose state is kept, ascending."""
        return sorted(self._states)

    @property
    def nbytes(self) -> int:
        """Memory of the kept states in bytes."""
        return self._nbytes

    def wants(self, t: int) -> bool:
        """Tell whether the state before step t is to be kept."""
        return t % self._every == 0

    def put(self, t: int, state: TrainingState) -> None:
        """Keep the state before step t, making room if needed."""
        self._drop(t)
        nbytes = state.nbytes
        self._states[t] = state
        self._nbytes += nbytes
        self._largest = max(self._largest, nbytes)
        if self.bytes_per_step is not None:
            stride = math.ceil(nbytes / self.bytes_per_step)
            self._every = max(self._every, min(stride, MAX_STRIDE))
        while self.max_bytes is not None and self._nbytes > self.max_bytes:
            if len(self._states) <= MIN_STATES:
                return
            self._every *= 2
            for dropped in self.steps[1::2]:
                self._drop(dropped)

    def keep_only(self, wanted: Callable[[int], bool]) -> None:
        """Keep the first state and those of steps that `wanted` accepts."""
        first, self._every = min(self._states), 1
        for t in [t for t in self._states if t != first and not wanted(t)]:
            self._drop(t)

    def n_fitting(self, n_states: int) -> int:
        """Return how many of `n_states` further states fit into the bound."""
        if self.max_bytes is None:
            return n_states
        return min(n_states, max(MIN_STATES, self.max_bytes // self._largest))

    def to(self, device: Any) -> "StateStore":
        """Return a store with the same states on a torch device."""
        moved = copy.copy(self)
        moved._states = {t: state.to(device) for t, state in self._states.items()}
        return moved

    def nearest(self, t: int) -> int:
        """Return the last kept step that is not after t."""
        if t in self._states:
            return t
        return max(step for step in self._states if step < t)

    def following(self, t: int) -> int | None:
        """Return the first kept step after t, None if there is none."""
        return min((step for step in self._states if step > t), default=None)

    def _drop(self, t: int) -> None:
        if t in self._states:
            self._nbytes -= self._states.pop(t).nbytes
