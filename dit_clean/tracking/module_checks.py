"""What a network has to be like to be tracked."""

from collections import Counter
from typing import NoReturn

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dit_clean.tracking.layers import check_leaves, labeled


def check_module(module: nn.Module) -> None:
    """Raise if a layer cannot be tracked.

    Raises
    ------
    ValueError
        Names the layer.
    """
    check_leaves(module)
    uses = Counter(
        id(p) for layer in module.modules() for p in layer.parameters(recurse=False)
    )
    for name, layer in module.named_modules():
        label = labeled(name, layer)
        if isinstance(layer, torch.jit.ScriptModule):
            raise ValueError(
                f"{label} is compiled by TorchScript, which takes no other parameters "
                "than its own. Track the module that torch.jit.script or "
                "torch.jit.trace was given."
            )
        if any(is_lazy(p) for p in layer.parameters(recurse=False)):
            raise ValueError(
                f"{label} is lazy: its parameters have no shape before the first "
                "batch. Give the number of input features when building it."
            )
        if not isinstance(layer, nn.Embedding | nn.EmbeddingBag):
            continue
        if layer.sparse:
            raise ValueError(
                f"{label} has sparse gradients, which cannot be differentiated again. "
                "Build it with sparse=False."
            )
        if layer.max_norm is not None:
            raise ValueError(
                f"{label} rescales its weights in the forward pass, which no gradient "
                "knows of. Build it with max_norm=None."
            )
        if layer.padding_idx is not None and uses[id(layer.weight)] > 1:
            refuse_trained_padding(name, layer)
        if layer.scale_grad_by_freq:
            raise ValueError(
                f"{label} scales its gradients, which torch forgets in the second "
                "derivative. Build it with scale_grad_by_freq=False."
            )


def refuse_trained_padding(name: str, layer: nn.Module) -> NoReturn:
    """Raise because another layer trains an embedding's row of padding."""
    raise ValueError(
        f"{labeled(name, layer)} shares its weights with another layer, which trains "
        "the row of padding_idx that the embedding takes for a constant: there is no "
        "second derivative of that. Build it with padding_idx=None, and mask the "
        "padding."
    )
