"""Influence that varies in time: three claims of the paper, checked; and speed.

The claims of "Dynamic Influence Tracker" (arXiv 2502.10793): (1) influence follows
different patterns in different samples; (2) influence early in training hardly
correlates with influence late, while the middle agrees with the whole run; (3) the
convergence window finds wrong labels better and cheaper than the whole run. What
counts as holding stands at the top of `_claims.py`.

Setting, the paper's: binary tasks, 256 training samples, a clean validation set whose
mean loss is the query, plain SGD (batches of 32, 20 epochs, lr 0.1, for images 0.01);
logistic regression and an MLP with 32 hidden units. Truth is retraining without each
sample on the same batches. With lr 0.1 training on the images is unstable: differences
between runs then grow instead of shrinking, and no first-order estimate holds (logistic
regression on CIFAR-10: Pearson -0.01 with retraining).

    OMP_NUM_THREADS=1 python benchmarks/time_varying.py [--quick] [--seeds 3]

Finished cells are kept in outputs/time_varying_*.csv: call it again to go on. Seconds
are CPU seconds. captum (extra `bench`) is left out where it is not installed.
"""

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _alternatives import BATCH, ESTIMATORS, Losses
from _claims import figure, tables
from _data import ROOT, Data, load_available, split
from _machine import machine, write_tables
from _noise import symmetric
from _retraining import changes, retrain_without
from fidelity import NETS
from scipy import stats
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    roc_auc_score,
)
from skorch import NeuralNetClassifier
from speed import loop_over_samples
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.detection import convergence_window
from dit_clean.influence import Steps, Window, random_groups, top_samples
from dit_clean.influence.patterns import (
    influence_patterns,
    pattern_correlation,
    pattern_counts,
    stage_correlation,
    stage_slices,
)
from dit_clean.queries import MeanLoss

DATA = ("digits", "adult", "newsgroups", "cifar10", "fashion_mnist", "breast_cancer")
OPTIONS = {"digits": {"classes": (1, 7)}, "fashion_mnist": {"size": 14}}
USED_NETS = ("logistic", "mlp")
N_TRAIN, N_VALIDATION, N_EPOCHS = 256, 256, 20
LR, LR_IMAGES = 0.1, 0.01
IMAGES = ("cifar10", "fashion_mnist")
RATES = (0.1, 0.2, 0.3)
PLATEAU = 0.05
HISTORIES = ("full", "window", "fixed query", "epochs")
SIZES = (1, 3, 13, 26, 51, 77)
N_GROUPS, GROUP_SIZE, FLIPPED = 16, 26, 0.2
OUTPUT = ROOT / "outputs"


