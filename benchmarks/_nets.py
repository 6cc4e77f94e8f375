"""The networks of the detection benchmark, and plain training that keeps outputs."""

from dataclasses import dataclass

import numpy as np
import torch
from _cells import Cell, Problem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNetClassifier
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from dit_clean.data.scalers import ColumnScaler
from dit_clean.tracking.default_net import make_default_net

BATCH_SIZE = 64
LR = {"mlp": 0.1, "cnn": 0.05}


class SmallCNN(nn.Sequential):
    """Two strided convolutions and a hidden layer, for rows of flattened images."""

    def __init__(self, image_shape: tuple[int, int, int], n_outputs: int):
        channels, height, width = image_shape
        super().__init__(
            nn.Unflatten(1, image_shape),
            nn.Conv2d(channels, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * -(-height // 4) * -(-width // 4), 64),
            nn.ReLU(),
            nn.Linear(64, n_outputs),
        )


def make_net(cell: Cell, problem: Problem, n_outputs: int | None = None):
    """Return the network of a cell as a skorch net: that of `InfluenceCleaner`."""
    data, n_outputs = problem.train, n_outputs or problem.n_classes
    settings = {
        "max_epochs": cell.n_epochs,
        "batch_size": BATCH_SIZE,
        "device": "cpu",
    }
    if not problem.uses_cnn:
        return make_default_net(
            data.n_features,
            n_outputs,
            is_classifier=True,
            hidden_layer_sizes=(100,),
            optimizer="sgd",
            lr=LR["mlp"],
            **settings,
        )
    return NeuralNetClassifier(
        SmallCNN,
        module__image_shape=data.image_shape,
        module__n_outputs=n_outputs,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=LR["cnn"],
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **settings,
    )


def make_scaled_net(cell: Cell, problem: Problem):
    """Return scaler and network in a pipeline: what `InfluenceCleaner` does inside."""
    scaler = FunctionTransformer() if problem.uses_cnn else ColumnScaler(squash=True)
    return make_pipeline(scaler, make_net(cell, problem))


@dataclass(frozen=True)
class PlainRun:
    """One training on all rows.

    Attributes
    ----------
    logits : Tensor of shape (n_epochs, n_samples, n_outputs)
        Outputs for all rows at each epoch's end.
    checkpoints : list of dict of str to Tensor
        Parameters at some epochs' ends.
    module : nn.Module
        The trained network.
    inputs : Tensor of shape (n_samples, n_features)
        Scaled inputs.
    lr : float
        Learning rate.
    """

    logits: Tensor
    checkpoints: list[dict[str, Tensor]]
    module: nn.Module
    inputs: Tensor
    lr: float


def train_plainly(
    cell: Cell,
    problem: Problem,
    labels: np.ndarray,
    *,
    n_outputs: int | None = None,
    n_checkpoints: int = 0,
) -> PlainRun:
    """Train the cell's network on all rows with plain SGD, in a plain torch loop."""
    torch.manual_seed(cell.seed)
    net = make_net(cell, problem, n_outputs).initialize()
    module, X, y = net.module_, problem.train.X, torch.as_tensor(labels)
    if not problem.uses_cnn:
        X = ColumnScaler(squash=True).fit_transform(X)
    X = torch.as_tensor(X)
    optimizer = torch.optim.SGD(module.parameters(), lr=net.lr)
    every = max(1, cell.n_epochs // n_checkpoints) if n_checkpoints else 0
    logits, checkpoints = [], []
    for epoch in range(cell.n_epochs):
        for batch in torch.randperm(len(y)).split(BATCH_SIZE):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(X[batch]), y[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            logits.append(module(X))
        if every and (epoch + 1) % every == 0:
            params = module.named_parameters()
            checkpoints.append({name: p.detach().clone() for name, p in params})
    return PlainRun(torch.stack(logits), checkpoints, module, X, net.lr)


def squared_gradients(run: PlainRun, labels: np.ndarray, chunk: int = 100) -> Tensor:
    """Return the sum over checkpoints of lr ||grad loss_i||^2, shape (n_samples,)."""

    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        output = functional_call(run.module, params, (x[None],))
        return nn.functional.cross_entropy(output, y[None])

    gradients = vmap(grad(loss), (None, 0, 0))
    y = torch.as_tensor(labels)
    total = torch.zeros(len(y))
    for params in run.checkpoints:
        for rows in torch.arange(len(y)).split(chunk):
            parts = gradients(params, run.inputs[rows], y[rows])
            squares = [part.flatten(1).square().sum(1) for part in parts.values()]
            total[rows] += run.lr * torch.stack(squares).sum(0)
    return total
