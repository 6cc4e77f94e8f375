"""The verdicts and tables of time_varying.py."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _summary import table

from dit_clean.influence.patterns import PATTERNS

THIRDS = ("early", "middle", "late")
EPOCHS = ("first epoch", "middle epoch", "last epoch")
WINDOWS = ("full", *THIRDS, *EPOCHS, "convergence", "plateau")
MIN_SHARE, MIN_PATTERNS = 0.05, 3
WEAK, AGREES = 0.5, 0.7
TARGET, FAITHFUL = 0.98, 0.99
RULE = ("convergence", "epochs")
CONVERGED = ("convergence", "plateau", "last epoch")


def tables(found: dict[str, pd.DataFrame]) -> list[str]:
    """Return the Markdown of everything measured, the verdicts first."""
    stages, detection = found["stages"], found["detection"]
    verdicts = [patterns_claim(stages), *stages_claims(stages)]
    verdicts += [*detection_claims(detection), fidelity_claim(stages)]
    return [
        "### Do the paper's claims hold?\n\n" + "\n".join(f"- {v}" for v in verdicts),
        _patterns(stages),
        _agreement(stages),
        _fidelity(stages),
        _detection(detection),
        _accuracy(detection),
        _windows(detection),
        _alternatives(found["alternatives"]),
        _removal(found["removal"]),
        _harmful(found["removal"]),
    ]


def patterns_claim(stages: pd.DataFrame) -> str:
    cells = _first_rows(stages)
    shares = _shares(cells)
    many = (shares >= MIN_SHARE).sum(axis=1) >= MIN_PATTERNS
    kappa = cells["kappa"].median()
    return (
        f"**Claim 1**, patterns differ between samples ({MIN_PATTERNS} patterns or "
        f"more with {MIN_SHARE:.0%} of the samples each): {_holds(many.mean() > 0.5)}, "
        f"in {many.sum()} of {len(many)} cells. Two trainings on the same rows, with "
        "other initial parameters and another order, agree with kappa "
        f"{kappa:.2f} (median; 1 = each sample has its pattern again, 0 = chance)."
    )


def stages_claims(stages: pd.DataFrame) -> list[str]:
    lines = []
    for history, (first, middle, last) in product(
        ("full", "window", "fixed query"), (THIRDS, EPOCHS)
    ):
        rows = stages[stages["history"] == history].set_index("window")
        apart = rows.loc[first, f"spearman_{last}"]
        close = rows.loc[middle, "spearman_full"]
        weak, agrees = apart.abs() < WEAK, close > AGREES
        lines.append(
            f'**Claim 2**, history="{history}": {first} against {last} is weak '
            f"(absolute Spearman below {WEAK:g} in most cells): "
            f"{_holds(weak.mean() > 0.5)}, {weak.sum()} of {len(weak)}, median "
            f"{apart.median():+.2f}; {middle} agrees with full (above {AGREES:g} in "
            f"most): {_holds(agrees.mean() > 0.5)}, {agrees.sum()} of {len(agrees)}, "
            f"median {close.median():+.2f}."
        )
    return lines


def detection_claims(detection: pd.DataFrame) -> list[str]:
    lines = []
    keys = ["data", "net", "seed", "rate"]
    wide = detection.pivot_table(
        index=keys, columns=["history", "window"], values=["auroc", "seconds"]
    )
    full = "full", "full"
    for history in ("full", "window", "fixed query", "epochs"):
        for window in CONVERGED:
            here = history, window
            lead = wide["auroc"][here] - wide["auroc"][full]
            cost = (wide["seconds"][here] / wide["seconds"][full]).median()
            n_better, n_worse = (lead > 0).sum(), (lead < 0).sum()
            better = lead.mean() > 0 and n_better > n_worse
            lines.append(
                f'**Claim 3**, window "{window}", history="{history}": better than the '
                f"full run: {_holds(better)}, AUROC {lead.mean():+.3f}, better in "
                f"{n_better}, worse in {n_worse} of {len(lead)}; "
                f"cheaper: {_holds(cost < 0.95)}, {cost:.2f} of its seconds."
            )
    return [*lines, *target_claims(detection)]


def target_claims(detection: pd.DataFrame) -> list[str]:
    """Return where the accuracy target is met by one rule, and by any window."""
    lines = []
    accuracy = _accuracies(detection)
    for rate, values in accuracy.groupby("rate"):
        ours = values.xs(RULE, level=["window", "history"]).groupby(["data", "net"])
        ours, best = ours.mean(), values.groupby(["data", "net"]).max()
        met = [f"{data} ({net})" for (data, net), v in ours.items() if v >= TARGET]
        lines.append(
            f"**Target**, {TARGET:.0%} of samples judged rightly at {rate:.0%} flips, "
            f"summing the {RULE[0]} window epoch by epoch: met in {len(met)} of "
            f"{len(ours)} cells{': ' if met else ''}{', '.join(met)}; with the best "
            f"window for each cell in {(best >= TARGET).sum()}. Median over cells "
            f"{ours.median():.3f}, best {ours.max():.3f}."
        )
    return lines


def fidelity_claim(stages: pd.DataFrame) -> str:
    rows = stages[stages["history"] == "full"]
    pearson = rows.groupby(["net", "window"])["loo_pearson"].median()
    parts = [
        f"{net} {pearson[net, 'full']:.3f} over the full run ({values.min():.3f} to "
        f"{values.max():.3f} over the windows)"
        for net, values in pearson.groupby("net")
    ]
    high = (rows["loo_pearson"] >= FAITHFUL).sum()
    return (
        f"**Target**, Pearson {FAITHFUL} with leave-one-out retraining at best: "
        f"{_holds(rows['loo_pearson'].max() >= FAITHFUL)}, reached in {high} of "
        f"{len(rows)} windows of runs; medians: {', '.join(parts)}."
    )


def _patterns(stages: pd.DataFrame) -> str:
    cells = _first_rows(stages)
    frame = pd.concat(
        [
            _shares(cells).assign(data=cells["data"], net=cells["net"]),
            cells[["kappa", "accuracy", *(f"rho_{name}" for name in PATTERNS)]],
        ],
        axis=1,
    )
    frame = frame.groupby(["net", "data"], sort=False).mean().reset_index()
    lines = [
        "share of samples by pattern; kappa: agreement with a second training;",
        "rho: Spearman of early and late influence within the pattern",
    ]
    return table("Patterns (claim 1)", frame, [" ".join(lines)], digits=2)


def _agreement(stages: pd.DataFrame) -> str:
    parts = []
    for history, rows in stages.groupby("history"):
        for method in ("spearman", "kendall"):
            columns = [f"{method}_{window}" for window in WINDOWS]
            frame = rows.groupby("window")[columns].median().loc[list(WINDOWS)]
            frame.columns = list(WINDOWS)
            title = f"Agreement of windows (claim 2): {method}, history={history}"
            parts.append(table(title, frame, ["medians over all cells"], digits=2))
    return "\n\n".join(parts)


def _fidelity(stages: pd.DataFrame) -> str:
    rows = stages[stages["history"] == "full"]
    columns = ["loo_pearson", "loo_spearman", "loo_kendall"]
    frame = rows.groupby(["net", "window"])[columns].agg(["median", "min"])
    frame.columns = [f"{name[4:]} {which}" for name, which in frame.columns]
    best = rows["loo_pearson"].max()
    note = f"largest Pearson {best:.4f}; samples gone from step 0; clean labels"
    frame = frame.reset_index()
    return table("Correlation with leave-one-out retraining, by window", frame, [note])


def _detection(detection: pd.DataFrame) -> str:
    frame = detection.pivot_table(
        index=["net", "history", "window"], columns="rate", values="auroc"
    )
    frame.columns = [f"AUROC {rate:.0%}" for rate in frame.columns]
    groups = detection.groupby(["net", "history", "window"])
    frame["found"] = groups["found"].mean()
    frame["sign"] = groups["sign"].mean()
    frame["seconds"] = groups["seconds"].median()
    notes = [
        "means over data sets and seeds; found: share of flips among as many flagged;",
        "sign: accuracy when all with negative influence are flagged",
    ]
    return table("Finding flipped labels (claim 3)", frame.reset_index(), notes)


def _accuracies(detection: pd.DataFrame) -> pd.Series:
    keys = ["data", "net", "window", "history", "rate"]
    return detection.groupby(keys)["accuracy"].mean()


def _accuracy(detection: pd.DataFrame) -> str:
    chosen = {
        "full run": ("full", "full"),
        "convergence": ("convergence", "window"),
        "plateau": ("plateau", "window"),
        "last epoch": ("last epoch", "window"),
        "full run, by epoch": ("full", "epochs"),
        "convergence, by epoch": ("convergence", "epochs"),
        "plateau, by epoch": ("plateau", "epochs"),
    }
    accuracy = _accuracies(detection).unstack(["window", "history"])
    frame = pd.DataFrame({name: accuracy[key] for name, key in chosen.items()})
    clean = detection.groupby(["data", "net", "rate"])["validation_accuracy"].mean()
    frame["network's accuracy"] = clean
    notes = [
        "share of samples judged rightly when as many are flagged as are wrong, mean "
        f"over seeds; target {TARGET}; history=full for the full run, else window",
        "by epoch: the sum over windows of one epoch, each with the query at its end",
        "a data set whose classes overlap bounds it: the last column is the network's "
        "accuracy on clean validation samples",
    ]
    title = "Detection accuracy, data by data"
    return table(title, frame.reset_index(), notes)


def _windows(detection: pd.DataFrame) -> str:
    rows = detection[detection["window"].isin(["convergence", "plateau"])]
    rows = rows[rows["history"] == "window"]
    frame = rows.groupby(["window", "net", "rate"])[["start", "stop"]].median()
    title = "Where the windows lie (epochs, medians)"
    return table(title, frame.reset_index(), digits=2)


def _alternatives(rows: pd.DataFrame) -> str:
    frame = rows.groupby(["net", "method"], sort=False).agg(
        seconds=("seconds", "median"),
        pearson=("pearson", "median"),
        worst_pearson=("pearson", "min"),
        spearman=("spearman", "median"),
        cells=("seconds", "size"),
    )
    ours = frame.xs("dit_clean, one reverse pass", level="method")["seconds"]
    factor = frame["seconds"] / ours.reindex(frame.index.get_level_values("net")).values
    frame.insert(1, "times ours", factor)
    notes = [
        "against batched leave-one-out retraining over the whole run; CPU seconds for "
        "all samples; medians over data sets",
        "damping 0.01; LiSSA with 1,000 steps; TracIn: a checkpoint per epoch",
    ]
    return table("Speed and fidelity of the alternatives", frame.reset_index(), notes)


def _removal(rows: pd.DataFrame) -> str:
    random = rows[rows["kind"] == "random"]
    scores = [
        {
            "net": net,
            "data": data,
            "linear datamodeling score": _correlation(part, "spearman"),
            "Pearson": _correlation(part, "pearson"),
            "slope": np.polyfit(part["predicted"], part["actual"], 1)[0],
        }
        for (net, data), part in random.groupby(["net", "data"], sort=False)
    ]
    size, n = int(random["size"].iloc[0]), len(random) // len(scores)
    note = f"{n} random groups of {size} samples left out; 20 % of labels flipped"
    return table("Removing random groups", pd.DataFrame(scores), [note])


def _harmful(rows: pd.DataFrame) -> str:
    harmful = rows[rows["kind"] == "most harmful"]
    shown = harmful.assign(text=_pair(harmful))
    frame = shown.pivot_table(
        index=["net", "data"], columns="size", values="text", aggfunc="first"
    )
    frame.insert(0, "loss", harmful.groupby(["net", "data"])["loss"].first())
    frame.columns = [str(column) for column in frame.columns]
    better = (harmful["actual"] < 0).mean()
    notes = [
        "validation loss of the run, and its change (predicted / actual) without the k "
        "most harmful samples; 20 % of labels flipped",
        f"removal lowered the loss in {better:.0%} of the cases",
    ]
    title = "Removing the k most harmful"
    return table(title, frame.reset_index(), notes)


def _pair(rows: pd.DataFrame) -> list[str]:
    pairs = zip(rows["predicted"], rows["actual"], strict=True)
    return [f"{predicted:+.3f} / {actual:+.3f}" for predicted, actual in pairs]


def _correlation(rows: pd.DataFrame, method: str) -> float:
    return rows["predicted"].corr(rows["actual"], method=method)


def figure(rows: pd.DataFrame, path: Path) -> None:
    """Draw predicted against actual changes, one panel per network and data set."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    cells = list(rows.groupby(["net", "data"], sort=False))
    n_rows = rows["net"].nunique()
    n_columns = -(-len(cells) // n_rows)
    fig, axes = plt.subplots(
        n_rows, n_columns, figsize=(2.6 * n_columns, 2.6 * n_rows), squeeze=False
    )
    cells.sort(key=lambda cell: cell[0][0])
    for ax, ((net, data), part) in zip(axes.flat, cells, strict=False):
        for kind, color in (("random", "#4477aa"), ("most harmful", "#cc3311")):
            points = part[part["kind"] == kind]
            ax.scatter(points["predicted"], points["actual"], s=12, c=color, label=kind)
        bounds = [part[["predicted", "actual"]].min().min(), 0]
        bounds[1] = part[["predicted", "actual"]].max().max()
        ax.plot(bounds, bounds, color="0.6", lw=0.8, zorder=0)
        ax.set_title(f"{data}, {net}", fontsize=8)
        ax.tick_params(labelsize=6)
    axes[0, 0].legend(fontsize=6)
    fig.supxlabel("predicted change of the validation loss", fontsize=8)
    fig.supylabel("actual change", fontsize=8)
    fig.tight_layout()
    fig.savefig(path, dpi=120)
    plt.close(fig)


def _first_rows(stages: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell: what does not depend on the window."""
    return stages.drop_duplicates(["data", "net", "seed"]).reset_index(drop=True)


def _shares(cells: pd.DataFrame) -> pd.DataFrame:
    counts = cells[[f"n_{name}" for name in PATTERNS]]
    counts = counts.rename(columns=lambda name: name.removeprefix("n_"))
    return counts.div(counts.sum(axis=1), axis=0)


def _holds(condition: bool) -> str:
    return "holds" if condition else "does NOT hold"
