"""The network that every fold of a cleaner trains a clone of."""

from typing import Any

import torch
from sklearn.base import clone
from skorch import NeuralNet

from dit_clean.targets import Targets
from dit_clean.tracking.networks import make_default_net

DEFAULT_LR = {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}


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
    device = available_device(cleaner.device, cleaner.net)
    if cleaner.net is not None:
        return clone(cleaner.net).set_params(device=device, verbose=0)
    lr = DEFAULT_LR[cleaner.optimizer] if cleaner.lr == "auto" else cleaner.lr
    return make_default_net(
        n_features,
        targets.n_outputs,
        is_classifier=targets.is_classifier,
        hidden_layer_sizes=cleaner.hidden_layer_sizes,
        optimizer=cleaner.optimizer,
        max_epochs=cleaner.max_epochs,
        batch_size=cleaner.batch_size,
        lr=lr,
        device=device,
    )


def available_device(device: Any, net: NeuralNet | None = None) -> Any:
    """Return the device to train on.

    Parameters
    ----------
    device : str or torch.device
        "auto" is the given net's, and without a net a GPU where there is one.
    net : NeuralNet, optional
        The given net.

    Raises
    ------
    ValueError
        If torch has no such device here.
    """
    if device == "auto" and net is not None:
        return net.device
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={str(device)!r}, but torch has no such device here: "
            f"{str(error).splitlines()[0]} Use device='auto' or device='cpu'."
        ) from error
    return device
