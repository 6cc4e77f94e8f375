"""What tracking and influence cost, each against a named alternative.

(a) a step of the reverse pass / a plain training step of the same net and batch, over
    64 steps, the first two of which cost eight gradients more with Adam;
(b) a loop over per-sample gradients, as in the published research code / the same
    step of the reverse pass;
(c) `track` / the same skorch net trained plainly with skorch's default loader;
(d) a plain torch loop under `StepRecorder` / the same loop without it;
(e) the same, and the state of every step kept, however large;
(f) the influence of a run whose larger states were not all kept / of one whose were;
and the bytes that stores of training states hold.

A and B alternate within one process, and times are CPU seconds of that process, all
its threads and the system calls included, so that other load on the machine does not
enter: ratios are of neighboring runs, given as minimum, median and maximum over the
repeats. --wall measures elapsed time instead.

    OMP_NUM_THREADS=1 python benchmarks/speed.py [--quick]

Finished rows are kept in outputs/speed.csv: call it again to go on.
"""

import argparse
import csv
import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from _data import ROOT
from _machine import machine, write_tables
from skorch import NeuralNetClassifier
from torch import Tensor, nn

from dit_clean import track
from dit_clean.influence import MeanLoss
from dit_clean.influence.adjoint import sweep_back
from dit_clean.runs.track import fit_tracked
from dit_clean.tracking import StateStore, StepRecorder, TrackedModel, Trajectory
from dit_clean.tracking.exclusive import one_thread_at_a_time

OUTPUT = ROOT / "outputs" / "speed.csv"
CLOCK = time.perf_counter if "--wall" in sys.argv else time.process_time
N_ROWS, N_STEPS = 2048, 64
N_EPOCHS = 10  # as many as a skorch net trains by default
TARGETS = {"reverse": 3.0, "loop": 5.0, "track": 1.0, "record": 1.1}
TITLES = {
    "reverse": "(a) a step of the reverse pass / a plain training step",
    "loop": "(b) a loop over per-sample gradients / the reverse pass (SGD)",
    "track": f"(c) `track` / plain skorch, default loader ({N_EPOCHS} epochs)",
    "record": f"(d) a plain loop under `StepRecorder` / without it ({N_EPOCHS} epochs)",
    "record all": "(e) the same, and the state of every step kept / without it",
    "replay": '(f) `run.influence` after `track(record="auto")` / after "all"',
}


def make_mlp(*sizes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def make_cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(1568, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


class OwnMLP(nn.Module):
    """A module of one's own, as most loops train: whether it draws cannot be known."""

    def __init__(self, n_in: int, n_hidden: int, n_out: int):
        super().__init__()
        self.hidden, self.out = nn.Linear(n_in, n_hidden), nn.Linear(n_hidden, n_out)

    def forward(self, X: Tensor) -> Tensor:
        return self.out(torch.relu(self.hidden(X)))


# name: (constructor, features, classes)
NETS = {
    "MLP 100-64-2": (lambda: make_mlp(100, 64, 2), 100, 2),
    "MLP 100-100-2": (lambda: make_mlp(100, 100, 2), 100, 2),
    "own class 100-100-2": (lambda: OwnMLP(100, 100, 2), 100, 2),
    "MLP 784-64-10": (lambda: make_mlp(784, 64, 10), 784, 10),
    "own class 784-64-10": (lambda: OwnMLP(784, 64, 10), 784, 10),
    "MLP 784-256-256-10": (lambda: make_mlp(784, 256, 256, 10), 784, 10),
    "CNN": (make_cnn, 784, 10),
}
TIMED = ("MLP 100-64-2", "MLP 784-256-256-10", "CNN")
RECORDED = (
    "MLP 100-100-2",
    "own class 100-100-2",
    "MLP 784-64-10",
    "own class 784-64-10",
    "CNN",
    "MLP 784-256-256-10",
)
BATCHES = (64, 256)
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.01}),
    "momentum": (torch.optim.SGD, {"lr": 0.01, "momentum": 0.9}),
    "adam": (torch.optim.Adam, {"lr": 0.001}),
}


