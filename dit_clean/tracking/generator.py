"""Random numbers that layers draw: noticed while recording, and drawn once more."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dit_clean.tracking.exclusive import borrowed_generators
from dit_clean.tracking.layers import may_draw


class GeneratorWatch:
    """Tells which steps of training draw random numbers.

    Where no layer may draw there is nothing to see: a look takes 10 us.

    Parameters
    ----------
    module, criterion : nn.Module
        What is being trained, and its loss.
    """

    def __init__(self, module: nn.Module, criterion: nn.Module):
        self._device = next(module.parameters()).device
        self._is_needed = any(map(may_draw, [*module.modules(), criterion]))

    def look(self) -> None:
        """Look before a forward pass; of several looks the last one counts."""
        if self._is_needed:
            self._state, self._bits = self._present()

    def drawn_from(self) -> Tensor | None:
        """Return the state at the last look if it has been drawn from, else None."""
        if not self._is_needed or self._present()[1] == self._bits:
            return None
        return self._state

    def _present(self) -> tuple[Tensor, bytes]:
        state = get_rng_state(self._device)
        return state, state.numpy().tobytes()  # which compare faster than tensors


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
