"""Torch's global state, used by one thread at a time."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

GLOBAL_STATE = threading.RLock()
"""Generators and number of threads are global: fits that run in threads at the same
time would draw each other's random numbers."""


def _renew_lock() -> None:
    """Forget in a forked process who held the lock in its parent."""
    global GLOBAL_STATE  # noqa: PLW0603
    GLOBAL_STATE = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def thread_count() -> int:
    """Return torch's number of threads, while no fit has changed it."""
    with GLOBAL_STATE:
        return torch.get_num_threads()


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