def train(
    data: Data, net: str, labels: np.ndarray, validation: Data, seed: int
) -> tuple[TrackedRun, MeanLoss]:
    torch.manual_seed(seed)
    model = NeuralNetClassifier(
        NETS[net](data),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=LR_IMAGES if data.name in IMAGES else LR,
        max_epochs=N_EPOCHS,
        batch_size=BATCH,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    run = track(model, data.X, labels, record="all", random_state=seed)
    return run, MeanLoss(validation.X, validation.y)


def windows_of(run: TrackedRun, query: MeanLoss) -> dict[str, tuple[int, int]]:
    """Return the windows compared, in epochs.

    "convergence" is what `InfluenceCleaner` calls so (until twice the best epoch);
    "plateau" goes from where the validation loss has fallen by all but 5 % of its
    fall, to the end. The paper's published code compares single epochs.
    """
    trajectory = run.trajectory
    with torch.no_grad():
        loss = np.array(
            [float(query(trajectory.params(t), run)) for t in trajectory.epoch_starts]
        )
    bound = loss.min() + PLATEAU * (loss[0] - loss.min())
    plateau = min(int(np.argmax(loss <= bound)), N_EPOCHS - 1)
    thirds = [(s.start, s.stop) for s in stage_slices(N_EPOCHS)]
    half = N_EPOCHS // 2
    return {
        "full": (0, N_EPOCHS),
        **dict(zip(("early", "middle", "late"), thirds, strict=True)),
        "first epoch": (0, 1),
        "middle epoch": (half - 1, half),
        "last epoch": (N_EPOCHS - 1, N_EPOCHS),
        "convergence": convergence_window(loss[1:]),
        "plateau": (plateau, N_EPOCHS),
    }


def measure_stages(data: Data, net: str, seed: int) -> Iterator[dict]:
    """Yield patterns, agreement of stages, and fidelity by window (claims 1, 2)."""
    rows, validation = split(data, N_TRAIN, N_VALIDATION, seed)
    run, query = train(rows, net, rows.y, validation, seed)
    other, _ = train(rows, net, rows.y, validation, seed + 1000)
    timeline = run.timeline(query)
    patterns = influence_patterns(timeline)
    again = influence_patterns(other.timeline(query))
    by_pattern = pattern_correlation(timeline, patterns, stage_slices(N_EPOCHS))
    windows = windows_of(run, query)
    truth = retrained(run, query, windows)
    common = {
        **{f"n_{name}": n for name, n in pattern_counts(patterns).items()},
        **{f"rho_{name}": matrix[0, 2] for name, matrix in by_pattern.items()},
        "kappa": cohen_kappa_score(patterns, again),
        "accuracy": float((run.net_.predict(rows.X) == rows.y).mean()),
    }
    grid, end = list(windows.values()), run.trajectory.n_steps
    scored = {
        "full": run.timeline(query, grid, "full"),
        "window": run.timeline(query, grid, "window"),
        "fixed query": run.timeline(query, grid, "window", query_step=end),
    }
    for history, values in scored.items():
        found = {
            method: stage_correlation(values, method=method)
            for method in ("spearman", "kendall")
        }
        names = list(windows)
        for i, name in enumerate(names):
            row = {"window": name, "history": history, **common}
            row |= {"start": windows[name][0], "stop": windows[name][1]}
            for j, second in enumerate(names):
                row |= {f"{m}_{second}": matrix[i, j] for m, matrix in found.items()}
            if history == "full":
                change = truth[name]
                row["loo_pearson"] = stats.pearsonr(values[:, i], change)[0]
                row["loo_spearman"] = stats.spearmanr(values[:, i], change)[0]
                row["loo_kendall"] = stats.kendalltau(values[:, i], change)[0]
            yield row


def retrained(
    run: TrackedRun, query: MeanLoss, windows: dict[str, tuple[int, int]]
) -> dict[str, np.ndarray]:
    """Return each window's changes by retraining; samples are gone from step 0."""
    trajectory = run.trajectory
    steps = {name: Window(*w).in_steps(trajectory) for name, w in windows.items()}
    points = sorted({t for w in steps.values() for t in (w.start, w.stop)})
    whole = Steps(0, trajectory.n_steps)
    states = retrain_without(trajectory, range(N_TRAIN), whole, points)
    change = {t: changes(trajectory, query, theta) for t, theta in states.items()}
    return {name: change[w.stop] - change[w.start] for name, w in steps.items()}


def measure_detection(data: Data, net: str, seed: int) -> Iterator[dict]:
    """Yield how well each window finds flipped labels, and its seconds (claim 3)."""
    for rate in RATES:
        rows, validation = split(data, N_TRAIN, N_VALIDATION, seed)
        labels = symmetric(rows.X, rows.y, rate, np.random.RandomState(seed))
        wrong = labels != rows.y
        run, query = train(rows, net, labels, validation, seed)
        accuracy = float((run.net_.predict(validation.X) == validation.y).mean())
        for history, (name, window) in product(
            HISTORIES, windows_of(run, query).items()
        ):
            ask = partial(scores, run, query, window, history)
            score, seconds = timed(ask)
            yield {
                "rate": rate,
                "window": name,
                "history": history,
                "start": window[0],
                "stop": window[1],
                "seconds": seconds,
                "validation_accuracy": accuracy,
                **quality(score, wrong),
            }


def scores(
    run: TrackedRun, query: MeanLoss, window: tuple[int, int], history: str
) -> np.ndarray:
    """Return influence over a window, the sample gone as `history` says.

    "full" and "window" are those of `TrackedRun.influence`, the query at the window's
    end; "fixed query" is "window" with the query at the end of training; "epochs" is
    the sum of the windows of single epochs, each with the query at its own end.
    """
    if history == "epochs":
        return run.timeline(query, [(e, e + 1) for e in range(*window)]).sum(axis=1)
    if history == "fixed query":
        return run.influence(query, window, "window", run.trajectory.n_steps)
    return run.influence(query, window, history)


def quality(score: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """Return how well low scores find the wrong labels.

    "accuracy": share of samples judged rightly when as many are flagged as are wrong;
    "sign": the same when all with negative influence are flagged.
    """
    flagged = np.zeros(len(score), dtype=bool)
    flagged[np.argsort(score)[: wrong.sum()]] = True
    return {
        "auroc": roc_auc_score(wrong, -score),
        "average_precision": average_precision_score(wrong, -score),
        "accuracy": float((flagged == wrong).mean()),
        "found": float(flagged[wrong].mean()),
        "sign": float(((score < 0) == wrong).mean()),
    }


def measure_alternatives(data: Data, net: str, seed: int) -> Iterator[dict]:
    """Yield seconds of each method and its correlation with retraining."""
    rows, validation = split(data, N_TRAIN, N_VALIDATION, seed)
    run, query = train(rows, net, rows.y, validation, seed)
    losses, whole = Losses(run, query), {"full": (0, N_EPOCHS)}
    batched, batched_seconds = timed(lambda: retrained(run, query, whole))
    truth = batched["full"]
    one_by_one = timed(lambda: run.leave_one_out(query, range(3)))[1] / 3 * N_TRAIN
    gradient = losses.query_gradient(losses.state(run.trajectory.n_steps))[None]
    methods: dict[str, Callable[[], np.ndarray]] = {
        "dit_clean, one reverse pass": lambda: run.influence(query),
        "DIT, published loop over samples": lambda: loop_over_samples(
            run.trajectory, gradient
        ).numpy(),
        **{name: lambda f=f: f(losses) for name, f in ESTIMATORS.items()},
    }
    yield _method("leave-one-out, one by one", truth, truth, one_by_one)
    yield _method("leave-one-out, batched", truth, truth, batched_seconds)
    for name, method in methods.items():
        try:
            method()  # imports and warms up
            yield _method(name, truth, *timed(method))
        except ImportError:
            print(f"skipped {name}: not installed")


def _method(name: str, truth: np.ndarray, score: np.ndarray, seconds: float) -> dict:
    finite = np.isfinite(score).all()
    return {
        "method": name,
        "seconds": seconds,
        "pearson": stats.pearsonr(score, truth)[0] if finite else np.nan,
        "spearman": stats.spearmanr(score, truth)[0] if finite else np.nan,
    }


def measure_removal(data: Data, net: str, seed: int) -> Iterator[dict]:
    """Yield predicted and actual changes by removing groups, 20 % labels flipped."""
    rows, validation = split(data, N_TRAIN, N_VALIDATION, seed)
    generator = np.random.RandomState(seed)
    labels = symmetric(rows.X, rows.y, FLIPPED, generator)
    run, query = train(rows, net, labels, validation, seed)
    groups = random_groups(N_TRAIN, N_GROUPS, GROUP_SIZE, generator)
    ranked = top_samples(run.influence(query), max(SIZES)).harmful
    groups += [ranked[:k] for k in SIZES]
    removal = run.check_removal(query, groups)
    with torch.no_grad():
        loss = float(query(run.trajectory.params(run.trajectory.n_steps), run))
    for i, size in enumerate(removal.sizes):
        yield {
            "kind": "random" if i < N_GROUPS else "most harmful",
            "size": int(size),
            "predicted": removal.predicted[i],
            "actual": removal.actual[i],
            "loss": loss,
        }


def timed(function: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


# part: (measure, all seeds or one)
PARTS = {
    "stages": (measure_stages, True),
    "detection": (measure_detection, True),
    "alternatives": (measure_alternatives, False),
    "removal": (measure_removal, False),
}


def fill(
    part: str, output: Path, datasets: Iterable[Data], seeds: Iterable[int]
) -> None:
    """Append the rows of all cells that are not in `output` yet, seed by seed."""
    measure, all_seeds = PARTS[part]
    done = set()
    if output.exists():
        keys = pd.read_csv(output)[["data", "net", "seed"]]
        done = set(keys.itertuples(index=False, name=None))
    output.parent.mkdir(exist_ok=True)
    for seed, data, net in product(seeds, datasets, USED_NETS):
        if (data.name, net, seed) in done or (seed > 0 and not all_seeds):
            continue
        cell = {"data": data.name, "net": net, "seed": seed}
        rows = pd.DataFrame([cell | row for row in measure(data, net, seed)])
        rows.to_csv(output, mode="a", header=not output.exists(), index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="one seed, two data sets")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--report", action="store_true", help="print what is there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = "time_varying_quick" if args.quick else "time_varying"
    names, seeds = (DATA[:2], 1) if args.quick else (DATA, args.seeds)
    outputs = {part: OUTPUT / f"{name}_{part}.csv" for part in PARTS}
    if not args.report:
        datasets = load_available(names, **OPTIONS)
        for seed in range(seeds):
            for part, output in outputs.items():
                fill(part, output, datasets, [seed])
    found = {part: pd.read_csv(output) for part, output in outputs.items()}
    picture = OUTPUT / f"{name}_removal.png"
    figure(found["removal"], picture)
    command = "OMP_NUM_THREADS=1 python benchmarks/time_varying.py"
    command += " --quick" if args.quick else f" --seeds {seeds}"
    parts = [*tables(found), f"Figure: {picture.relative_to(ROOT)}"]
    write_tables("time_varying", command, machine(), parts, keep=not args.quick)


if __name__ == "__main__":
    main()
