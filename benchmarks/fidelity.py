"""How well influence predicts retraining without a sample, for every sample.

For each cell (data, network, optimizer, seed) a network is trained under `track`;
`run.influence` is compared with leave-one-out retraining of all 256 samples on the
same batches. Settings are the libraries' defaults and the same everywhere: batches of
32 (or --batch-size), 20 epochs, lr 0.01 (skorch's default) for SGD with and without
momentum 0.9, lr 0.001 (torch's default) for Adam; numbers standardized, images and
TF-IDF standardized as a whole. Digits have ten classes, the other data two; CIFAR-10 is
averaged down to 16x16 pixels, fashion-MNIST to 14x14. Tables and text have no CNN.

    OMP_NUM_THREADS=1 python benchmarks/fidelity.py [--quick]

Columns: "10 %" is the first decile of Pearson, "without top 3" leaves out the three
largest changes, "corrected" is Pearson of an estimate with the removed sample's own
curvature, the finite update and the finite change of the query, which costs as much as
retraining (first seed; tables, text and digits; sample gone from step 0).

Finished cells are kept in outputs/fidelity.csv: call it again to go on.
"""

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _data import ROOT, Data, load_available, split
from _machine import machine, write_tables
from _retraining import changes, retrain_without
from scipy import stats
from skorch import NeuralNetClassifier
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence import Steps, Window
from dit_clean.queries import MeanLoss

DATA = ("adult", "newsgroups", "digits", "cifar10", "fashion_mnist")
LEARNED = 0.8
CORRECTED = ("adult", "newsgroups", "digits")
OPTIONS = {"digits": {"classes": None}, "fashion_mnist": {"size": 14}}
N_TRAIN, N_VALIDATION, N_EPOCHS, N_CHECKED = 256, 256, 20, 3
TARGETS = {"convex": 0.99, "non-convex": 0.97}
OPTIMIZERS = {
    "sgd": {"optimizer": torch.optim.SGD, "lr": 0.01},
    "momentum": {
        "optimizer": torch.optim.SGD,
        "lr": 0.01,
        "optimizer__momentum": 0.9,
    },
    "adam": {"optimizer": torch.optim.Adam, "lr": 0.001},
}
WINDOWS = {"full": (0, 20), "first": (0, 1), "middle": (10, 11), "last": (19, 20)}


@dataclass(frozen=True)
class Cell:
    """One training run."""

    data: str
    net: str
    optimizer: str
    seed: int


def make_logistic(data: Data) -> nn.Module:
    return nn.Linear(data.n_features, data.n_classes)


def make_mlp(data: Data) -> nn.Module:
    return nn.Sequential(
        nn.Linear(data.n_features, 32), nn.ReLU(), nn.Linear(32, data.n_classes)
    )


