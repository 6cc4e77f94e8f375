"""The network that every fold of a cleaner trains a clone of."""

from collections.abc import Sequence
from inspect import signature
from itertools import pairwise
from typing import Any

import joblib
import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from torch.nn.utils.parametrize import is_parametrized

from dit_clean.data.targets import Targets
from dit_clean.tracking.default_net import make_default_net
from dit_clean.tracking.given_net import untrained
from dit_clean.tracking.layers import labeled
from dit_clean.warning import warn

DEFAULT_LR = {"sgd": 0.1, "adagrad": 0.01, "adadelta": 1.0}
"""Learning rates of the default network; 0.001 for all other optimizers."""
OF_DEFAULT_NET = ("max_epochs", "batch_size", "lr", "optimizer", "hidden_layer_sizes")
"""Parameters of a cleaner that a given net has by itself."""
GPU_WEIGHTS = 2**18
"""Weights of an MLP from which on a GPU takes its batches of 64 faster than a core of a
CPU does (docs/benchmarks.md); with 3,000 it takes twice as long."""


def make_prototype(cleaner: Any, n_features: int, targets: Targets) -> NeuralNet:
    """Return the network that the parameters of a cleaner ask for, not yet fitted.

    Parameters
    ----------
    cleaner : InfluenceCleaner
        Its parameters are read.
    n_features : int
        Inputs of the default network.
    targets : Targets
        What it is to learn.

    Raises
    ------
    ValueError
        If torch has no such device here.
    """
    if cleaner.net is not None:
        device = available_device(cleaner.device, cleaner.net.device)
        return clone(cleaner.net).set_params(device=device, verbose=0)
    hidden = np.atleast_1d(cleaner.hidden_layer_sizes).tolist()
    sizes = [n_features, *hidden, targets.n_outputs]
    device = available_device(cleaner.device, fast_device(sizes))
    automatic = cleaner.lr == "auto"
    lr = DEFAULT_LR.get(cleaner.optimizer, 0.001) if automatic else cleaner.lr
    return make_default_net(
        n_features,
        targets.n_outputs,
        is_classifier=targets.is_classifier,
        hidden_layer_sizes=hidden,
        optimizer=cleaner.optimizer,
        max_epochs=cleaner.max_epochs,
        batch_size=cleaner.batch_size,
        lr=lr,
        device=device,
    )


def network_dtype(net: NeuralNet) -> torch.dtype:
    """Return the precision that a net computes in; it is not touched."""
    return next(untrained(net).module_.parameters(), torch.empty(0)).dtype


def warn_of_unread(cleaner: Any) -> None:
    """Warn of parameters that mean nothing, since a net is given beside them."""
    defaults = signature(type(cleaner)).parameters
    unread = [
        f"{name}={value!r}"
        for name in OF_DEFAULT_NET
        if name in defaults
        and not np.array_equal(value := getattr(cleaner, name), defaults[name].default)
    ]
    if unread:
        warn(
            f"{', '.join(unread)}: not read, for these are the default network's and a "
            "net is given. Set the net's own (max_epochs, batch_size, lr, optimizer)."
        )


def how_to_train_more(cleaner: Any) -> str:
    """Return what to raise, in the words of the net's or the cleaner's parameters."""
    if cleaner.net is not None:
        return "Raise max_epochs or lr of the net, or lower its batch_size."
    tried = " (higher ones have been tried)" if cleaner.lr == "auto" else ""
    return f"Raise max_epochs or lr{tried}, or lower batch_size."


def check_no_sampler(net: NeuralNet) -> None:
    """Raise if a net chooses its rows by their place in X: folds have other places."""
    if net.get_params(deep=False).get("iterator_train__sampler") is not None:
        raise ValueError(
            "iterator_train__sampler names rows of the whole X, but each network of a "
            "cleaner trains on a part of them, counted anew. Leave it out, and give "
            "fit a sample_weight for rows that are to count more; dit_clean.track, "
            "which trains one network on all rows, takes samplers."
        )


def check_can_be_sent(net: NeuralNet, n_jobs: int | None) -> None:
    """Raise if networks are trained in other processes and torch cannot pickle them.

    Parameters
    ----------
    net : NeuralNet
        Not touched.
    n_jobs : int or None
        Networks trained at the same time.

    Raises
    ------
    ValueError
        Names the layer.
    """
    layer = "" if joblib.effective_n_jobs(n_jobs) == 1 else _parametrized_layer(net)
    if layer:
        raise ValueError(
            f"{layer} is parametrized (weight_norm, spectral_norm), which torch cannot "
            f"pickle, as n_jobs={n_jobs} needs it. Leave n_jobs out, or compute the "
            "weight in the layer's own forward."
        )


def can_be_kept(net: NeuralNet) -> bool:
    """Tell whether torch can pickle trained networks, so that `memory` keeps them.

    Parameters
    ----------
    net : NeuralNet
        Not touched.

    Warns
    -----
    UserWarning
        If it cannot: names the layer, and what is not kept.
    """
    layer = _parametrized_layer(net)
    if layer:
        warn(
            "memory= keeps what the networks have shown, but not the networks: "
            f"{layer} is parametrized (weight_norm, spectral_norm), which torch cannot "
            "pickle. Later fits decide without training, and questions about influence "
            "then train again. To keep the networks, compute the weight in the layer's "
            "own forward."
        )
    return not layer


def _parametrized_layer(net: NeuralNet) -> str:
    """Return what errors call the first parametrized layer of a net, "" without one."""
    layers = untrained(net).module_.named_modules()
    found = (labeled(name, layer) for name, layer in layers if is_parametrized(layer))
    return next(found, "")


def fast_device(sizes: Sequence[int]) -> str:
    """Return the device that trains an MLP with layers of these sizes faster.

    A GPU, where there is one, if the layers have `GPU_WEIGHTS` or more.
    """
    n_weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    use_gpu = n_weights >= GPU_WEIGHTS and torch.cuda.is_available()
    return "cuda" if use_gpu else "cpu"


def available_device(device: Any, default: Any) -> Any:
    """Return the device to train on.

    Parameters
    ----------
    device : str or torch.device
        "auto" is the default.
    default : str or torch.device
        Device that is known to be there.

    Raises
    ------
    ValueError
        If torch has no such device here.
    """
    if device == "auto":
        return default
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise ValueError(
            f"device={str(device)!r}, but torch has no such device here: {reason}. "
            "Use device='auto' or device='cpu'."
        ) from error
    return device
