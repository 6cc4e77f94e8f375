"""Refusing losses that are not those of single samples."""

from collections.abc import MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dit_clean.tracking.exclusive import borrowed_generators

CROSS_ENTROPIES = (nn.CrossEntropyLoss, nn.NLLLoss)
BINARY_ENTROPIES = (nn.BCELoss, nn.BCEWithLogitsLoss)
TOLERANCE = 1e-3
"""Allowed error of a loss, relative to the largest of its batch."""
_known: MutableMapping[nn.Module, set[Any]] = WeakKeyDictionary()
"""Of losses of one's own: shapes of outputs and targets that they keep apart."""


def check_is_tensor(output: Any) -> None:
    """Raise if a network returns a tuple, a dict or the like."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"The network returns a {type(output).__name__}, where one tensor is "
            "needed. Wrap the module in one whose forward returns only the logits, or "
            "predictions: `return self.module(X)[0]`, for example."
        )


def is_torchs(criterion: nn.Module) -> bool:
    """Tell whether a criterion is one of torch's own."""
    return type(criterion).__module__.startswith("torch.nn.")


def check_target(criterion: nn.Module, scores: Tensor, target: Tensor) -> None:
    """Raise if one of torch's losses would not take a target as it is meant."""
    is_entropy = isinstance(criterion, CROSS_ENTROPIES)
    takes_indices = is_entropy or _are_indices(target, scores)
    is_binary = isinstance(criterion, BINARY_ENTROPIES)
    if target.dtype == torch.bool and (takes_indices or is_binary):
        raise ValueError(
            f"{type(criterion).__name__} does not take boolean targets. Give classes "
            "as integers (y.astype(int)), and probabilities as floats "
            "(y.astype('float32'))."
        )
    if not takes_indices:
        check_same_shape(scores, target)


def check_losses(
    unreduced: nn.Module, scores: Tensor, target: Tensor, losses: Tensor
) -> None:
    """Raise if losses are not those of single samples.

    Parameters
    ----------
    unreduced : nn.Module
        The criterion, none of torch's cross-entropies, with ``reduction="none"``.
    scores, target : Tensor, first axis n_batch
        What it has been asked about.
    losses : Tensor of shape (n_batch, ...)
        What it has answered.

    Raises
    ------
    ValueError
        If there is not one for each sample. Where outputs and targets have other
        shapes, which may have been broadcast: also if single samples have other losses
        in other batches.
    """
    if len(losses) != len(target):
        raise ValueError(
            f"{type(unreduced).__name__} returns losses of shape {tuple(losses.shape)} "
            f"for {len(target)} samples. With reduction='none' have it return one for "
            f"each, shape ({len(target)},), or one for each of their outputs."
        )
    of_classes = _are_indices(target, scores) and losses.shape == target.shape
    if of_classes or scores.shape == target.shape or len(target) == 1:
        return
    if is_torchs(unreduced):  # of indices that another axis has been taken for
        check_same_shape(scores, target)
    shapes = scores.shape[1:], target.shape[1:]
    known = _known.setdefault(unreduced, set())
    if shapes in known:
        return
    if not _are_apart(unreduced, scores.detach(), target, losses.detach()):
        raise ValueError(
            f"{type(unreduced).__name__} mixes up samples: the loss of one depends on "
            f"the others of its batch. The network returns shape {tuple(scores.shape)} "
            f"for targets of shape {tuple(target.shape)}, and the losses have shape "
            f"{tuple(losses.shape)}. Make outputs and targets (n_samples, n_outputs), "
            "or compare them within the loss without broadcasting: "
            "target.reshape(output.shape)."
        )
    if _vary(scores) and _vary(target):  # else values show nothing
        known.add(shapes)


def _vary(values: Tensor) -> bool:
    """Tell whether any samples differ."""
    return bool((values != values[:1]).any())


def _are_apart(
    unreduced: nn.Module, scores: Tensor, target: Tensor, losses: Tensor
) -> bool:
    """Tell whether samples have the same losses in a batch of every second one.

    Of losses that draw random numbers the shapes are compared alone.
    """
    with torch.no_grad(), borrowed_generators([scores.device] * scores.is_cuda):
        draws = not torch.equal(losses, unreduced(scores, target))
        for half in (slice(0, None, 2), slice(1, None, 2)):
            expected = losses[half]
            try:
                found = unreduced(scores[half], target[half])
            except RuntimeError:  # of shapes: of the whole batch they happened to fit
                return False
            if found.shape != expected.shape:
                return False
            scale = expected.abs().max()
            is_other = (found - expected).abs().max() > TOLERANCE * scale
            if is_other and not draws:
                return False
    return True


def check_same_shape(output: Tensor, target: Tensor) -> None:
    """Raise if targets would be broadcast against the network's output."""
    if output.shape != target.shape:
        raise ValueError(
            f"The network returns shape {tuple(output.shape)} for targets of shape "
            f"{tuple(target.shape)}: the loss would mix up samples. Make both "
            "(n_samples, n_outputs)."
        )


def _are_indices(target: Tensor, output: Tensor) -> bool:
    """Tell whether targets may be the indices of classes that an output is about."""
    if target.is_floating_point() or output.ndim != target.ndim + 1:
        return False
    return output.shape[1] > 1