def make_cnn(data: Data) -> nn.Module:
    body = nn.Sequential(
        nn.Unflatten(1, data.image_shape),
        nn.Conv2d(data.image_shape[0], 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
    )
    n_hidden = body(torch.zeros(1, data.n_features)).shape[1]
    return nn.Sequential(*body, nn.Linear(n_hidden, data.n_classes))


NETS = {"logistic": make_logistic, "mlp": make_mlp, "cnn": make_cnn}


def train(
    cell: Cell, data: Data, batch_size: int
) -> tuple[TrackedRun, MeanLoss, tuple[float, float]]:
    """Return the tracked run, the query, and accuracies in and out of sample."""
    rows, validation = split(data, N_TRAIN, N_VALIDATION, cell.seed)
    torch.manual_seed(cell.seed)
    net = NeuralNetClassifier(
        NETS[cell.net](data),
        criterion=nn.CrossEntropyLoss,
        max_epochs=N_EPOCHS,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **OPTIMIZERS[cell.optimizer],
    )
    run = track(net, rows.X, rows.y, record="all", random_state=cell.seed)
    right = [(run.net_.predict(part.X) == part.y).mean() for part in (rows, validation)]
    return run, MeanLoss(validation.X, validation.y), tuple(right)


def retrained(
    run: TrackedRun,
    query: MeanLoss,
    histories: Sequence[str] = ("full", "window"),
    **options: float,
) -> dict[tuple[str, str], np.ndarray]:
    """Return each (window, history)'s changes by retraining, (n_samples,) each."""
    trajectory, everyone = run.trajectory, range(N_TRAIN)
    windows = {
        name: Window(*bounds).in_steps(trajectory) for name, bounds in WINDOWS.items()
    }
    whole = windows["full"]
    points = sorted({t for w in windows.values() for t in (w.start, w.stop)})
    states = retrain_without(trajectory, everyone, whole, points, **options)
    change = {t: changes(trajectory, query, theta) for t, theta in states.items()}
    found = {
        (name, "full"): change[w.stop] - change[w.start] for name, w in windows.items()
    }
    for name, window in windows.items():
        if "window" not in histories or window.start == 0:  # then both are the same
            continue
        states = retrain_without(trajectory, everyone, window, [window.stop], **options)
        found[name, "window"] = changes(trajectory, query, states[window.stop])
    return found


def measure(
    cell: Cell, data: Data, batch_size: int, *, corrected: bool
) -> Iterator[dict]:
    """Yield one row for each window and history."""
    run, query, (inside, outside) = train(cell, data, batch_size)
    start = time.perf_counter()
    truth = retrained(run, query)
    seconds = time.perf_counter() - start
    better = retrained(run, query, ["full"], linearized=True) if corrected else {}
    checked = list(range(N_CHECKED))
    oracle = run.leave_one_out(query, checked)
    error = np.abs(oracle - truth["full", "full"][checked]).max()
    for (window, history), change in truth.items():
        start = time.perf_counter()
        score = run.influence(query, WINDOWS[window], history)
        elapsed = time.perf_counter() - start
        yield {
            **vars(cell),
            "window": window,
            "history": history,
            "pearson": stats.pearsonr(score, change)[0],
            "spearman": stats.spearmanr(score, change)[0],
            "kendall": stats.kendalltau(score, change)[0],
            "slope": np.polyfit(score, change, 1)[0],
            "without_top3": _without_top(score, change),
            "corrected": _pearson(better.get((window, history)), change),
            "accuracy": inside,
            "validation_accuracy": outside,
            "oracle_error": error / truth["full", "full"].std(),
            "influence_seconds": elapsed,
            "retraining_seconds": seconds,
        }


def explain(rows: pd.DataFrame, datasets: dict[str, Data], args) -> str:
    """Return why the worst cell of each kind is bad: how small a removal it takes."""
    lines = [
        "The worst cells again, with only a part of the sample's loss left out "
        "(Pearson), and what leaving it out does to the sample itself:",
        "",
        "| kind | data | net | optimizer | seed | window | all | 1/3 | 1/10 "
        "| own loss with it (median) | without it (median) |",
        "|---" * 11 + "|",
    ]
    rows = rows[rows["data"].isin(list(datasets))]
    for kind, part in _with_kind(rows).groupby("kind"):
        row = part.loc[part["pearson"].idxmin()]
        cell = Cell(row["data"], row["net"], row["optimizer"], int(row["seed"]))
        found = _partial_removals(cell, datasets[cell.data], row, args.batch_size)
        shown = [*vars(cell).values(), f"{row['window']} ({row['history']})", *found]
        lines.append(f"| {kind} | " + " | ".join(map(str, shown)) + " |")
    return "\n".join(lines)


def _partial_removals(cell: Cell, data: Data, row, batch_size: int) -> list[str]:
    run, query, _ = train(cell, data, batch_size)
    score = run.influence(query, WINDOWS[row["window"]], row["history"])
    found = []
    for fraction in (1.0, 1 / 3, 0.1):
        truth = retrained(run, query, [row["history"]], fraction=fraction)
        found.append(_pearson(score, truth[row["window"], row["history"]]))
    return [f"{value:.3f}" for value in [*found, *_own_losses(run)]]


def _own_losses(run: TrackedRun) -> tuple[float, float]:
    """Return the median loss of a sample under the run with it, and without it."""
    trajectory = run.trajectory
    whole, end = Steps(0, trajectory.n_steps), trajectory.n_steps
    states = retrain_without(trajectory, range(N_TRAIN), whole, [end])[end]
    model, layout = trajectory.model, trajectory.layout

    def own_loss(theta: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        X, y = model.inputs[i][None], model.targets[i][None]
        return model.losses(layout.unflatten(theta), X, y)[0]

    with torch.no_grad():
        everyone = torch.arange(N_TRAIN)
        without = torch.func.vmap(own_loss)(states[:-1], everyone)
        same = states[-1:].expand(N_TRAIN, -1)
        given = torch.func.vmap(own_loss, chunk_size=64)(same, everyone)
    return float(given.median()), float(without.median())


def _pearson(score: np.ndarray | None, change: np.ndarray) -> float:
    return np.nan if score is None else stats.pearsonr(score, change)[0]


def _without_top(score: np.ndarray, change: np.ndarray) -> float:
    """Return the Pearson correlation without the three largest changes."""
    kept = np.argsort(np.abs(change))[:-3]
    return stats.pearsonr(score[kept], change[kept])[0]


def cells_of(datasets: dict[str, Data], n_seeds: int) -> list[Cell]:
    """Return all cells, seed by seed, in an order that mixes the rest."""
    kinds = [
        (data, net, optimizer)
        for data in datasets
        for net in NETS
        for optimizer in OPTIMIZERS
        if net != "cnn" or datasets[data].image_shape
    ]
    order = np.random.RandomState(0).permutation(len(kinds))
    return [Cell(*kinds[i], seed) for seed in range(n_seeds) for i in order]


def fill(output: Path, datasets: dict[str, Data], args: argparse.Namespace) -> None:
    """Append the rows of all cells that are not in `output` yet."""
    done = set()
    if output.exists():
        keys = pd.read_csv(output)[["data", "net", "optimizer", "seed"]]
        done = set(keys.itertuples(index=False, name=None))
    output.parent.mkdir(exist_ok=True)
    for cell in cells_of(datasets, args.seeds):
        if tuple(vars(cell).values()) in done:
            continue
        corrected = cell.seed < args.corrected_seeds and cell.data in CORRECTED
        data = datasets[cell.data]
        rows = list(measure(cell, data, args.batch_size, corrected=corrected))
        new = not output.exists()
        with output.open("a", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            if new:
                writer.writeheader()
            writer.writerows(rows)


def tables(rows: pd.DataFrame) -> list[str]:
    """Return the Markdown of all tables."""
    rows = _with_kind(rows)
    rows["window"] += " (" + rows["history"] + ")"
    return [
        _targets(rows),
        _by(rows, ["net", "optimizer"]),
        _by(rows, ["net", "window"]),
        _by(rows, ["data", "net"]),
        _worst(rows),
        _costs(rows),
    ]


def _with_kind(rows: pd.DataFrame) -> pd.DataFrame:
    kind = np.where(rows["net"] == "logistic", "convex", "non-convex")
    return rows.assign(kind=kind)


def _targets(rows: pd.DataFrame) -> str:
    rows = rows.assign(learned=rows["accuracy"] >= LEARNED)
    lines = [
        "| cells | n | median Pearson | target | met | sample gone from step 0 "
        f"| gone in the window | training accuracy {LEARNED:g} or more |",
        "|---" * 8 + "|",
    ]
    for kind, target in TARGETS.items():
        part = rows[rows["kind"] == kind]
        median = part["pearson"].median()
        by_history = part.groupby("history")["pearson"].median()
        learned = part.loc[part["learned"], "pearson"].median()
        lines.append(
            f"| {kind} | {len(part)} | {median:.4f} | {target} "
            f"| {'yes' if median >= target else 'NO'} | {by_history['full']:.4f} "
            f"| {by_history['window']:.4f} | {learned:.4f} |"
        )
    return "\n".join(lines)


def _by(rows: pd.DataFrame, keys: list[str]) -> str:
    """Return medians over everything but `keys`."""
    head = [*keys, "cells", "Pearson", "10 %", "worst", "Spearman", "Kendall"]
    head += ["without top 3", "corrected", "acc.", "val. acc."]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for names, part in rows.groupby(keys, sort=False):
        numbers = [
            part["pearson"].median(),
            part["pearson"].quantile(0.1),
            part["pearson"].min(),
            part["spearman"].median(),
            part["kendall"].median(),
            part["without_top3"].median(),
            part["corrected"].median(),
            part["accuracy"].median(),
            part["validation_accuracy"].median(),
        ]
        shown = [f"{number:.3f}" for number in numbers]
        lines.append("| " + " | ".join([*names, str(len(part)), *shown]) + " |")
    return "\n".join(lines)


def _worst(rows: pd.DataFrame) -> str:
    """Return the worst cells of each kind, and the worst ones explained."""
    lines = [
        "| kind | data | net | optimizer | seed | window | Pearson | slope "
        "| without top 3 | corrected | acc. |",
        "|---" * 11 + "|",
    ]
    for kind, part in rows.groupby("kind"):
        for row in part.nsmallest(3, "pearson").itertuples():
            lines.append(
                f"| {kind} | {row.data} | {row.net} | {row.optimizer} | {row.seed} "
                f"| {row.window} | {row.pearson:.3f} | {row.slope:.2f} "
                f"| {row.without_top3:.3f} | {row.corrected:.3f} "
                f"| {row.accuracy:.3f} |"
            )
    return "\n".join(lines)


def _costs(rows: pd.DataFrame) -> str:
    return (
        f"Largest difference from `run.leave_one_out` on {N_CHECKED} samples a cell, "
        "in standard deviations of the changes: "
        f"median {rows['oracle_error'].median():.1e}, "
        f"largest {rows['oracle_error'].max():.1e}. "
        f"Seconds a run: influence {rows['influence_seconds'].median():.2f}, "
        f"batched retraining {rows['retraining_seconds'].median():.1f} (medians)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed, two data sets")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--corrected-seeds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--report", action="store_true", help="print what is there")
    args = parser.parse_args()
    name, names = "fidelity", DATA
    if args.batch_size != 32:
        name += f"_batch{args.batch_size}"
    if args.quick:
        args.seeds, args.corrected_seeds, names = 1, 0, ("adult", "digits")
        name += "_quick"
    output = ROOT / "outputs" / f"{name}.csv"
    torch.set_num_threads(1)
    datasets = {data.name: data for data in load_available(names, **OPTIONS)}
    if not args.report:
        fill(output, datasets, args)
    command = "OMP_NUM_THREADS=1 python benchmarks/fidelity.py"
    command += " --quick" if args.quick else ""
    command += f" --batch-size {args.batch_size}" if args.batch_size != 32 else ""
    rows = pd.read_csv(output)
    parts = tables(rows)
    if not args.quick:
        parts.append(explain(rows, datasets, args))
    write_tables(name, command, machine(), parts, keep=not args.quick)


if __name__ == "__main__":
    main()
