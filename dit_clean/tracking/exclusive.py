"""Torch's global state, used by one thread at a time."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

GLOBAL_STATE = threading.RLock()
"""Generators and number of threads are global: fits that run in threads at the same
time would draw each other's random numbers."""


@contextmanager
def borrowed_generators(devices: Sequence[Any] = ()) -> Iterator[None]:
    """Have torch's generators alone inside, and leave them as found.

    Parameters
    ----------
    devices : sequence of torch.device or str, default=()
        GPUs whose generators are borrowed besides the CPU's.
    """
    with GLOBAL_STATE, torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def fixed_threads(n_threads: int) -> Iterator[None]:
    """Run torch with so many threads inside, and as before after."""
    with GLOBAL_STATE:
        before = torch.get_num_threads()
        torch.set_num_threads(n_threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)
