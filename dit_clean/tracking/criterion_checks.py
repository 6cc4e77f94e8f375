"""Refusing losses that are not those of single samples."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from dit_clean.tracking.layers import is_known

CROSS_ENTROPIES = (nn.CrossEntropyLoss, nn.NLLLoss)
MAKE_CLASSES = (*CROSS_ENTROPIES, nn.KLDivLoss)
BINARY_ENTROPIES = (nn.BCELoss, nn.BCEWithLogitsLoss)
TOLERANCE = 1e-3
"""Allowed error of a loss, relative to the largest loss of its batch."""
ROUNDING = 8
"""Allowed error in units of the last digit, of which half precision has few."""
N_COMPARED = 5
"""Samples that losses are compared on at least: each part has more than one."""
PENALTY = (
    "For a penalty on weights use the optimizer's weight_decay, or have the module "
    "return it beside its outputs."
)
NOISE = 0.1
"""Noise added to outputs that are all equal: on those a loss shows nothing."""


def check_is_tensor(output: Any) -> None:
    """Raise if a network returns a tuple, a dict or the like."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"The network returns a {type(output).__name__}, where one tensor is "
            "needed. Wrap the module in one whose forward returns only the logits, or "
            "predictions: `return self.module(X)[0]`, for example."
        )


def check_holds_none(criterion: nn.Module, module: nn.Module) -> None:
    """Raise if a criterion holds trained parameters of the network that it judges.

    Copies of the two share nothing.
    """
    held = {id(parameter) for parameter in criterion.parameters()}
    for name, parameter in module.named_parameters():
        if id(parameter) in held and parameter.requires_grad:
            raise ValueError(
                f"{type(criterion).__name__} holds {name!r}, a parameter of the "
                f"network, which a loss takes for a constant. {PENALTY}"
            )


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


def check_makes_classes(criterion: nn.Module) -> None:
    """Raise if one of torch's losses does not make class probabilities of outputs.

    Nothing is known of a user's own: they may take logits and class indices.
    """
    if isinstance(criterion, MAKE_CLASSES) or not is_known(criterion):
        return
    raise ValueError(
        f"{type(criterion).__name__} does not take outputs for logits of classes of "
        "which each sample has one, so that there is no probability of a class. Ask "
        'for the outputs themselves, Prediction(X, y, kind="output"), or compute what '
        "you mean from run.model.forward(params, X)."
    )


def check_losses(
    criterion: nn.Module, scores: Any, target: Tensor, losses: Tensor
) -> None:
    """Raise if there is not one loss for each sample.

    Parameters
    ----------
    criterion : nn.Module
        The criterion that was called.
    scores, target : Tensor, first axis n_batch
        Its arguments; of a criterion that is not torch's, scores may be anything.
    losses : Tensor of shape (n_batch, ...)
        What it has returned.
    """
    if len(losses) != len(target):
        raise ValueError(
            f"{type(criterion).__name__} returns losses of shape {tuple(losses.shape)} "
            f"for {len(target)} samples. With reduction='none' have it return one for "
            f"each, shape ({len(target)},), or one for each of their outputs."
        )
    if not is_known(criterion) or isinstance(criterion, CROSS_ENTROPIES):
        return
    if not (_are_indices(target, scores) and losses.shape == target.shape):
        check_same_shape(scores, target)  # another axis may have been taken for classes


def check_samples_independent(
    unreduced: nn.Module, scores: Any, target: Tensor
) -> None:
    """Raise if the loss of one sample depends on the others of its batch.

    Parameters
    ----------
    unreduced : nn.Module
        A criterion with ``reduction="none"``.
    scores : Tensor, or Tensors in containers, first axis n_batch
        Output of a network. What cannot be cut into samples is not looked at.
    target : Tensor, first axis n_batch
        Targets.

    Raises
    ------
    ValueError
        If samples have other losses in a batch of every second one. If a loss draws
        random numbers, only shapes are compared.
    """
    n_batch = len(target)
    if not _are_rows(scores, n_batch):
        return
    # Of an odd number no class has the same share in the whole and in a part.
    rows = torch.arange(max(n_batch, N_COMPARED) | 1, device=target.device) % n_batch
    with torch.no_grad():
        batch = tree_map(lambda values: _varied(_cut(values, rows)), scores)
        losses = unreduced(batch, target[rows])
        if _are_independent(unreduced, batch, target[rows], losses):
            return
    given = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    raise ValueError(
        f"{type(unreduced).__name__} mixes up samples: the loss of one depends on the "
        f"others of its batch. The network returns {given} for targets of shape "
        f"{tuple(target.shape)}, and the losses of {len(rows)} samples have shape "
        f"{tuple(losses.shape)}. If they are broadcast, make outputs and targets "
        "(n_samples, n_outputs), or compare them within the loss as "
        "target.reshape(output.shape). What depends on a whole batch (its mean, how "
        "often a class is in it), compute from all training data beforehand."
    )


def _are_independent(
    unreduced: nn.Module, scores: Any, target: Tensor, losses: Tensor
) -> bool:
    """Tell whether samples have the same losses in a batch of every second one."""
    draws = not torch.equal(unreduced(scores, target), losses)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        part = tree_map(lambda values, half=half: _cut(values, half), scores)
        try:
            found = unreduced(part, target[half])
        except RuntimeError:  # of shapes: of the whole batch they happened to fit
            return False
        if found.shape != losses[half].shape:
            return False
        if not draws and _differ(found, losses[half]):
            return False
    return True


def _differ(found: Tensor, expected: Tensor) -> bool:
    """Tell whether losses differ by more than rounding."""
    tolerance = max(TOLERANCE, ROUNDING * torch.finfo(expected.dtype).eps)
    return bool((found - expected).abs().max() > tolerance * expected.abs().max())


def _are_rows(scores: Any, n_batch: int) -> bool:
    """Tell whether all tensors of an output, of which there are some, are of samples.

    Those without axes, a penalty say, belong to none.
    """
    tensors = [leaf for leaf in tree_leaves(scores) if isinstance(leaf, Tensor)]
    lengths = [len(tensor) for tensor in tensors if tensor.ndim > 0]
    return set(lengths) == {n_batch}


def _cut(values: Any, part: Tensor | slice) -> Any:
    """Return a part of the rows; what has none as it is."""
    has_rows = isinstance(values, Tensor) and values.ndim > 0
    return values.detach()[part] if has_rows else values


def _varied(values: Any) -> Any:
    """Return other values where all samples have the same ones, as zeros give."""
    has_rows = isinstance(values, Tensor) and values.ndim > 0
    if not has_rows or not values.is_floating_point() or (values != values[:1]).any():
        return values
    generator = torch.Generator().manual_seed(0)
    return values + NOISE * torch.rand(values.shape, generator=generator).to(values)


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
