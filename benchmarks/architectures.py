"""How far first order reaches: by normalization, activation and optimizer.

Trains small networks under `track` on 256 images of fashion-MNIST (all ten classes,
14x14 pixels, five epochs, batches of 32), and correlates the influence of 30 samples
over the whole run, on the mean loss of 100 other images, with retraining without them.
"Exact" are derivatives of the first updates at a point, in place of those smoothed over
what leaving out a sample can do (`dit_clean.influence.smoothing`).

    OMP_NUM_THREADS=1 python benchmarks/architectures.py [--quick]
"""

import argparse
import warnings
from collections.abc import Callable
from unittest.mock import patch

import _data
import numpy as np
import torch
from _machine import machine, write_tables
from skorch import NeuralNetClassifier
from torch import nn

from dit_clean import track
from dit_clean.influence import smoothing
from dit_clean.queries import MeanLoss

N_TRAIN, N_VALIDATION, N_CHECKED, N_SEEDS = 256, 100, 30, 5
OPTIMIZERS = {
    "SGD": {"optimizer": torch.optim.SGD, "lr": 0.02, "optimizer__momentum": 0.9},
    "AdamW": {"optimizer": torch.optim.AdamW, "lr": 0.003},
    "RMSprop": {"optimizer": torch.optim.RMSprop, "lr": 0.001},
}
ACTIVATIONS = {"ReLU": nn.ReLU, "tanh": nn.Tanh}


def make_mlp(activation: type[nn.Module], *norm: nn.Module) -> nn.Module:
    first = nn.Linear(196, 64, bias=not norm)
    return nn.Sequential(first, *norm, activation(), nn.Linear(64, 10))


def make_cnn(activation: type[nn.Module], *norms: nn.Module) -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 14, 14))]
    for place, (n_in, n_out) in enumerate([(1, 8), (8, 16)]):
        layers.append(nn.Conv2d(n_in, n_out, 3, stride=2, padding=1))
        layers += [*norms[place : place + 1], activation()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))


NETS: dict[str, Callable[[type[nn.Module]], nn.Module]] = {
    "MLP": make_mlp,
    "MLP, `LayerNorm`": lambda act: make_mlp(act, nn.LayerNorm(64)),
    "MLP, `BatchNorm1d`": lambda act: make_mlp(act, nn.BatchNorm1d(64)),
    "CNN": make_cnn,
    "CNN, `GroupNorm`": lambda act: make_cnn(
        act, nn.GroupNorm(2, 8), nn.GroupNorm(4, 16)
    ),
    "CNN, `BatchNorm2d`": lambda act: make_cnn(
        act, nn.BatchNorm2d(8), nn.BatchNorm2d(16)
    ),
}


def correlations(data: _data.Data, net: str, activation: str, optimizer: str, seed):
    """Return Pearson correlations with retraining: smoothed, and exact."""
    rows = np.random.RandomState(seed).permutation(len(data.y))
    train, validation = rows[:N_TRAIN], rows[N_TRAIN : N_TRAIN + N_VALIDATION]
    torch.manual_seed(seed)
    model = NeuralNetClassifier(
        NETS[net](ACTIVATIONS[activation]),
        criterion=nn.CrossEntropyLoss,
        max_epochs=5,
        batch_size=32,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **OPTIMIZERS[optimizer],
    )
    run = track(model, data.X[train], data.y[train], random_state=seed)
    query = MeanLoss(data.X[validation], data.y[validation])
    truth = run.leave_one_out(query, range(N_CHECKED))
    found = [run.influence(query, "full")]
    with patch.object(smoothing, "N_FIRST", 0):
        found.append(run.influence(query, "full"))
    return [np.corrcoef(each[:N_CHECKED], truth)[0, 1] for each in found]


def table(n_seeds: int) -> str:
    """Return lowest, median and highest correlations over the seeds."""
    data = _data.fashion_mnist(None, size=14)
    lines = [
        "| network | activation | optimizer | lowest | median | highest "
        "| lowest, exact | median, exact |",
        "|---" * 8 + "|",
    ]
    for net in NETS:
        for activation in ACTIVATIONS:
            for optimizer in OPTIMIZERS:
                setting = net, activation, optimizer
                found = [correlations(data, *setting, seed) for seed in range(n_seeds)]
                smooth, exact = np.transpose(found)
                numbers = [smooth.min(), np.median(smooth), smooth.max()]
                numbers += [exact.min(), np.median(exact)]
                shown = [f"{number:.2f}" for number in numbers]
                lines.append("| " + " | ".join([*setting, *shown]) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    n_seeds = 1 if arguments.quick else N_SEEDS
    text = (
        f"Pearson correlation of influence with retraining, {N_CHECKED} samples, over "
        f"{n_seeds} seeds:"
    )
    parts = [text, table(n_seeds)]
    command = "OMP_NUM_THREADS=1 python benchmarks/architectures.py"
    write_tables("architectures", command, machine(), parts, keep=not arguments.quick)


if __name__ == "__main__":
    main()
