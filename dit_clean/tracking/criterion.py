"""The loss of each sample of a batch, and the divisor of the batch's mean."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor, nn

from dit_clean.tracking.copies import copied
from dit_clean.tracking.criterion_checks import (
    CROSS_ENTROPIES,
    check_is_tensor,
    check_losses,
    check_makes_classes,
    check_samples_independent,
    check_target,
)
from dit_clean.tracking.layers import is_known

REDUCTIONS = ("mean", "sum", "batchmean")
ADDING = ("sum", "batchmean")
"""Those that add up the outputs of a sample."""


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
        criterion, unreduced = copied(criterion), copied(criterion)
        vars(unreduced)["reduction"] = "none"
        return cls(criterion, unreduced, takes_log)

    def to(self, device: Any) -> "SampleLoss":
        """Return the loss on a torch device: class weights lie on one."""
        criterion, unreduced = copied(self.criterion), copied(self.unreduced)
        return SampleLoss(criterion.to(device), unreduced.to(device), self.takes_log)

    def batch(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the batch's loss, a scalar, as training computes it."""
        return self.criterion(self._scores(output), target)

    def each(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each sample, shape (n_batch,).

        Several outputs are averaged, or added where the criterion adds them.

        Raises
        ------
        TypeError
            If the network returned anything but a tensor.
        ValueError
            If there is not one loss for each sample, or targets do not fit.
        """
        scores = self._scores(output)
        if self._is_torchs:
            check_target(self.criterion, scores, target)
        losses = self.unreduced(scores, target)
        if losses.ndim == 0:
            raise ValueError(
                f"{type(self.criterion).__name__} returns one number for a batch, with "
                'reduction="none" too, so that the loss of a single sample is unknown. '
                "Have its forward heed self.reduction."
            )
        check_losses(self.unreduced, scores, target, losses)
        return self.over_outputs(losses)

    def check_samples_independent(self, output: Any, target: Tensor) -> None:
        """Raise if the loss of one sample depends on the others of its batch.

        Costs four times the losses of the batch; nothing for torch's own criteria,
        which do not mix up samples whose targets `each` takes.
        """
        if not self._is_torchs:
            check_samples_independent(self.unreduced, self._scores(output), target)

    def check_reduction(self, output: Any, target: Tensor) -> None:
        """Raise if a batch's loss does not follow from its samples' losses.

        Losses that draw random numbers, and torch's own, are not checked.
        """
        if self._is_torchs:
            return
        found, again = self.batch(output, target), self.batch(output, target)
        losses = self.each(output, target)
        divisor = self.divisor(target, losses.dtype)
        expected = losses.sum() / divisor
        tolerance = 10 * torch.finfo(losses.dtype).eps ** 0.5
        alike = torch.isclose(found, expected, rtol=tolerance, atol=tolerance)
        if alike or not torch.equal(found, again) or not expected.isfinite():
            return
        raise ValueError(
            f"{type(self.criterion).__name__} returns {float(found):.5g} for a batch, "
            f'but what it returns with reduction="none" adds up to '
            f"{float(losses.sum()):.5g}, over {float(divisor):.5g} "
            f"{float(expected):.5g}. Have the losses of single samples make up the "
            "batch's: for a mean their sum over the number of samples (or outputs), or "
            "over the sum of class weights for a subclass of CrossEntropyLoss or "
            "NLLLoss; derive from torch.nn.Module if yours divides by the former."
        )

    def over_outputs(self, losses: Tensor) -> Tensor:
        """Return losses (n_batch, ...) of each output as those of each sample."""
        if losses.ndim == 1:
            return losses
        losses = losses.flatten(1)
        return losses.sum(1) if self.criterion.reduction in ADDING else losses.mean(1)

    def divisor(self, target: Tensor, dtype: torch.dtype) -> Tensor | float:
        """Return what the sum of losses is divided by: the batch size for a mean.

        Class weights (``CrossEntropyLoss(weight=...)``) make it a weighted mean, and
        labels that the criterion ignores (``ignore_index``) do not count. Where none
        counts, torch's mean is 0 / 0, but its gradient is 0: such a batch is divided by
        1. In `dtype`, that of the losses: a GPU divides them in no higher precision
        than the divisor.
        """
        if self.criterion.reduction == "sum":
            return 1.0
        if not self._takes_classes or target.is_floating_point():
            return float(len(target))
        total = self.label_weight(target).sum(dtype=dtype)
        total = total.masked_fill(self.ignores(target).all(), 1)
        return total if target.ndim == 1 else total * len(target) / target.numel()

    def label_weight(self, target: Tensor) -> Tensor:
        """Return what each label weighs in a mean: 0 if the criterion ignores it."""
        counted = ~self.ignores(target)
        has_classes = self._takes_classes and not target.is_floating_point()
        if self._class_weight is None or not has_classes:
            return counted
        return self._class_weight[target.long() * counted] * counted

    def ignores(self, target: Tensor) -> Tensor:
        """Return which labels the criterion does not count (``ignore_index``)."""
        if not self._takes_classes:
            return torch.zeros_like(target, dtype=torch.bool)
        return target.eq(cast("int", self.criterion.ignore_index))

    @cached_property
    def _is_torchs(self) -> bool:
        return is_known(self.criterion)

    @property
    def _takes_classes(self) -> bool:
        return isinstance(self.criterion, CROSS_ENTROPIES)

    @property
    def _class_weight(self) -> Tensor | None:
        return getattr(self.criterion, "weight", None)

    def _scores(self, output: Tensor) -> Tensor:
        if self._is_torchs:  # others may take what the network returns
            check_is_tensor(output)
        return _safe_log(output) if self.takes_log else output

    def each_label(self, output: Tensor) -> Tensor:
        """Return the loss that each sample would have under each label.

        Returns
        -------
        losses : Tensor of shape (n_batch, n_classes)
            0 under a class that the criterion ignores.

        Notes
        -----
        A criterion that is none of torch's cross-entropies, or has hooks, is asked
        label by label.
        """
        if not (self._is_torchs and self._takes_classes):
            return self._each_label_in_turn(output)
        losses = -self.log_probabilities(output)
        if self._class_weight is not None:
            losses = losses * self._class_weight
        smoothing = getattr(self.criterion, "label_smoothing", 0.0)
        uniform = losses.mean(dim=1, keepdim=True)
        losses = (1 - smoothing) * losses + smoothing * uniform
        classes = torch.arange(losses.shape[1], device=losses.device)
        return losses.masked_fill(self.ignores(classes), 0)

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
        if self._takes_classes and self._is_torchs:
            return
        labels = torch.arange(len(output), device=output.device) % output.shape[1]
        try:
            self.each(output, labels)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"Criterion {type(self.criterion).__name__} cannot be asked for the "
                f"loss of a class, given as its index: {error} Use "
                "torch.nn.CrossEntropyLoss, or a loss of your own that takes logits of "
                "shape (n, n_classes) and class indices of shape (n,)."
            ) from error
        self.check_samples_independent(output, labels)

    def log_probabilities(self, output: Tensor) -> Tensor:
        """Return log class probabilities for the module's output, same shape.

        Classes are on axis 1, as torch's losses take them.

        Raises
        ------
        ValueError
            If the criterion does not take outputs for logits of classes.
        """
        check_is_tensor(output)
        check_makes_classes(self.criterion)
        scores = self._scores(output)
        is_log = isinstance(self.criterion, nn.NLLLoss)
        return scores if is_log else scores.log_softmax(1)


def _safe_log(probabilities: Tensor) -> Tensor:
    """Return the logarithm as skorch takes it for ``NLLLoss``."""
    return torch.log(probabilities + torch.finfo(probabilities.dtype).eps)
