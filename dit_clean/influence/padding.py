"""Rows of padding in embeddings: constants to torch, whatever derivatives say."""

from collections.abc import Container, Iterator, Mapping

from torch import Tensor, nn

from dit_clean.tracking import ParameterLayout, TrackedModel
from dit_clean.tracking.module_checks import refuse_trained_padding


def check_padding(module: nn.Module, grads: Mapping[str, Tensor]) -> None:
    """Raise if the rows of padding of an embedding get gradients by another way.

    Parameters
    ----------
    module : nn.Module
        The network.
    grads : dict of str to Tensor
        Gradient of some samples' loss.
    """
    for name, weight, layer in padded_embeddings(module, grads):
        if grads[weight][layer.padding_idx].any():
            refuse_trained_padding(name, layer)


def keep_padding(model: TrackedModel, layout: ParameterLayout, v: Tensor) -> None:
    """Make a direction one along which rows of padding, constants to torch, stay."""
    parts = layout.unflatten(v)  # views
    for _, weight, layer in padded_embeddings(model.module, parts):
        parts[weight][layer.padding_idx] = 0


def padded_embeddings(
    module: nn.Module, names: Container[str]
) -> Iterator[tuple[str, str, nn.Embedding]]:
    """Yield name, name of the weight, and layer of embeddings with a row of padding.

    Those whose weights are among `names`: the others are not trained.
    """
    for name, layer in module.named_modules():
        weight = f"{name}.weight".lstrip(".")
        if not isinstance(layer, nn.Embedding) or layer.padding_idx is None:
            continue
        if weight in names:
            yield name, weight, layer
