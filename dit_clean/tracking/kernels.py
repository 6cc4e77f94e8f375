"""Which of torch's kernels compute a step, its replays, and questions about it."""

from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

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
    # Fused kernels without a second derivative, on a CPU too. These are switches of
    # torch.nn.attention.sdpa_kernel, which takes 13 us a time, against 2.
    "attention": (
        _Switch(cuda.flash_sdp_enabled, cuda.enable_flash_sdp, False),
        _Switch(cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp, False),
        _Switch(cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp, False),
        # TransformerEncoder's kernel for evaluation has no derivative at all, and
        # makes zeros of padded places, which it does not while it trains.
        _Switch(mha.get_fastpath_enabled, mha.set_fastpath_enabled, False),
    ),
    # cuDNN's recurrent layers have no second derivative either.
    "recurrence": (_of_cudnn("enabled", wanted=False),),
    # Its convolutions sum gradients in another order each time, of which training
    # makes another network within an epoch.
    "convolution": (
        _of_cudnn("deterministic", wanted=True),
        _of_cudnn("benchmark", wanted=False),
    ),
}
"""What is set for which kind of layer."""


class TrackedKernels:
    """Context for passes of a module: with kernels that can be repeated.

    To the same bits, and differentiated twice. Fused kernels differ from these by
    rounding, but with dropout a GPU draws other masks in them: steps have to be made
    with what they are replayed with, and questions are asked with.

    Parameters
    ----------
    module : nn.Module
        Of its layers, and its classes that are not torch's, it depends what is set.
    """

    def __init__(self, module: nn.Module):
        layers = list(module.modules())
        has_own = not all(map(is_known, layers))

        def has(kind: type[nn.Module]) -> bool:
            return any(isinstance(layer, kind) for layer in layers)

        needed = {
            "attention": has_own or has(nn.MultiheadAttention),
            "recurrence": has(nn.RNNBase),
            "convolution": has_own or has(_ConvNd),
        }
        self._kinds = [kind for kind, is_needed in needed.items() if is_needed]
        self._found: list[list[bool]] = []

    def set(self) -> None:
        """Allow these kernels alone, until `reset`."""
        if not self._kinds:
            return
        switches = self._switches()
        self._found.append([switch.read() for switch in switches])
        for switch in switches:
            switch.write(switch.wanted)

    def reset(self) -> None:
        """Allow what was allowed before the last `set`, if there was one."""
        if not self._found:
            return
        for switch, found in zip(self._switches(), self._found.pop(), strict=True):
            switch.write(found)

    def __enter__(self) -> None:
        self.set()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reset()

    def _switches(self) -> list[_Switch]:
        return [switch for kind in self._kinds for switch in SWITCHES[kind]]
