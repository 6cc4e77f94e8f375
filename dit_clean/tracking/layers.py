"""What is known of a layer without running it."""

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

DRAWING = (
    _DropoutNd,
    nn.FractionalMaxPool2d,
    nn.FractionalMaxPool3d,
    nn.MultiheadAttention,
    nn.RNNBase,
    nn.RReLU,
)
"""Those of torch's layers that draw random numbers, or may."""


def is_known(layer: nn.Module) -> bool:
    """Tell whether a layer is one of torch's own, or ours, and as it was made."""
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    is_ours = type(layer).__module__.startswith(("torch.nn.modules.", "dit_clean."))
    return is_ours and not any(hooks) and "forward" not in vars(layer)


def may_draw(layer: nn.Module) -> bool:
    """Tell whether a layer, or a criterion, may draw random numbers."""
    return isinstance(layer, DRAWING) or not is_known(layer)
