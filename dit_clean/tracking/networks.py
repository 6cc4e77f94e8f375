"""Networks: the default one for tables, and what a given one must be like."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import GradientNormClipping
from skorch.dataset import Dataset
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dit_clean.tracking.criterion import SampleLoss
from dit_clean.tracking.criterion_checks import check_is_tensor
from dit_clean.tracking.exclusive import borrowed_generators
from dit_clean.tracking.loader import IndexedLoader
from dit_clean.tracking.module_checks import check_module
from dit_clean.tracking.probabilities import warn_of_softmax
from dit_clean.tracking.rows import Rows, cast_floats, n_rows, take_rows
from dit_clean.warning import warn

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "adamax": torch.optim.Adamax,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
}
INSTEAD = {
    "iterator_train__batch_sampler": (
        "Use iterator_train__shuffle, or with track iterator_train__sampler, for "
        "another order of the samples."
    ),
    "iterator_train__collate_fn": (
        "Rows are taken by number from arrays. Do before what it does: pad all "
        "sequences to one length and give one array, or with track a dict of arrays."
    ),
    "iterator_train__generator": (
        "Batches are drawn from torch's own generator, which random_state seeds."
    ),
}
"""Options of data loaders under which rows have no numbers, and what to use instead."""
BINARY = 2
"""Number of classes for which others use a single output."""
FEW_CHANGES = 0.2
"""Rows count as sorted by label if neighbors differ less often than this part of what
chance would have."""


class MLP(nn.Module):
    """Multilayer perceptron with rectified linear units.

    Parameters
    ----------
    n_features : int
        Inputs.
    n_outputs : int
        Outputs: one per class, or per target.
    hidden_layer_sizes : sequence of int, default=(100,)
        Units of each hidden layer; empty for a linear model.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        hidden_layer_sizes: Sequence[int] = (100,),
    ):
        super().__init__()
        sizes = [n_features, *hidden_layer_sizes]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(sizes[-1], n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Return logits or predictions, shape (n, n_outputs)."""
        return self.output(self.hidden(X))


def make_default_net(
    n_features: int,
    n_outputs: int,
    *,
    is_classifier: bool,
    hidden_layer_sizes: Sequence[int],
    optimizer: str,
    **settings: Any,
) -> NeuralNet:
    """Return an MLP for encoded tables as a skorch net, not yet fitted.

    Parameters
    ----------
    n_features, n_outputs : int
        Size of the network's input and output.
    is_classifier : bool
        Cross-entropy over classes, or Huber's loss of scaled targets, which gross
        target errors cannot carry away.
    hidden_layer_sizes : sequence of int
        Units of each hidden layer.
    optimizer : str
        Key of `OPTIMIZERS`; with torch's defaults but for `settings`.
    **settings
        Further parameters of the skorch net (lr, max_epochs, batch_size, device).
    """
    make_net = NeuralNetClassifier if is_classifier else NeuralNetRegressor
    return make_net(
        MLP,
        module__n_features=n_features,
        module__n_outputs=n_outputs,
        module__hidden_layer_sizes=tuple(hidden_layer_sizes),
        criterion=nn.CrossEntropyLoss if is_classifier else nn.HuberLoss,
        optimizer=OPTIMIZERS[optimizer],
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **settings,
    )


def tracked_clone(net: NeuralNet, callbacks: Sequence[Any]) -> NeuralNet:
    """Return an unfitted clone of `net` that can be tracked; `net` is not touched.

    Parameters
    ----------
    net : NeuralNetClassifier or NeuralNetRegressor
        As given.
    callbacks : sequence of (name, Callback)
        Run before the net's own, which may end training (early stopping).

    Raises
    ------
    TypeError, ValueError
        If the net is none of skorch's, or trains in a way that a recorded step
        cannot be computed again from: names the part and what to use instead.
    """
    check_net(net)
    copied = clone(net).set_params(iterator_train=IndexedLoader, compile=False)
    own = [] if copied.callbacks == "disable" else copied.callbacks or []
    # Not by set_params, which fails for a net with callbacks="disable".
    copied.callbacks = [*callbacks, *own]
    return copied


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
    shares = np.bincount(labels) / len(labels)
    by_chance = 1 - shares @ shares
    if (labels[1:] != labels[:-1]).mean() < FEW_CHANGES * by_chance:
        warn(
            "The rows are sorted by label, and the net takes them in their order: it "
            "forgets one class while it learns the next, and what it says of labels "
            "is worth little. Set iterator_train__shuffle=True."
        )


def check_net(net: Any) -> None:
    """Raise if the net cannot be tracked."""
    if not isinstance(net, NeuralNetClassifier | NeuralNetRegressor):
        is_class = isinstance(net, type)
        given = f"the class {net.__name__}" if is_class else type(net).__name__
        raise TypeError(
            f"net must be a skorch NeuralNetClassifier or NeuralNetRegressor instance, "
            f"got {given}. Wrap the module: NeuralNetClassifier(module, ...), with one "
            "output for each class, of two classes too."
        )
    _check_methods(net)
    name = type(net).__name__
    if net.dataset is not Dataset:
        raise ValueError(
            f"{name} uses its own dataset class. Tracking takes rows by number from "
            "arrays in memory: transform X before, and leave `dataset` at its default."
        )
    if net.iterator_train not in (DataLoader, IndexedLoader):
        raise ValueError(
            f"{name} uses its own iterator_train. Tracking uses IndexedLoader: leave "
            "`iterator_train` at its default (iterator_train__shuffle and "
            "iterator_train__sampler are respected)."
        )
    for option, remedy in INSTEAD.items():
        if net.get_params(deep=False).get(option) is not None:
            raise ValueError(f"{option} cannot be tracked. {remedy}")
    for entry in net.callbacks if isinstance(net.callbacks, list) else []:
        callback = entry[1] if isinstance(entry, tuple) else entry
        kind = callback if isinstance(callback, type) else type(callback)
        if issubclass(kind, GradientNormClipping):
            raise ValueError(
                "GradientNormClipping cannot be tracked: a clipped step depends on "
                "the whole batch's norm. Remove it, and lower lr if training diverges."
            )


def warn_of_weights(net: NeuralNet) -> None:
    """Warn if the net's module is an instance: every fold starts from its weights."""
    if isinstance(net.module, nn.Module):
        warn(
            "net.module is a module instance, so every fold starts from its present "
            "weights. If they have been trained on these labels, wrong labels are "
            "hidden. Give the class (module=Net, module__...=...) to start anew."
        )


def _check_methods(net: NeuralNet) -> None:
    """Raise if the net computes its loss, or makes its steps, in a way of its own."""
    name = type(net).__name__
    known = (NeuralNet.get_loss, NeuralNetClassifier.get_loss)
    if type(net).get_loss not in known:
        raise ValueError(
            f"{name} overrides get_loss, so the loss of a single sample is unknown. "
            "Put the loss into a criterion with a `reduction` parameter."
        )
    training = ("train_step", "train_step_single", "run_single_epoch")
    for method in (*training, "get_iterator", "infer"):
        if getattr(type(net), method) is not getattr(NeuralNet, method):
            raise ValueError(
                f"{name} overrides {method}, so what a step of training does is "
                "unknown. Tracking needs skorch's own."
            )


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
        trial = clone(net).initialize()
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
                f"of X, {_described(batch)}: {error}"
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


def _described(batch: Any) -> str:
    if isinstance(batch, Tensor):
        return f"shape {tuple(batch.shape)} of {batch.dtype}"
    return ", ".join(f"{key}: {_described(values)}" for key, values in batch.items())
