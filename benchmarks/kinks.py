"""Why influence and retraining part ways in well-trained ReLU networks.

Retrains the same network (newsgroups, one hidden layer, SGD with momentum, 20 epochs,
float64) with a part of single samples' loss terms left out, and correlates the change
of the validation loss with influence: over one middle epoch and over the whole run. If
the first-order theory and its code are right, small parts must agree, whatever the
activation; what whole samples then miss is finite size, or kinks that are crossed.
"""

import argparse

import _data
import numpy as np
import torch
from _machine import machine, write_tables
from torch import nn

from dit_clean.influence import MeanLoss, Steps, influence_scores
from dit_clean.tracking import StepRecorder, TrackedModel

N, N_EPOCHS, BATCH, MIDDLE = 256, 20, 32, 9
FRACTIONS = (1.0, 0.1, 0.001)


def train(activation, X, y, X_val, y_val, weight):
    """Return the trajectory, and the validation loss around epoch 9 and at the end."""
    torch.manual_seed(0)
    hidden = nn.Linear(X.shape[1], 32)
    module = nn.Sequential(hidden, activation(), nn.Linear(32, 2)).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    model = TrackedModel.of(module, nn.CrossEntropyLoss(), X, y)
    recorder = StepRecorder(model, module, optimizer)
    generator = torch.Generator().manual_seed(1)
    losses = []
    for epoch in range(N_EPOCHS):
        if epoch in (MIDDLE, MIDDLE + 1):
            losses.append(nn.functional.cross_entropy(module(X_val), y_val).item())
        for batch in torch.randperm(N, generator=generator).split(BATCH):
            with recorder.step(batch, epoch):
                optimizer.zero_grad()
                each = model.loss.each(module(X[batch]), y[batch])
                ((each * weight[batch]).sum() / len(batch)).backward()
                optimizer.step()
    recorder.snapshot()
    recorder.close()
    losses.append(nn.functional.cross_entropy(module(X_val), y_val).item())
    return recorder.trajectory, np.array(losses)


def correlations(activation, problem, every):
    """Return a table row for each window."""
    ones = torch.ones(N, dtype=torch.float64)
    trajectory, base = train(activation, *problem, ones)
    steps, query = N // BATCH, MeanLoss(*problem[2:])
    windows = {
        "middle epoch": Steps(MIDDLE * steps, (MIDDLE + 1) * steps),
        "whole run": Steps(0, N_EPOCHS * steps),
    }
    samples = range(0, N, every)
    changes = {name: [] for name in windows}
    for fraction in FRACTIONS:
        rows = []
        for sample in samples:
            weight = ones.clone()
            weight[sample] -= fraction
            change = train(activation, *problem, weight)[1] - base
            rows.append((change[1] - change[0], change[2]))
        for name, column in zip(windows, np.transpose(rows), strict=True):
            changes[name].append(column)
    for name, window in windows.items():
        scores = influence_scores(trajectory, query, window).values[0][list(samples)]
        found = [np.corrcoef(scores, change)[0, 1] for change in changes[name]]
        numbers = " | ".join(f"{value:.4f}" for value in found)
        yield f"| {activation.__name__} | {name} | {numbers} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples")
    arguments = parser.parse_args()
    data = _data.newsgroups()
    X = torch.as_tensor(np.asarray(data.X)[: 2 * N], dtype=torch.float64)
    y = torch.as_tensor(np.asarray(data.y)[: 2 * N]).long()
    problem = X[:N], y[:N], X[N:], y[N:]
    head = " | ".join(f"{fraction:g} of the loss" for fraction in FRACTIONS)
    lines = [f"| activation | window | {head} |", "|---|---|---|---|---|"]
    for activation in (nn.ReLU, nn.Tanh, nn.Softplus):
        lines += correlations(activation, problem, 64 if arguments.quick else 8)
    text = (
        'Pearson correlation of influence (history="full") with retraining, by the '
        "part of single samples' loss that is left out (training accuracy 1.0):"
    )
    table = "\n".join(lines)
    command = "OMP_NUM_THREADS=1 python benchmarks/kinks.py"
    write_tables("kinks", command, machine(), [text, table], keep=not arguments.quick)


if __name__ == "__main__":
    main()
