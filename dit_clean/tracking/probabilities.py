"""Losses that take probabilities, as `NLLLoss` in skorch, and losses of logits."""

from typing import Any

import torch
from skorch import NeuralNet

from dit_clean.tracking.rows import Rows, n_rows, take_rows
from dit_clean.warning import warn

CHECKED_ROWS = 64
TOLERANCE = 1e-3


def takes_log(net: NeuralNet) -> bool:
    """Tell whether skorch takes the logarithm of the output of an initialized net."""
    is_classifier = hasattr(net, "classes")
    return is_classifier and isinstance(net.criterion_, torch.nn.NLLLoss)


def check_probabilities(net: NeuralNet, X: Rows) -> None:
    """Raise if skorch would take the logarithm of outputs that are no probabilities.

    Parameters
    ----------
    net : NeuralNet
        Initialized; not changed, and no random number is drawn.
    X : Tensor, dict of Tensor or csr_array, first axis n_samples
        Training inputs in the precision of the net.

    Raises
    ------
    ValueError
        Names what the module returns and what to use.
    """
    if not takes_log(net):
        return
    batch: Any = take_rows(X, torch.arange(min(CHECKED_ROWS, n_rows(X))))
    was_training = net.module_.training
    net.module_.eval()
    with torch.no_grad():
        output = net.infer(batch)
    net.module_.train(was_training)
    low, high = float(output.min()), float(output.max())
    if not (low < -TOLERANCE or high > 1 + TOLERANCE):
        return
    raise ValueError(
        "With criterion NLLLoss skorch takes the logarithm of the module's output, so "
        f"{type(net.module_).__name__} must return probabilities (softmax at its end), "
        f"but its outputs lie between {low:.3g} and {high:.3g}. For logits and for "
        "log-probabilities use criterion=torch.nn.CrossEntropyLoss."
    )


def warn_of_softmax(net: NeuralNet, output: torch.Tensor) -> None:
    """Warn if outputs are probabilities and the criterion makes some of them again."""
    is_softmax = bool(
        (output >= 0).all() and (output.sum(1) - 1).abs().max() < TOLERANCE
    )
    if is_softmax and isinstance(net.criterion_, torch.nn.CrossEntropyLoss):
        warn(
            f"{type(net.module_).__name__} returns probabilities, and CrossEntropyLoss "
            "applies a softmax to them once more: the network learns little, and more "
            "labels look wrong. Leave the softmax at its end out, or use "
            "criterion=torch.nn.NLLLoss, of which skorch takes the logarithm first."
        )