class Problem:
    """A network, random data for it, and a plain training loop."""

    def __init__(
        self, net: str, batch_size: int, optimizer: str, n_steps: int = N_STEPS
    ):
        make, n_features, n_classes = NETS[net]
        torch.manual_seed(0)
        self.module, self.criterion = make(), nn.CrossEntropyLoss()
        self.X, self.y = torch.randn(N_ROWS, n_features), torch.arange(N_ROWS)
        self.y %= n_classes
        optimizer_type, settings = OPTIMIZERS[optimizer]
        self.optimizer = optimizer_type(self.module.parameters(), **settings)
        n_draws = -(-n_steps * batch_size // N_ROWS)
        order = torch.cat([torch.randperm(N_ROWS) for _ in range(n_draws)])
        self.batches = order.split(batch_size)[:n_steps]
        self.model = TrackedModel.of(self.module, self.criterion, self.X, self.y)

    def step(self, batch: Tensor) -> None:
        self.optimizer.zero_grad()
        self.criterion(self.module(self.X[batch]), self.y[batch]).backward()
        self.optimizer.step()

    def train(self) -> None:
        for batch in self.batches:
            self.step(batch)

    def make_recorder(self, store: StateStore | None = None) -> StepRecorder:
        return StepRecorder(self.model, self.module, self.optimizer, store)

    def train_under(self, recorder: StepRecorder) -> Trajectory:
        for batch in self.batches:
            with recorder.step(batch, 0):
                self.step(batch)
        recorder.snapshot()
        recorder.close()
        return recorder.trajectory

    def train_recorded(self) -> Trajectory:
        return self.train_under(self.make_recorder(StateStore()))


@one_thread_at_a_time  # as all questions are
def sweep(trajectory: Trajectory, gradient: Tensor) -> Tensor:
    """Return every sample's score by the reverse pass over all recorded steps."""
    scores = torch.zeros(trajectory.model.n_samples)
    lanes = {trajectory.n_steps: 0}
    for record, found in sweep_back(trajectory, lambda _: gradient, lanes, 0):
        scores.index_add_(0, record.sample_indices, found[0, 0])
    return scores


def loop_over_samples(trajectory: Trajectory, gradient: Tensor) -> Tensor:
    """Return the same scores for SGD as published code does: sample by sample.

    One backward pass for each sample of a batch and the dot product with u, then a
    Hessian product of the batch loss for u <- u - lr H u.
    """
    model, layout = trajectory.model, trajectory.layout
    criterion, module = nn.CrossEntropyLoss(), model.module
    parameters = [dict(module.named_parameters())[name] for name in layout.names]
    u = [part[0].clone() for part in layout.unflatten(gradient).values()]
    scores = torch.zeros(model.n_samples)
    for record, state in trajectory.iterate_back(0, trajectory.n_steps):
        values = layout.unflatten(state.params).values()
        with torch.no_grad():
            for parameter, value in zip(parameters, values, strict=True):
                parameter.copy_(value)
        X, y = model.batch(record.sample_indices)
        for i, row in enumerate(record.sample_indices.tolist()):
            loss = criterion(module(X[i : i + 1]), y[i : i + 1])
            grads = torch.autograd.grad(loss, parameters)
            dot = sum((a * b).sum() for a, b in zip(u, grads, strict=True))
            scores[row] += record.learning_rate / len(y) * dot
        loss = criterion(module(X), y)
        grads = torch.autograd.grad(loss, parameters, create_graph=True)
        dot = sum((a * b).sum() for a, b in zip(u, grads, strict=True))
        products = torch.autograd.grad(dot, parameters)
        pairs = zip(u, products, strict=True)
        u = [a - record.learning_rate * b for a, b in pairs]
    return scores


def _n_training_steps(batch_size: int) -> int:
    return N_EPOCHS * -(-N_ROWS // batch_size)


def compare(
    first: Callable[[Any], object],
    second: Callable[[], object],
    n_repeats: int,
    prepare: Callable[[], Any] = lambda: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds of ``first(prepare())`` and ``second()``, run in turns.

    One warm-up, and the order alternates; `prepare` is not timed.
    """
    seconds = np.empty((2, n_repeats))
    for repeat in range(-1, n_repeats):
        prepared = prepare()
        turns = [(0, partial(first, prepared)), (1, second)]
        for which, function in turns if repeat % 2 else turns[::-1]:
            gc.collect()
            start = CLOCK()
            function()
            seconds[which, repeat] = CLOCK() - start
    return seconds[0], seconds[1]


def measure_reverse(net: str, batch_size: int, optimizer: str, n_repeats: int):
    problem = Problem(net, batch_size, optimizer)
    trajectory = problem.train_recorded()
    gradient = torch.randn(1, trajectory.layout.n_params)
    return compare(lambda _: sweep(trajectory, gradient), problem.train, n_repeats)


def measure_loop(net: str, batch_size: int, optimizer: str, n_repeats: int):
    trajectory = Problem(net, batch_size, optimizer).train_recorded()
    gradient = torch.randn(1, trajectory.layout.n_params)
    found = [run(trajectory, gradient) for run in (loop_over_samples, sweep)]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-6)
    return compare(
        lambda _: loop_over_samples(trajectory, gradient),
        lambda: sweep(trajectory, gradient),
        max(3, n_repeats // 5),
    )


def make_skorch_net(net: str, batch_size: int, optimizer: str) -> NeuralNetClassifier:
    optimizer_type, settings = OPTIMIZERS[optimizer]
    return NeuralNetClassifier(
        NETS[net][0](),
        criterion=nn.CrossEntropyLoss,
        optimizer=optimizer_type,
        max_epochs=N_EPOCHS,
        batch_size=batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        lr=settings["lr"],
        **{f"optimizer__{k}": v for k, v in settings.items() if k != "lr"},
    )


def measure_track(net: str, batch_size: int, optimizer: str, n_repeats: int):
    problem = Problem(net, batch_size, optimizer)
    X, y = problem.X.numpy(), problem.y.numpy()
    model = make_skorch_net(net, batch_size, optimizer)
    return compare(
        lambda _: track(model, X, y, random_state=0),
        lambda: model.fit(X, y),
        max(9, n_repeats // 2),
    )


def measure_record(
    net: str, batch_size: int, optimizer: str, n_repeats: int, *, keep_all: bool = False
):
    # Two of the same: a recorder sees all updates of its optimizer.
    recorded, plain = (
        Problem(net, batch_size, optimizer, _n_training_steps(batch_size))
        for _ in range(2)
    )
    return compare(
        recorded.train_under,
        plain.train,
        max(15, n_repeats),
        prepare=lambda: recorded.make_recorder(StateStore() if keep_all else None),
    )


def measure_replay(net: str, batch_size: int, optimizer: str, n_repeats: int):
    problem = Problem(net, batch_size, optimizer)
    X, y = problem.X.numpy(), problem.y.numpy()
    model = make_skorch_net(net, batch_size, optimizer).set_params(max_epochs=2)
    some, everything = (
        track(model, X, y, record=record, random_state=0) for record in ("auto", "all")
    )
    query = MeanLoss(X[:256], y[:256])
    return compare(
        lambda _: some.influence(query),
        lambda: everything.influence(query),
        max(3, n_repeats // 3),
    )


MEASURES = {
    "reverse": (measure_reverse, TIMED, tuple(OPTIMIZERS)),
    "loop": (measure_loop, TIMED[:2], ("sgd",)),
    "track": (measure_track, TIMED, ("sgd", "adam")),
    "record": (measure_record, RECORDED, tuple(OPTIMIZERS)),
    "record all": (partial(measure_record, keep_all=True), RECORDED, ("sgd", "adam")),
    "replay": (measure_replay, TIMED[1:], ("adam",)),
}


def settings_of(quick: bool) -> Iterator[tuple[str, str, int, str]]:
    for name, (_, nets, optimizers) in MEASURES.items():
        for net in nets:
            for batch_size in BATCHES[:1] if quick else BATCHES:
                for optimizer in optimizers[:1] if quick else optimizers:
                    yield name, net, batch_size, optimizer


def fill(output: Path, n_repeats: int, quick: bool) -> None:
    """Append the rows that are not in `output` yet."""
    done = set()
    if output.exists():
        keys = pd.read_csv(output)[["measure", "net", "batch", "optimizer"]]
        done = set(keys.itertuples(index=False, name=None))
    output.parent.mkdir(exist_ok=True)
    for key in settings_of(quick):
        if key in done:
            continue
        name, net, batch_size, optimizer = key
        first, second = MEASURES[name][0](net, batch_size, optimizer, n_repeats)
        row = dict(zip(("measure", "net", "batch", "optimizer"), key, strict=True))
        row |= _summary(name, batch_size, first, second)
        _append(output, row)


def _summary(name: str, batch_size: int, first: np.ndarray, second: np.ndarray):
    training = _n_training_steps(batch_size)
    n_steps = {
        "record": training,
        "record all": training,
        "track": training,
        "replay": 2 * training // N_EPOCHS,
    }.get(name, N_STEPS)
    ratio = first / second
    return {
        "first_ms": 1e3 * np.median(first) / n_steps,
        "second_ms": 1e3 * np.median(second) / n_steps,
        "min": ratio.min(),
        "median": np.median(ratio),
        "max": ratio.max(),
        "repeats": len(ratio),
    }


def _append(output: Path, row: dict) -> None:
    new = not output.exists()
    with output.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def table(rows: pd.DataFrame, name: str) -> str:
    """Return the Markdown of one measure."""
    target, rows = TARGETS.get(name), rows[rows["measure"] == name]
    met, goal = pd.Series(True, rows.index), "no target"
    if target is not None:
        is_gain = name == "loop"
        met = rows["median"] >= target if is_gain else rows["median"] <= target
        sign = ">=" if is_gain else "<="
        goal = f"target {sign} {target:g}: met in {met.sum()} of {len(rows)}"
    words = {True: "-" if target is None else "yes", False: "NO"}
    lines = [
        f"**{TITLES[name]}**, {goal}",
        "",
        "| net | batch | optimizer | ms a step | ms a step, alternative | min "
        "| median ratio | max | repeats | met |",
        "|---" * 10 + "|",
    ]
    for row, ok in zip(rows.itertuples(), met, strict=True):
        lines.append(
            f"| {row.net} | {row.batch} | {row.optimizer} | {row.first_ms:.2f} "
            f"| {row.second_ms:.2f} | {row.min:.2f} | {row.median:.2f} "
            f"| {row.max:.2f} | {row.repeats} | {words[ok]} |"
        )
    return "\n".join(lines)


def memory_table(n_epochs: int) -> str:
    """Return bytes held by everything, the default store, and one epoch."""
    lines = [
        f"**Memory**: MiB of states held after {n_epochs} epochs of {N_ROWS} rows in "
        "batches of 64",
        "",
        '| net | optimizer | all states | `record="auto"` (1 GiB) | states kept '
        '| `record="64MiB"` | dropped after each epoch (peak) |',
        "|---" * 7 + "|",
    ]
    for net in ("MLP 100-64-2", "CNN", "MLP 784-256-256-10"):
        for optimizer in ("sgd", "adam"):
            lines.append(_memory_row(net, optimizer, n_epochs))
    return "\n".join(lines)


def _memory_row(net: str, optimizer: str, n_epochs: int) -> str:
    problem = Problem(net, 64, optimizer)
    X, y = problem.X.numpy(), problem.y.numpy()
    model = make_skorch_net(net, 64, optimizer).set_params(max_epochs=n_epochs)
    stores = [track(model, X, y, record=r).trajectory.store for r in ("auto", "64MiB")]
    n_states = n_epochs * N_ROWS // 64 + 1
    state = stores[0][max(stores[0].steps)]
    peak = 0

    def drop(trajectory: Trajectory, epoch: int) -> None:
        nonlocal peak
        peak = max(peak, trajectory.store.nbytes)
        trajectory.store.keep_only(lambda t: t == trajectory.n_steps)

    fit_tracked(model, X, y, store=StateStore(), seed=0, after_epoch=drop)
    sizes = [n_states * state.nbytes, stores[0].nbytes, stores[1].nbytes, peak]
    everything, auto, small, one_epoch = (f"{n / 2**20:.1f}" for n in sizes)
    return (
        f"| {net} | {optimizer} | {everything} | {auto} "
        f"| {len(stores[0])} of {n_states} | {small} | {one_epoch} |"
    )


def tables(rows: pd.DataFrame, names: Iterable[str], quick: bool) -> list[str]:
    """Return the Markdown of everything measured."""
    return [*(table(rows, name) for name in names), memory_table(3 if quick else 15)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="few settings and repeats")
    parser.add_argument("--wall", action="store_true", help="time elapsed, not CPU")
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(1)
    output = OUTPUT
    if args.quick:
        args.repeats, output = 15, OUTPUT.with_name("speed_quick.csv")
    fill(output, args.repeats, args.quick)
    command = "OMP_NUM_THREADS=1 python benchmarks/speed.py"
    command += " --quick" if args.quick else ""
    parts = tables(pd.read_csv(output), MEASURES, args.quick)
    write_tables("speed", command, machine(), parts, keep=not args.quick)


if __name__ == "__main__":
    main()
