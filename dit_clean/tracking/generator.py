"""Random numbers that layers have drawn, drawn once more."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from dit_clean.tracking.exclusive import borrowed_generators


def get_rng_state(device: torch.device) -> Tensor:
    """Return the state of the generator that layers on `device` draw from."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.default_generator.get_state()


def same_draws(device: torch.device) -> AbstractContextManager[None]:
    """Draw the same random numbers each time, and leave torch's generator as it was.

    For networks that draw in evaluation mode: a difference between two answers is to
    be one of the networks.
    """
    return borrowed_generators(device, seed=0)


@contextmanager
def replayed_rng(state: Tensor | None, device: torch.device) -> Iterator[None]:
    """Draw from a recorded generator state, and leave torch's own as it was.

    Raises
    ------
    RuntimeError
        If the state is from the generator of another kind of device.
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
    with borrowed_generators(device):
        if device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        else:
            torch.set_rng_state(state)
        yield
