"""Finding wrong regression targets: `InfluenceCleaner` against its peers.

A tenth of the training targets is replaced by other rows' targets ("swapped"), or
moved by 3 to 6 standard deviations ("gross"). Peers: cleanlab's regression
`CleanLearning`, and the absolute residual of 5-fold cross-validation, both with the
same network, with a linear model and with boosted trees. Where a peer's network
diverges, the cell lacks that peer.

    OMP_NUM_THREADS=1 python benchmarks/regression.py [--seeds 0 1 2] [--quick]
        [--tables]

Finished cells are kept in outputs/regression.jsonl: call it again to go on.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _data import DATA_DIR, ROOT
from _machine import machine, write_tables
from _summary import interval, table, verdict
from cleanlab.regression.learn import CleanLearning
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from torch import nn

from dit_clean import InfluenceCleaner
from dit_clean.data.scalers import ColumnScaler
from dit_clean.tracking.default_net import MLP

OUTPUT = ROOT / "outputs" / "regression.jsonl"
N_FOLDS, RATE = 5, 0.1
NOISES = ("swapped", "gross")
GROSS = (3.0, 6.0)
OURS = "ours"


@dataclass(frozen=True)
class Cell:
    """One training set with wrong targets."""

    data: str
    noise: str
    seed: int


def california() -> tuple[np.ndarray, np.ndarray]:
    houses = pd.read_csv(DATA_DIR / "california_housing.csv.gz")
    y = houses.pop("median_house_value").to_numpy(float)
    houses = pd.get_dummies(houses.fillna({"total_bedrooms": 435.0}), dtype=float)
    return houses.to_numpy(), y


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    return load_diabetes(return_X_y=True)


# name: (loader, training rows)
DATA = {"california": (california, 1500), "diabetes": (diabetes, 300)}


def corrupted(
    y: np.ndarray, noise: str, generator: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Return targets with a tenth of them wrong, and which."""
    hit = generator.permutation(len(y))[: round(RATE * len(y))]
    given, wrong = y.copy(), np.zeros(len(y), dtype=bool)
    if noise == "swapped":
        given[hit] = generator.choice(y, len(hit))
    else:
        sign = generator.choice([-1, 1], len(hit))
        given[hit] += sign * generator.uniform(*GROSS, len(hit)) * y.std()
    wrong[hit] = given[hit] != y[hit]
    return given, wrong


class ColumnNet(NeuralNetRegressor):
    """A skorch regressor that takes targets of shape (n_samples,)."""

    def fit(self, X, y, **fit_params):
        column = np.asarray(y, dtype=np.float32).reshape(-1, 1)
        return super().fit(X.astype(np.float32), column, **fit_params)

    def predict(self, X):
        return super().predict(X.astype(np.float32))[:, 0]


def make_models(n_features: int, seed: int) -> dict:
    """Return the cleaner's default network, a linear model and boosted trees."""
    net = ColumnNet(
        MLP,
        module__n_features=n_features,
        module__n_outputs=1,
        criterion=nn.MSELoss,
        optimizer=torch.optim.SGD,
        lr=0.1,
        max_epochs=30,
        batch_size=64,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return {
        "same net": TransformedTargetRegressor(
            make_pipeline(ColumnScaler(squash=True), net), transformer=StandardScaler()
        ),
        "linear": make_pipeline(StandardScaler(), LinearRegression()),
        "boosted trees": HistGradientBoostingRegressor(random_state=seed),
    }


def peers(
    X: np.ndarray, y: np.ndarray, seed: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray | None, float]]:
    """Yield name, suspicion, default flags and seconds."""
    folds = KFold(N_FOLDS, shuffle=True, random_state=seed)
    for name, model in make_models(X.shape[1], seed).items():
        torch.manual_seed(seed)
        begin = time.perf_counter()
        residual = np.abs(y - cross_val_predict(model, X, y, cv=folds))
        yield f"residual, {name}", residual, None, time.perf_counter() - begin
        begin = time.perf_counter()
        learner = CleanLearning(model, cv_n_folds=N_FOLDS, seed=seed)
        try:
            issues = learner.find_label_issues(X, y)
        except ValueError as error:
            print(f"CleanLearning, {name}: {error}", file=sys.stderr)
            continue
        yield (
            f"CleanLearning, {name}",
            1 - issues["label_quality"].to_numpy(),
            issues["is_label_issue"].to_numpy(),
            time.perf_counter() - begin,
        )


