"""Which of torch's kernels compute a step, its replays, and questions about it."""

import threading
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, NamedTuple

from torch import nn
from torch.backends import cuda, cudnn, mha
from torch.nn.modules.conv import _ConvNd

from dit_clean.tracking.layers import is_known


class _Switch(NamedTuple):
    """A global setting of torch, and what it has to be."""

    read: Callable[[], bool]
    write: Callable[[bool], object]
    wanted: bool


def _of_cudnn(name: str, *, wanted: bool) -> _Switch:
    return _Switch(
        lambda: bool(getattr(cudnn, name)),
        lambda value: setattr(cudnn, name, value),
        wanted,
    )


SWITCHES = {
    # Fused kernels without a second derivative. These are switches of
    # torch.nn.attention.sdpa_kernel, which takes 13 us a time, against 2.
    "attention": (
        _Switch(cuda.flash_sdp_enabled, cuda.enable_flash_sdp, False),
        _Switch(cuda.math_sdp_enabled, cuda.enable_math_sdp, True),
        # TransformerEncoder's kernel for evaluation has no derivative at all, and
        # makes zeros of padded places, which it does not while it trains.
        _Switch(mha.get_fastpath_enabled, mha.set_fastpath_enabled, False),
    ),
    "attention on a GPU": (
        _Switch(cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, False),
        _Switch(cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp, False),
    ),
    # cuDNN's recurrent layers have no second derivative either.
    "recurrence on a GPU": (_of_cudnn("enabled", wanted=False),),
    # Its convolutions sum gradients in another order each time, which leads
    # training to another network within an epoch.
    "convolution on a GPU": (
        _of_cudnn("deterministic", wanted=True),
        _of_cudnn("benchmark", wanted=False),
    ),
}
"""What is set for which kind of layer. Each switch takes 2 us of a step on a CPU."""


_LOCK = threading.Lock()
_n_users: Counter[str] = Counter()
_found: dict[str, list[tuple[_Switch, bool]]] = {}


def _hold(kind: str) -> None:
    """Set the switches of a kind of layer, for one user more."""
    with _LOCK:
        _n_users[kind] += 1
        if _n_users[kind] == 1:
            found = [(switch, switch.read()) for switch in SWITCHES[kind]]
            _found[kind] = [pair for pair in found if pair[1] != pair[0].wanted]
            for switch, _ in _found[kind]:
                switch.write(switch.wanted)


def _release(kind: str) -> None:
    """Restore the switches when the last user has gone."""
    with _LOCK:
        _n_users[kind] -= 1
        if _n_users[kind] == 0:
            for switch, value in _found[kind]:
                switch.write(value)


class TrackedKernels:
    """Context for passes of modules, with kernels that give the same bits again.

    They can be differentiated twice, too. Fused kernels differ from these by rounding,
    but with dropout a GPU draws other masks in them: steps have to be made with the
    kernels that they are replayed with, and that questions are asked with.

    Parameters
    ----------
    *modules : nn.Module
        Network and criterion. What is set depends on their layers, on classes that are
        not torch's, and on their device.

    Notes
    -----
    Settings of torch are global. What the first user finds comes back when the last
    one has gone, whatever their order.
    """

    def __init__(self, *modules: nn.Module):
        layers = [layer for module in modules for layer in module.modules()]
        has_own = not all(map(is_known, layers))

        def has(kind: type[nn.Module]) -> bool:
            return any(isinstance(layer, kind) for layer in layers)

        on_gpu = any(p.device.type != "cpu" for m in modules for p in m.parameters())
        attends = has_own or has(nn.MultiheadAttention)
        needed = {
            "attention": attends,
            "attention on a GPU": on_gpu and attends,
            "recurrence on a GPU": on_gpu and has(nn.RNNBase),
            "convolution on a GPU": on_gpu and (has_own or has(_ConvNd)),
        }
        self._kinds = [kind for kind, is_needed in needed.items() if is_needed]
        self._depth = 0

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_depth": 0}  # a copy has set nothing

    def set(self) -> None:
        """Allow these kernels alone, until `reset`."""
        self._depth += 1
        for kind in self._kinds:
            _hold(kind)

    def reset(self) -> None:
        """Undo the last `set`, if there was one."""
        if self._depth == 0:
            return
        self._depth -= 1
        for kind in self._kinds:
            _release(kind)

    def __enter__(self) -> None:
        self.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reset()
