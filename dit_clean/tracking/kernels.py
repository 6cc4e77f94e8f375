"""Kernels of torch that can be differentiated twice, in place of those that cannot."""

from types import TracebackType

from torch import nn
from torch.backends import cuda, cudnn

from dit_clean.tracking.layers import is_known


def _set_cudnn(enabled: bool) -> None:
    cudnn.enabled = enabled


ATTENTION = (
    (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
)
"""Fused attention: whether it is allowed, and what allows it, on the CPU too. Of
``torch.nn.attention.sdpa_kernel``, which takes 13 us, against 2."""
RECURRENCE = ((lambda: cudnn.enabled, _set_cudnn),)
"""cuDNN, whose recurrent layers cannot be told from its convolutions here."""


class TwiceDifferentiable:
    """Context for forward passes of a module: without its fused kernels.

    Attention and, on a GPU, recurrent layers have kernels without a second derivative.
    Results differ by rounding, but with dropout a GPU draws other masks in them: what
    is to be differentiated twice has to be trained so, and replayed so.

    Parameters
    ----------
    module : nn.Module
        Where it has neither such layers nor classes of the user's, nothing is done.
    """

    def __init__(self, module: nn.Module):
        layers = list(module.modules())
        attends = any(
            isinstance(layer, nn.MultiheadAttention) or not is_known(layer)
            for layer in layers
        )
        recurs = any(isinstance(layer, nn.RNNBase) for layer in layers)
        self._switches = (ATTENTION if attends else ()) + (RECURRENCE if recurs else ())
        self._found: list[list[bool]] = []

    def __enter__(self) -> None:
        self._found.append([is_on() for is_on, _ in self._switches])
        for _, switch in self._switches:
            switch(False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for (_, switch), found in zip(self._switches, self._found.pop(), strict=True):
            switch(found)
