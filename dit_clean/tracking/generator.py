"""Random numbers that layers have drawn, drawn once more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from dit_clean.tracking.exclusive import borrowed_generators


def get_rng_state(device: torch.device) -> Tensor:
    """Return the state of the generator that layers on `device` draw from."""
    return rng_reader(device)()


def rng_reader(device: torch.device) -> Callable[[], Tensor]:
    """Return the function that reads this state."""
    if device.type == "cuda":
        return partial(torch.cuda.get_rng_state, device)
    return torch.default_generator.get_state


@contextmanager
def same_draws(device: torch.device) -> Iterator[None]:
    """Draw the same random numbers whenever this is entered, and leave torch's be.

    For networks that draw in evaluation mode: a difference between two answers is to
    be one of the networks.
    """
    with borrowed_generators([device] if device.type == "cuda" else [], seed=0):
        yield


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
