"""What is known of a layer without running it."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.utils.parametrizations import _WeightNorm

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
    """Tell whether a layer is torch's own, or this package's, and unmodified.

    That is, without hooks or a replaced forward.
    """
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    is_ours = type(layer).__module__.startswith(("torch.nn.modules.", "dit_clean."))
    is_as_made = not any(hooks) and "forward" not in vars(layer)
    # That of a transformer's layer may be any function; builtin ones name no module.
    activation = getattr(vars(layer).get("activation"), "__module__", None)
    is_torchs = (activation or "torch").partition(".")[0] == "torch"
    return is_ours and is_as_made and is_torchs


def may_draw(layer: nn.Module) -> bool:
    """Tell whether a layer, or a criterion, may draw random numbers."""
    return isinstance(layer, DRAWING) or not is_known(layer)


def draws_by_value(layer: nn.Module) -> bool:
    """Tell whether how many numbers a layer draws depends on its inputs' values."""
    return isinstance(layer, nn.RReLU)  # one for each negative value, on a CPU


def may_depend_on_mode(layer: nn.Module) -> bool:
    """Tell whether a layer may do something else in evaluation mode."""
    return isinstance(layer, MODAL) or not is_known(layer)


def mend_norms(module: nn.Module) -> None:
    """Have weights normalized by the formula.

    Torch's own operation has the same values, but its double backward takes the norms
    for constants.
    """
    for layer in module.modules():
        if isinstance(layer, _WeightNorm):
            vars(layer)["forward"] = partial(_normalized, dim=layer.dim)


def _normalized(g: Tensor, v: Tensor, dim: int) -> Tensor:
    """Return ``torch._weight_norm(v, g, dim)``."""
    return v * (g / torch.norm_except_dim(v, 2, dim))


def labeled(name: str, layer: nn.Module) -> str:
    """Return the name of a layer for error messages."""
    return f"Layer {name or 'module'!r} ({type(layer).__name__})"


def check_leaves(module: nn.Module) -> None:
    """Raise if a hook of a layer computes one of its weights from other parameters.

    Raises
    ------
    ValueError
        Names the layer, the weight and the remedy.
    """
    for name, layer in module.named_modules():
        for attribute, value in vars(layer).items():
            sources = {f"{attribute}{end}" for end in ("_orig", "_v", "_g")}
            if not (isinstance(value, Tensor) and sources & layer._parameters.keys()):
                continue
            raise ValueError(
                f"{labeled(name, layer)} computes its {attribute} from other "
                "parameters in a hook, and torch cannot copy that. Use "
                "torch.nn.utils.parametrizations.weight_norm in place of "
                "torch.nn.utils.weight_norm, and make pruning permanent: "
                f"torch.nn.utils.prune.remove(layer, {attribute!r})."
            )
