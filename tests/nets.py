"""Small skorch nets and data that the tests of tracking and cleaning share."""

import numpy as np
import torch
from sklearn.datasets import load_iris
from sklearn.utils import check_random_state
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

N_ROWS, N_COLUMNS, N_LABELS = 45, 4, 3


class Linear(nn.Module):
    def __init__(self, n_outputs=N_LABELS):
        super().__init__()
        self.output = nn.Linear(N_COLUMNS, n_outputs)

    def forward(self, X):
        return self.output(X)


class Probabilities(Linear):
    """Ends in a softmax, as skorch expects it for NLLLoss."""

    def forward(self, X):
        return super().forward(X).softmax(dim=1)


class Mixed(nn.Module):
    """Running statistics and random numbers in one net."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(N_COLUMNS, 8),
            nn.BatchNorm1d(8),
            nn.Tanh(),
            nn.Dropout(0.3),
            nn.Linear(8, N_LABELS),
        )

    def forward(self, X):
        return self.layers(X)


class Convolution(nn.Module):
    """A small image net for samples of shape (1, 8, 8)."""

    def __init__(self, n_outputs=N_LABELS):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(36, n_outputs),
        )

    def forward(self, X):
        return self.layers(X)


class Sequence(nn.Module):
    """Reads features as a sequence: by attention, or by recurrent layers."""

    def __init__(self, kind="attention", dropout=0.0):
        super().__init__()
        self.embed, self.output = nn.Linear(1, 8), nn.Linear(8, N_LABELS)
        self.body = (
            nn.TransformerEncoderLayer(8, 2, 16, dropout, batch_first=True)
            if kind == "attention"
            else nn.LSTM(8, 8, num_layers=2, batch_first=True, dropout=dropout)
        )

    def forward(self, X):
        found = self.body(self.embed(X[..., None]))
        found = found[0] if isinstance(found, tuple) else found
        return self.output(found.mean(1))


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.output = nn.Linear(N_COLUMNS, N_LABELS)

    def forward(self, left, right):
        return self.output(torch.cat([left, right], dim=1))


def make_rows(n_rows=N_ROWS, seed=0):
    """Return three overlapping clouds: X float32 and class indices."""
    generator = np.random.RandomState(seed)
    y = np.arange(n_rows) % N_LABELS
    X = generator.randn(n_rows, N_COLUMNS) + 2 * np.eye(N_LABELS, N_COLUMNS)[y]
    return X.astype(np.float32), y


def make_cancelling_rows(n_classes, seed):
    """Return 60 rows of one class after another, with a column that hardly differs.

    From equal outputs for three classes, gradients of its weights cancel in a batch.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(60) % n_classes
    X = torch.randn(60, 3, generator=generator) + y[:, None]
    X[:, 2] = 1 + 1e-6 * torch.randn(60, generator=generator)
    return X, y


def make_net(module=Linear, **settings):
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "lr": 0.1,
        "max_epochs": 3,
        "batch_size": 16,
        "train_split": None,
        "verbose": 0,
    }
    return NeuralNetClassifier(module, **(defaults | settings))


def make_regressor(module=Linear, **settings):
    defaults = {
        "module__n_outputs": 1,
        "lr": 0.05,
        "max_epochs": 3,
        "batch_size": 16,
        "train_split": None,
        "verbose": 0,
    }
    return NeuralNetRegressor(module, **(defaults | settings))


def fit_plainly(net, X, y, random_state=0):
    """Fit a net as its user would, from the seed that `track` derives."""
    seed = check_random_state(random_state).randint(2**31)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return net.fit(X, y)


def load_mixed_iris():
    """Return iris with its classes in turns: nets here do not shuffle."""
    X, y = load_iris(return_X_y=True)
    order = np.arange(len(X)).reshape(N_LABELS, -1).T.ravel()
    return X[order], y[order]
