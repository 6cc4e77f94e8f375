"""The default network for tables."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import Tensor, nn

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