def measure(cell: Cell) -> dict:
    """Return all figures of a cell, ready for JSON."""
    load, n_train = DATA[cell.data]
    X, y = load()
    generator = np.random.RandomState(1000 + cell.seed)
    order = generator.permutation(len(y))
    train, test = order[:n_train], order[n_train : n_train + 2000]
    given, wrong = corrupted(y[train], cell.noise, generator)
    begin = time.perf_counter()
    cleaner = InfluenceCleaner(random_state=cell.seed).fit(X[train], given)
    seconds = time.perf_counter() - begin
    flagged = ~cleaner.keep_mask_
    methods = {OURS: _figures(wrong, cleaner.suspicion_, flagged, seconds)}
    methods[OURS]["rate"] = float(cleaner.contamination_)
    for scoring in ("influence", "margin"):
        cleaner.set_params(scoring=scoring).rescore()
        suspicion, found = cleaner.suspicion_, ~cleaner.keep_mask_
        methods[f"ours, {scoring}"] = _figures(wrong, suspicion, found, 0.0)
    cleaner.set_params(scoring="combined").rescore()
    for name, suspicion, found, spent in peers(X[train], given, cell.seed):
        methods[name] = _figures(wrong, suspicion, found, spent)
    everything = np.ones(n_train)
    sets = {
        "all rows": everything,
        "oracle": (~wrong).astype(float),
        "ours, filter": (~flagged).astype(float),
        "ours, weight": cleaner.sample_weight_,
    }
    r2 = {
        f"{label}, {name}": _r2(model, X[train], given, weight, X[test], y[test])
        for name, model in list(make_models(X.shape[1], cell.seed).items())[1:]
        for label, weight in sets.items()
    }
    return asdict(cell) | {"rate": float(wrong.mean()), "methods": methods, "r2": r2}


def _r2(model, X, y, weight, X_test, y_test) -> float:
    kept = weight > 0
    prefix = "linearregression__" if hasattr(model, "steps") else ""
    fitted = model.fit(X[kept], y[kept], **{f"{prefix}sample_weight": weight[kept]})
    return float(fitted.score(X_test, y_test))


def _figures(
    wrong: np.ndarray, suspicion: np.ndarray, flagged: np.ndarray | None, spent: float
) -> dict[str, float]:
    found = {
        "ap": float(average_precision_score(wrong, suspicion)),
        "auroc": float(roc_auc_score(wrong, suspicion)),
        "seconds": spent,
    }
    if flagged is not None:
        hits = 2 * (wrong & flagged).sum() / (wrong.sum() + flagged.sum())
        found |= {"f1": float(hits), "flagged": float(flagged.mean())}
    return found


def tables(rows: list[dict]) -> list[str]:
    """Return the Markdown parts of the report."""
    if not rows:
        return ["No cell has been measured yet."]
    figures = pd.DataFrame(
        [
            {"data": row["data"], "noise": row["noise"], "seed": row["seed"]}
            | {"method": method}
            | found
            for row in rows
            for method, found in row["methods"].items()
        ]
    )
    wide = figures.pivot_table(
        index=["data", "noise", "seed"], columns="method", values="ap", sort=False
    )
    shown = wide.groupby(level=["data", "noise"], sort=False).mean().T
    shown.columns = [" ".join(column) for column in shown.columns]
    shown["mean AP"] = wide.mean()
    by_method = figures.groupby("method", sort=False)
    shown = shown.join(by_method[["auroc", "f1", "flagged", "seconds"]].mean())
    others = [name for name in wide if not name.startswith(OURS)]
    lines = []
    for peer in others:
        lead = (wide[OURS] - wide[peer]).dropna()
        low, high = interval(lead)
        lines.append(
            verdict(f"above {peer}", lead.mean(), 0.0)
            + f"; 95 % {low:+.3f} to {high:+.3f}; least {lead.min():+.3f}"
        )
    r2 = pd.DataFrame([row["r2"] | {"data": row["data"]} for row in rows])
    return [
        table(f"Wrong targets found (AP; {len(rows)} cells)", shown, lines),
        table("Clean-test R2", r2.groupby("data").mean().T),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--quick", action="store_true", help="diabetes, one seed")
    parser.add_argument("--tables", action="store_true", help="print, measure nothing")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    output: Path = options.output
    output = output.with_stem("regression_quick") if options.quick else output
    output.parent.mkdir(exist_ok=True)
    rows = [json.loads(line) for line in output.open()] if output.exists() else []
    done = {Cell(row["data"], row["noise"], row["seed"]) for row in rows}
    cells = [
        Cell(data, noise, seed)
        for seed in ([0] if options.quick else options.seeds)
        for noise in NOISES
        for data in (["diabetes"] if options.quick else DATA)
    ]
    for cell in cells:
        if options.tables or cell in done:
            continue
        rows.append(measure(cell))
        with output.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    write_tables(
        "regression",
        "python benchmarks/regression.py" + " --quick" * options.quick,
        machine(),
        tables(rows),
        keep=not options.quick,
    )


if __name__ == "__main__":
    main()
