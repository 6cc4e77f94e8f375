"""What is known of a layer without running it."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
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
MODAL = (*DRAWING, _NormBase)
"""Those that do something else in evaluation mode, or may."""


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


def may_depend_on_mode(layer: nn.Module) -> bool:
    """Tell whether a layer may do something else in evaluation mode."""
    return isinstance(layer, MODAL) or not is_known(layer)


def check_leaves(module: nn.Module) -> None:
    """Raise if a layer holds a tensor that is computed from parameters.

    Raises
    ------
    ValueError
        Names the layer, the tensor and the remedy.
    """
    for name, layer in module.named_modules():
        for attribute, value in vars(layer).items():
            if not isinstance(value, Tensor) or value.is_leaf:
                continue
            sources = {f"{attribute}{end}" for end in ("_orig", "_v", "_g")}
            problem = (
                f"computes its {attribute} from other parameters in a hook, and torch "
                "cannot copy that. Use torch.nn.utils.parametrizations.weight_norm in "
                "place of torch.nn.utils.weight_norm, and make pruning permanent: "
                f"torch.nn.utils.prune.remove(layer, {attribute!r})."
                if sources & layer._parameters.keys()
                else f"holds {attribute}, which an earlier pass has computed, and "
                f"torch cannot copy that. Keep {attribute}.detach(), or delete it."
            )
            raise ValueError(
                f"Layer {name or 'module'!r} ({type(layer).__name__}) {problem}"
            )
