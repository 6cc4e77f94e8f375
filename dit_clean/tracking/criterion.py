"""The loss of each sample of a batch, and the divisor of the batch's mean."""

import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from dit_clean.tracking.exclusive import borrowed_generators

REDUCTIONS = ("mean", "sum")
CROSS_ENTROPIES = (nn.CrossEntropyLoss, nn.NLLLoss)
BINARY_ENTROPIES = (nn.BCELoss, nn.BCEWithLogitsLoss)
TOLERANCE = 1e-3
"""Allowed error of a loss, relative to the largest of its batch."""


@dataclass(frozen=True)
class SampleLoss:
    """A torch criterion read sample by sample.

    The batch loss of training is ``each(...).sum()`` over `divisor`.

    Attributes
    ----------
    criterion : nn.Module
        The criterion of training, which reduces a batch to its mean or sum.
    unreduced : nn.Module
        The same criterion with ``reduction="none"``.
    takes_log : bool
        Whether the network returns probabilities whose logarithm the criterion needs
        (skorch's convention for ``NLLLoss``).
    """

    criterion: nn.Module
    unreduced: nn.Module
    takes_log: bool = False
    _known: set[tuple[torch.Size, torch.Size]] = field(
        default_factory=set, init=False, repr=False, compare=False
    )
    # Shapes of outputs and targets that a loss of one's own keeps apart.

    @classmethod
    def of(cls, criterion: nn.Module, *, takes_log: bool = False) -> "SampleLoss":
        """Return the per-sample form of `criterion`, which is not changed.

        Raises
        ------
        ValueError
            If the criterion has no `reduction` that can be set to "none".
        """
        reduction = getattr(criterion, "reduction", None)
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"Criterion {type(criterion).__name__} has reduction={reduction!r}, so "
                "the loss of a single sample is unknown. Give a criterion with a "
                f"`reduction` of {REDUCTIONS}, such as torch.nn.CrossEntropyLoss."
            )
        criterion, unreduced = copy.deepcopy(criterion), copy.deepcopy(criterion)
        vars(unreduced)["reduction"] = "none"
        return cls(criterion, unreduced, takes_log)

    def to(self, device: Any) -> "SampleLoss":
        """Return the loss on a torch device: class weights lie on one."""
        criterion, unreduced = copy.deepcopy((self.criterion, self.unreduced))
        return SampleLoss(criterion.to(device), unreduced.to(device), self.takes_log)

    def batch(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the batch's loss, a scalar, as training computes it."""
        return self.criterion(self._scores(output), target)

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each sample, shape (n_batch,).

        Several outputs are averaged, or added where the criterion is a sum.

        Raises
        ------
        TypeError
            If the network returned anything but a tensor.
        ValueError
            If the losses are not those of single samples, or targets do not fit.
        """
        scores = self._scores(output)
        if self._is_torchs:
            self._check_target(output, target)
        losses = self.unreduced(scores, target)
        if losses.ndim == 0:
            raise ValueError(
                f"{self._name} returns one number for a batch, with "
                'reduction="none" too, so that the loss of a single sample is unknown. '
                "Have its forward heed self.reduction."
            )
        self._check_losses(scores, target, losses)
        return self.over_outputs(losses)

    def _check_target(self, output: Tensor, target: Tensor) -> None:
        """Raise if one of torch's losses does not take a target as it is meant."""
        takes_indices = self._takes_classes or _are_indices(target, output)
        if target.dtype == torch.bool and (
            takes_indices or isinstance(self.criterion, BINARY_ENTROPIES)
        ):
            raise ValueError(
                f"{self._name} does not take boolean targets. Give classes as integers "
                "(y.astype(int)), and probabilities as floats (y.astype('float32'))."
            )
        if not takes_indices:
            check_same_shape(output, target)

    def _check_losses(self, scores: Tensor, target: Tensor, losses: Tensor) -> None:
        """Raise if losses are not those of single samples.

        Where shapes may have been broadcast: torch's losses always do it, others are
        looked at once for each pair of shapes.
        """
        if len(losses) != len(target):
            raise ValueError(
                f"{self._name} returns losses of shape {tuple(losses.shape)} for "
                f"{len(target)} samples. With reduction='none' have it return one for "
                f"each, shape ({len(target)},), or one for each of their outputs."
            )
        if self._takes_classes or scores.shape == target.shape:
            return
        if _are_indices(target, scores) and losses.shape == target.shape:
            return
        if self._is_torchs:
            check_same_shape(scores, target)
        shapes = scores.shape[1:], target.shape[1:]
        if shapes in self._known or len(target) == 1:
            return
        self._check_apart(scores.detach(), target, losses.detach())
        if _vary(scores) and _vary(target):  # else values show nothing
            self._known.add(shapes)

    def _check_apart(self, scores: Tensor, target: Tensor, losses: Tensor) -> None:
        """Raise if samples have other losses in a batch of every second one."""
        devices = [scores.device] if scores.is_cuda else []
        with torch.no_grad(), borrowed_generators(devices):
            draws = not torch.equal(losses, self.unreduced(scores, target))
            for rows in (slice(0, None, 2), slice(1, None, 2)):
                found, expected = (
                    self.unreduced(scores[rows], target[rows]),
                    losses[rows],
                )
                if found.shape == expected.shape and (draws or _close(found, expected)):
                    continue
                raise ValueError(
                    f"{self._name} mixes up samples: the loss of one depends on the "
                    f"others of its batch. The network returns shape "
                    f"{tuple(scores.shape)} for targets of shape "
                    f"{tuple(target.shape)}, and the losses have shape "
                    f"{tuple(losses.shape)}. Make outputs and targets "
                    "(n_samples, n_outputs), or compare them within the loss without "
                    "broadcasting: target.reshape(output.shape)."
                )

    def over_outputs(self, losses: Tensor) -> Tensor:
        """Return losses (n_batch, ...) of each output as those of each sample."""
        if losses.ndim == 1:
            return losses
        losses = losses.flatten(1)
        return losses.sum(1) if self.criterion.reduction == "sum" else losses.mean(1)

    def divisor(self, target: Tensor, dtype: torch.dtype) -> Tensor | float:
        """Return what the sum of losses is divided by: the batch size for a mean.

        Class weights (``CrossEntropyLoss(weight=...)``) make it a weighted mean, and
        labels that the criterion ignores (``ignore_index``) do not count. In `dtype`,
        that of the losses: a GPU divides them in no higher precision than the divisor.
        """
        if self.criterion.reduction == "sum":
            return 1.0
        if not self._takes_classes or target.is_floating_point():
            return float(len(target))
        counted = ~self.ignores(target)
        if self._class_weight is not None:
            counted = self._class_weight[target.long() * counted] * counted
        return counted.sum().to(dtype) * len(target) / target.numel()

    def ignores(self, target: Tensor) -> Tensor:
        """Return which labels the criterion does not count (``ignore_index``)."""
        if not self._takes_classes:
            return torch.zeros_like(target, dtype=torch.bool)
        return target.eq(cast("int", self.criterion.ignore_index))

    @cached_property
    def _is_torchs(self) -> bool:
        return type(self.criterion).__module__.startswith("torch.nn.")

    @property
    def _name(self) -> str:
        return type(self.criterion).__name__

    @property
    def _takes_classes(self) -> bool:
        return isinstance(self.criterion, CROSS_ENTROPIES)

    @property
    def _class_weight(self) -> Tensor | None:
        return getattr(self.criterion, "weight", None)

    def _scores(self, output: Tensor) -> Tensor:
        check_is_tensor(output)
        return _safe_log(output) if self.takes_log else output

    def each_label(self, output: Tensor) -> Tensor:
        """Return the loss that each sample would have under each label.

        Returns
        -------
        losses : Tensor of shape (n_batch, n_classes)

        Notes
        -----
        A criterion that is none of torch's cross-entropies is asked label by label.
        """
        if type(self.criterion) not in CROSS_ENTROPIES:
            return self._each_label_in_turn(output)
        losses = -self.log_probabilities(output)
        if self._class_weight is not None:
            losses = losses * self._class_weight
        smoothing = getattr(self.criterion, "label_smoothing", 0.0)
        uniform = losses.mean(dim=1, keepdim=True)
        return (1 - smoothing) * losses + smoothing * uniform

    def _each_label_in_turn(self, output: Tensor) -> Tensor:
        labels = torch.arange(output.shape[1], device=output.device)
        columns = [self.each(output, label.expand(len(output))) for label in labels]
        return torch.stack(columns, dim=1)

    def check_classes(self, output: Tensor) -> None:
        """Raise if the criterion does not take an output and class indices.

        Parameters
        ----------
        output : Tensor of shape (n, n_classes)
            Of the network.
        """
        if self._takes_classes:
            return
        try:
            self.each(output, torch.arange(len(output), device=output.device))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"Criterion {self._name} cannot be asked for the "
                f"loss of a class, given as its index: {error} Use "
                "torch.nn.CrossEntropyLoss, or a loss of your own that takes logits of "
                "shape (n, n_classes) and class indices of shape (n,)."
            ) from error

    def log_probabilities(self, output: Tensor) -> Tensor:
        """Return log class probabilities for the module's output, same shape."""
        scores = self._scores(output)
        is_log = isinstance(self.criterion, nn.NLLLoss)
        return scores if is_log else scores.log_softmax(-1)


def check_is_tensor(output: Any) -> None:
    """Raise if a network returns a tuple, a dict or the like."""
    if not isinstance(output, Tensor):
        raise TypeError(
            f"The network returns a {type(output).__name__}, where one tensor is "
            "needed. Wrap the module in one whose forward returns only the logits, or "
            "predictions: `return self.module(X)[0]`, for example."
        )


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


def _vary(values: Tensor) -> bool:
    """Tell whether any samples differ."""
    return bool((values != values[:1]).any())


def _close(found: Tensor, expected: Tensor) -> bool:
    scale = expected.abs().max()
    # Losses that are not finite are told of as divergence.
    return not scale.isfinite() or bool(
        (found - expected).abs().max() <= TOLERANCE * scale
    )


def _safe_log(probabilities: Tensor) -> Tensor:
    """Return the logarithm as skorch takes it for ``NLLLoss``."""
    return torch.log(probabilities + torch.finfo(probabilities.dtype).eps)
