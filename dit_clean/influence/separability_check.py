"""Refusing losses of one's own that mix up samples, before training."""

import torch
from torch import Tensor

from dit_clean.tracking import ParameterLayout, TrackedModel, TrainingState
from dit_clean.tracking.generator import same_draws
from dit_clean.tracking.layers import is_known

N_ROWS = 17
"""Samples whose losses are compared, in batches of several sizes."""


def check_separable(
    model: TrackedModel, layout: ParameterLayout, state: TrainingState
) -> None:
    """Raise if the loss of a batch is not made up of losses of single samples.

    Or if that of one sample depends on the others of its batch. Of the network only
    outputs are taken: it may normalize by batches.

    Parameters
    ----------
    model : TrackedModel
        Network, criterion and training data.
    layout : ParameterLayout
        Names and shapes of the parameters.
    state : TrainingState
        Where outputs are taken.

    Raises
    ------
    ValueError
        If either is the case.
    """
    if is_known(model.loss.criterion):
        return
    variables = state.copied_buffers() | layout.unflatten(state.params)
    X, y = model.batch(_unlike_rows(model.targets))
    with torch.no_grad(), same_draws(model.device):
        outputs = model.forward(variables, X, training=True)
        model.loss.check_samples_independent(outputs, y)
        model.loss.check_reduction(outputs, y)


def _unlike_rows(targets: Tensor) -> Tensor:
    """Return rows from the lowest target to the highest: some of several classes."""
    n_rows = len(targets)
    count = min(N_ROWS, n_rows)
    places = torch.arange(count) * (n_rows - 1) // max(1, count - 1)
    return targets.reshape(n_rows, -1)[:, 0].argsort().cpu()[places]
