"""What only one thread at a time may use: torch's global state, and recorded runs."""

import inspect
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from operator import attrgetter
from typing import Any, ParamSpec, TypeVar

import torch

Params = ParamSpec("Params")
Result = TypeVar("Result")

GLOBAL_STATE = threading.RLock()
"""Generators and number of threads are global: fits that run in threads at the same
time would draw each other's random numbers. And questions load states into the one
network of a run: at the same time they would read each other's."""

AUTOCAST_DEVICES = ("cpu", "cuda", "mps")
"""Where a caller may have asked for lower precision."""

PRECISIONS: tuple[Any, ...] = attrgetter(
    *("mkldnn.matmul", "mkldnn.conv", "mkldnn.rnn"),
    *("cuda.matmul", "cudnn.conv", "cudnn.rnn"),
)(torch.backends)
"""Where torch's precision of float32 can be set."""


def _renew_lock() -> None:
    """Forget in a forked process who held the lock in its parent."""
    global GLOBAL_STATE  # noqa: PLW0603
    GLOBAL_STATE = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def holds_global_state() -> bool:
    """Tell whether this thread is the one that holds the lock."""
    return bool(GLOBAL_STATE._is_owned())  # type: ignore[attr-defined]


_this_thread = threading.local()


@contextmanager
def on_behalf_of_lock_holder() -> Iterator[None]:
    """Run the block on behalf of another thread that holds the lock and waits for it.

    Autograd computes gradients of a GPU in a thread of its own.
    """
    before = getattr(_this_thread, "acts_for_holder", False)
    _this_thread.acts_for_holder = True
    try:
        yield
    finally:
        _this_thread.acts_for_holder = before


@dataclass(frozen=True)
class TorchSettings:
    """Settings of the whole process that the bits of all results depend on.

    Attributes
    ----------
    n_threads : int
        Torch's threads, as far as there are processors.
    dtype : torch.dtype
        Of tensors and layers that name none.
    precisions : tuple of str
        Of float32 matrix products, convolutions and recurrent layers, as `PRECISIONS`
        have them.
    """

    n_threads: int
    dtype: torch.dtype
    precisions: tuple[str, ...]

    @classmethod
    def now(cls) -> "TorchSettings":
        """Return those in force, while no fit has changed them."""
        with GLOBAL_STATE:
            return cls(
                torch.get_num_threads(),
                torch.get_default_dtype(),
                tuple(backend.fp32_precision for backend in PRECISIONS),
            )

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Compute under these settings in the block, and restore the others after."""
        with GLOBAL_STATE:
            before = self.now()
            n_threads = min(self.n_threads, os.cpu_count() or 1)
            try:
                replace(self, n_threads=n_threads)._set()
                yield
            finally:
                before._set()

    def _set(self) -> None:
        torch.set_num_threads(self.n_threads)
        torch.set_default_dtype(self.dtype)
        for backend, precision in zip(PRECISIONS, self.precisions, strict=True):
            # What is set by itself no longer follows a setting for all backends.
            if backend.fp32_precision != precision:
                backend.fp32_precision = precision


def one_thread_at_a_time(
    function: Callable[Params, Result],
) -> Callable[Params, Result]:
    """Return the function so that a second thread waits until the first is done.

    And so that it computes as training did: in `default_modes`, and under the settings
    of the run or model that is its first argument; unless this thread holds the lock
    already, and has set its own.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def alone(*args: Params.args, **kwargs: Params.kwargs) -> Result:
        # Whoever asks from within has set modes and settings of its own.
        acts_for_holder = getattr(_this_thread, "acts_for_holder", False)
        if acts_for_holder or holds_global_state():
            return function(*args, **kwargs)
        recorded, *_ = signature.bind(*args, **kwargs).arguments.values()
        if not hasattr(recorded, "settings"):
            raise TypeError(
                f"{function.__name__} is asked of a recorded run, a Trajectory such as "
                f"track(net, X, y).trajectory, got {type(recorded).__name__}."
            )
        with recorded.settings.in_force(), default_modes():
            return function(*args, **kwargs)

    return alone


@contextmanager
def with_gradients() -> Iterator[None]:
    """Compute gradients in the block, whatever the caller has asked for."""
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(mode=False))
        if not torch.is_grad_enabled():
            stack.enter_context(torch.enable_grad())
        yield


@contextmanager
def default_modes() -> Iterator[None]:
    """Compute in the block with gradients and full precision.

    Whatever the caller has asked for.
    """
    with with_gradients(), ExitStack() as stack:
        for device in AUTOCAST_DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def borrowed_generators(device: Any = "cpu", seed: int | None = None) -> Iterator[None]:
    """Lend torch's generators to the block alone, and restore them after.

    Parameters
    ----------
    device : torch.device or str, default="cpu"
        If it is a GPU, its generator is borrowed besides the CPU's.
    seed : int, optional
        What the borrowed ones start from; by default they go on where they are.
    """
    on_gpu = "cuda" in str(device)
    with GLOBAL_STATE, torch.random.fork_rng(devices=[device] if on_gpu else []):
        if seed is not None:
            # Not torch.manual_seed, which seeds those of all GPUs too.
            torch.default_generator.manual_seed(seed)
            if on_gpu:
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
        yield
