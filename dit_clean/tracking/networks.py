"""Nets that are given: which can be tracked."""

from collections.abc import Sequence
from typing import Any

from sklearn.base import clone
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import GradientNormClipping
from skorch.dataset import Dataset
from torch.utils.data import DataLoader

from dit_clean.tracking.loader import IndexedLoader

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
