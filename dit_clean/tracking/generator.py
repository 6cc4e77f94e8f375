"""Random numbers that layers draw: noticed while recording, and drawn once more."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dit_clean.tracking.exclusive import borrowed_generators
from dit_clean.tracking.layers import may_draw

if TYPE_CHECKING:
    from dit_clean.tracking.trajectory import StepRecord


class GeneratorWatch:
    """Tells which steps of training draw random numbers, by one look a step.

    A step has drawn none if the next one finds the generator where it was. Where it has
    moved, in a step or between two, there is a second look at the end of the next. And
    there is none at all where no layer may draw: it takes 10 us.

    Parameters
    ----------
    module, criterion : nn.Module
        What is being trained, and its loss.
    records : list of StepRecord
        The steps so far; the last one gets its state if it is found to have drawn.
    """

    def __init__(
        self, module: nn.Module, criterion: nn.Module, records: "list[StepRecord]"
    ):
        self._device, self._records = next(module.parameters()).device, records
        self._is_needed = any(map(may_draw, [*module.modules(), criterion]))
        self._state, self._bits = self._look()
        self._has_moved = self._is_open = False

    def begin(self) -> None:
        """Look before a step."""
        self._has_moved = False
        self.look_again()

    def look_again(self) -> None:
        """Look before a forward pass, for its step may have drawn by itself."""
        if not self._is_needed:
            return
        state, bits = self._look()
        self._close(bits)
        self._has_moved |= bits != self._bits
        self._state, self._bits = state, bits

    def end(self) -> Tensor | None:
        """Return the state before the step if it is seen to have drawn, else None."""
        self._is_open = self._is_needed and not self._has_moved
        drew = self._has_moved and self._look()[1] != self._bits
        return self._state if drew else None

    def settle(self) -> None:
        """Look after the last step."""
        if self._is_open:
            self._close(self._look()[1])

    def _look(self) -> tuple[Tensor, bytes]:
        state = get_rng_state(self._device)
        return state, state.numpy().tobytes()  # which compare faster than tensors

    def _close(self, bits: bytes) -> None:
        if self._is_open and bits != self._bits:
            last = self._records[-1]
            self._records[-1] = replace(last, rng_state=self._state)
        self._is_open = False


def get_rng_state(device: torch.device) -> Tensor:
    """Return the state of the generator that layers on `device` draw from."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.default_generator.get_state()


@contextmanager
def replayed_rng(state: Tensor | None, device: torch.device) -> Iterator[None]:
    """Draw from a recorded generator state inside, and leave torch's as found.

    Raises
    ------
    RuntimeError
        If the state is that of another kind of device's generator.
    """
    if state is None:
        yield
        return
    if len(state) != len(get_rng_state(device)):
        raise RuntimeError(
            "The run drew random numbers (dropout) on another kind of device than "
            f"{device.type!r}, where they cannot be drawn again. Ask where it was "
            "recorded."
        )
    devices = [device] if device.type == "cuda" else []
    with borrowed_generators(devices):
        if devices:
            torch.cuda.set_rng_state(state, device)
        else:
            torch.set_rng_state(state)
        yield
