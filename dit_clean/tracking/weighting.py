"""Training with sample weights, as a skorch callback."""

from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback

from dit_clean.tracking.criterion import SampleLoss


class SampleWeighting(Callback):
    """Multiplies each training sample's loss by its weight; the divisor stays.

    Parameters
    ----------
    weights : Tensor of shape (n_samples,)
        By row of the X given to fit.
    """

    def __init__(self, weights: torch.Tensor):
        self.weights = weights

    def on_train_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        """Make the criterion return weighted losses."""
        self.loss_ = SampleLoss.of(net.criterion_)
        self.rows_: torch.Tensor | None = None
        net.criterion_.reduction = "none"
        self.hook_ = net.criterion_.register_forward_hook(self._reduce)

    def on_batch_begin(
        self, net: NeuralNet, batch: Any = None, training: bool = False, **kwargs: Any
    ) -> None:
        """Note whose losses come next."""
        self.rows_ = batch.sample_indices if training else None

    def on_train_end(self, net: NeuralNet, **kwargs: Any) -> None:
        """Leave the criterion as it was found."""
        self.hook_.remove()
        net.criterion_.reduction = self.loss_.criterion.reduction

    def _reduce(self, criterion: Any, inputs: Any, losses: torch.Tensor) -> Any:
        losses = self.loss_.over_outputs(losses)
        if self.rows_ is not None:
            losses = losses * self.weights[self.rows_].to(losses)
        return losses.sum() / self.loss_.divisor(inputs[1], losses.dtype)
