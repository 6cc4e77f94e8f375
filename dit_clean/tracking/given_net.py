"""What a given net is like beside the data: outputs, last batches, order of rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet, NeuralNetClassifier
from torch import Tensor, nn

from dit_clean.tracking.criterion import SampleLoss
from dit_clean.tracking.criterion_checks import check_is_tensor
from dit_clean.tracking.exclusive import borrowed_generators
from dit_clean.tracking.module_checks import check_module
from dit_clean.tracking.probabilities import warn_of_softmax
from dit_clean.tracking.rows import Rows, cast_floats, described, n_rows, take_rows
from dit_clean.warning import warn

BINARY = 2
"""Number of classes for which others use a single output."""
FEW_CHANGES = 0.2
"""Rows count as sorted by label if neighbors differ less often than this part of what
chance would have."""


def untrained(net: NeuralNet) -> NeuralNet:
    """Return an initialized clone of a net, to be looked at; it is not touched."""
    with borrowed_generators(net.device):
        return clone(net).set_params(compile=False).initialize()


def check_outputs(
    net: NeuralNet, X: Rows, n_outputs: int, n_trained: Sequence[int]
) -> None:
    """Try an untrained copy of the net on two rows, and raise if it does not fit.

    Parameters
    ----------
    net : NeuralNetClassifier or NeuralNetRegressor
        Not touched.
    X : Tensor, dict of Tensor or csr_array, first axis n_samples
        Training inputs.
    n_outputs : int
        Outputs that the targets need.
    n_trained : sequence of int
        Numbers of rows that it is to be trained on.

    Raises
    ------
    ValueError
        If the net cannot be evaluated on X, cannot be tracked, has another number of
        outputs, or cannot be trained on a last batch of one row.
    """
    with borrowed_generators(net.device):
        trial = untrained(net)
        check_module(trial.module_)
        trial.module_.eval()
        rows = cast_floats(X, next(trial.module_.parameters()).dtype)
        batch = take_rows(rows, torch.arange(min(2, n_rows(rows))))
        try:
            with torch.no_grad():
                output = trial.infer(batch)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"{type(trial.module_).__name__} cannot be evaluated on the first rows "
                f"of X, {described(batch)}: {error}{_integer_remedy(batch)}"
            ) from error
        _check_last_batch(trial, take_rows(rows, torch.arange(1)), n_trained)
    check_is_tensor(output)
    is_classifier = isinstance(net, NeuralNetClassifier)
    if tuple(output.shape[1:]) != (n_outputs,):
        needed = f"{n_outputs} classes" if is_classifier else "one target"
        raise ValueError(
            f"{type(trial.module_).__name__} returns shape {tuple(output.shape)} for "
            f"{n_rows(batch)} rows, but y has {needed}: (n_samples, {n_outputs}) is "
            f"needed. {_shape_remedy(output, n_outputs, is_classifier=is_classifier)}"
        )
    if is_classifier:
        SampleLoss.of(trial.criterion_).check_classes(output)
        warn_of_softmax(trial, output)


def warn_of_sorted_labels(net: NeuralNet, labels: np.ndarray) -> None:
    """Warn if a net is to see the classes one after the other.

    Parameters
    ----------
    net : NeuralNetClassifier
        As given.
    labels : ndarray of int, shape (n_samples,)
        Class indices in the order of the rows.
    """
    if net.get_params(deep=False).get("iterator_train__shuffle", False):
        return
    if _are_sorted(labels):
        warn(
            "The rows are sorted by label, and the net takes them in their order: it "
            "forgets one class while it learns the next, and what it says of labels "
            "is worth little. Set iterator_train__shuffle=True."
        )


def _are_sorted(labels: np.ndarray) -> bool:
    """Tell whether class indices, shape (n_samples,), hardly change from row to row.

    Examples
    --------
    >>> _are_sorted(np.repeat([0, 1], 10)), _are_sorted(np.tile([0, 1], 10))
    (True, False)
    """
    shares = np.bincount(labels) / len(labels)
    by_chance = 1 - shares @ shares
    return bool((labels[1:] != labels[:-1]).mean() < FEW_CHANGES * by_chance)


def warn_of_unseen(n_unseen: int, n_samples: int) -> None:
    """Warn of rows that a network should have trained on, and has not.

    Parameters
    ----------
    n_unseen : int
        Rows that were in no batch of some network.
    n_samples : int
        Rows given to fit.
    """
    if n_unseen:
        warn(
            f"{n_unseen} of {n_samples} rows were in no batch of a network that was to "
            "train on them, and what it says of their labels is not what it is taken "
            "for. With drop_last, set iterator_train__shuffle=True and train for some "
            "epochs, so that each leaves out other rows."
        )


def warn_of_weights(net: NeuralNet) -> None:
    """Warn if the net's module is an instance: every fold starts from its weights."""
    if isinstance(net.module, nn.Module):
        warn(
            "net.module is a module instance, so every fold starts from its present "
            "weights. If they have been trained on these labels, wrong labels are "
            "hidden. Give the class (module=Net, module__...=...) to start anew."
        )


def _shape_remedy(output: Tensor, n_outputs: int, *, is_classifier: bool) -> str:
    """Return what to do about outputs of another shape than (n, n_outputs)."""
    is_flat, is_single = output.ndim == 1, output.shape[1:].numel() == 1
    if is_classifier and is_single and n_outputs == BINARY:
        return (
            "Give its last layer two outputs, one logit for each class, and use "
            "criterion=torch.nn.CrossEntropyLoss in place of a binary one (BCE)."
        )
    if is_flat and not is_classifier:
        return (
            "Leave out the squeeze (or flatten, or [:, 0]) at the end of its forward "
            "pass."
        )
    return "Change the size of its last layer."


def _check_last_batch(net: NeuralNet, row: Any, n_trained: Sequence[int]) -> None:
    """Raise if a last batch of one row is left over and the net cannot take it."""
    options = net.get_params_for("iterator_train")
    size = options.get("batch_size", net.batch_size)
    left_over = [n for n in n_trained if n % size == 1 and n > 1]
    if not left_over or options.get("drop_last", False):
        return
    net.module_.train()
    try:
        with torch.no_grad():
            net.infer(row)
    except ValueError as error:
        raise ValueError(
            f"Training on {left_over[0]} rows in batches of {size} leaves a last batch "
            f"of one row, which {type(net.module_).__name__} cannot be trained on: "
            f"{error} Set iterator_train__drop_last=True, or another batch_size."
        ) from error


def _integer_remedy(batch: Any) -> str:
    """Return what to do about whole numbers that are no indices."""
    if not isinstance(batch, Tensor) or batch.is_floating_point():
        return ""
    return ". Give floats, unless it looks them up (Embedding): X.astype('float32')."
