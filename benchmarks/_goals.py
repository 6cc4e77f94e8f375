"""The tables of the detection benchmark: one per numbered goal, met or not."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from _cells import ASYMMETRIC
from _goals_use import clean_validation, cleaning, cost, influence_alone, windows
from _summary import HALVES, by_half, interval, of_half, table, verdict

OURS = "ours"
CLEANLAB = ("self-confidence", "normalized margin")
NET_PEERS = (*CLEANLAB, "AUM", "mean loss", "self-influence")
NETLESS_PEERS = (
    "KNN-Shapley",
    "Data-OOB",
    "CleanLearning LR",
    "CleanLearning RF",
    "CleanLearning HGB",
)
PEERS = (*NET_PEERS, *NETLESS_PEERS)
CELL = ["data", "noise", "seed"]


def print_tables(rows: list[dict]) -> list[str]:
    """Return the Markdown parts of the report."""
    if not rows:
        return ["No cell has been measured yet."]
    cells, figures = as_frames(rows)
    normal = figures[figures.regime == "normal"]
    noisy = normal[normal.true_rate > 0]
    parts = [
        overview(cells),
        ranking(noisy),
        against_each_peer(noisy),
        against_best_peer(noisy),
        many_classes(noisy, cells),
        over_trained(figures),
        flags(noisy, normal),
        suggestions(noisy),
        cleaning(cells),
        cost(cells),
        clean_validation(noisy),
        influence_alone(noisy),
        windows(cells),
    ]
    return [part for part in parts if part]


def as_frames(rows: list[dict]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return one row per cell, and one row per cell and method."""
    cells = pd.DataFrame(rows).rename(columns={"rate": "true_rate"})
    names = [*CELL, "regime", "half", "n_classes", "true_rate"]
    long = [
        {name: cell[name] for name in names} | {"method": method} | figures
        for cell in cells.to_dict("records")
        for method, figures in cell["methods"].items()
    ]
    return cells, pd.DataFrame(long)


def overview(cells: pd.DataFrame) -> str:
    """Return what has been measured."""
    counts = cells.groupby(["half", "regime"], sort=False).agg(
        cells=("data", "size"),
        data=("data", lambda names: ", ".join(dict.fromkeys(names))),
        seeds=("seed", lambda seeds: " ".join(map(str, sorted(set(seeds))))),
        seconds=("seconds", "median"),
    )
    return table("Cells", counts.reset_index(), digits=0)


def pivot(figures: pd.DataFrame, methods: Iterable[str], column: str) -> pd.DataFrame:
    """Return cells by methods; methods that no cell has are left out."""
    wanted = figures[figures.method.isin(list(methods))]
    wide = wanted.pivot_table(
        index=["half", *CELL], columns="method", values=column, sort=False
    )
    return wide[[name for name in methods if name in wide]]


def is_asymmetric(index: pd.MultiIndex) -> np.ndarray:
    return np.array(
        [noise.startswith(ASYMMETRIC) for noise in index.get_level_values("noise")]
    )


def ranking(noisy: pd.DataFrame) -> str:
    """Goal 1: means over cells; the best single peer is the one with the best mean."""
    wide = pivot(noisy, (OURS, *PEERS), "ap")
    asymmetric = wide[is_asymmetric(wide.index)]
    shown = pd.concat(
        [
            by_half(wide).add_prefix("AP "),
            by_half(asymmetric).add_prefix("AP asymmetric "),
            wide.rank(axis=1, ascending=False).mean().rename("mean rank"),
            pivot(noisy, (OURS, *PEERS), "auroc").mean().rename("AUROC"),
            pivot(noisy, (OURS, *PEERS), "precision").mean().rename("precision at n"),
        ],
        axis=1,
    )
    lines = []
    for half in HALVES:
        lead = _lead(shown[f"AP {half}"])
        asymmetric_lead = _lead(shown[f"AP asymmetric {half}"])
        lines += [
            verdict(f"{half}: lead over the best peer's mean", lead, 0.08),
            verdict(f"{half}: the same, asymmetric", asymmetric_lead, 0.15),
        ]
    return table("Goal 1: average precision over noisy cells", shown, lines)


def _lead(means: pd.Series) -> float:
    return float(means[OURS] - means.drop(OURS).max())


def against_each_peer(noisy: pd.DataFrame) -> str:
    """Wins, losses and the mean lead with an interval over data sets."""
    wide = pivot(noisy, (OURS, *PEERS), "ap")
    rows = {}
    for peer in wide.columns.drop(OURS):
        lead = (wide[OURS] - wide[peer]).dropna()
        low, high = interval(lead)
        rows[peer] = {
            "cells": len(lead),
            "wins": int((lead > 0.005).sum()),
            "ties": int((lead.abs() <= 0.005).sum()),
            "losses": int((lead < -0.005).sum()),
            "lead": lead.mean(),
            "95 % from": low,
            "to": high,
        }
    note = "Ties: within 0.005. Intervals: bootstrap over data sets."
    shown = pd.DataFrame.from_dict(rows, orient="index")
    return table("Ours against each peer (AP)", shown, [note])


def against_best_peer(noisy: pd.DataFrame) -> str:
    """Goal 2: cell by cell against whichever peer is best there."""
    wide = pivot(noisy, (OURS, *PEERS), "ap")
    same_net = wide.columns.intersection(NET_PEERS)
    peers = wide[wide.columns.drop(OURS)]
    shown = pd.DataFrame(
        {
            "ours": wide[OURS],
            "best peer": peers.max(axis=1),
            "its name": peers.idxmax(axis=1),
            "lead": wide[OURS] - peers.max(axis=1),
            "lead, same net": wide[OURS] - wide[same_net].max(axis=1),
        }
    ).sort_values("lead")
    lines = []
    for half in HALVES:
        part = of_half(shown, half)
        if part.empty:
            continue
        for column in ("lead", "lead, same net"):
            n_lost = int((part[column] < -0.02).sum())
            lines.append(
                f"{half}, {column}: {n_lost} of {len(part)} cells below -0.02 "
                f"(goal 0): {'met' if n_lost == 0 else 'NOT met'}"
            )
        over_seeds = of_half(wide, half).groupby(["data", "noise"]).mean()
        lead = over_seeds[OURS] - over_seeds[peers.columns].max(axis=1)
        lost = [
            f"{data} {noise} {lead[data, noise]:.3f}"
            for data, noise in lead.index
            if lead[data, noise] < -0.02
        ]
        lines.append(
            f"{half}, means over seeds: {len(lost)} of {len(lead)} below -0.02 "
            f"({', '.join(lost) or 'none'})"
        )
    real = shown[[n.startswith("real") for n in shown.index.get_level_values("noise")]]
    if len(real):
        lines.append(verdict("real annotators: least lead", real["lead"].min(), 0.0))
    return table("Goal 2: the best peer of each cell", shown.reset_index(), lines)


def many_classes(noisy: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Goal 3: 26 and 100 classes."""
    many = noisy[noisy.n_classes > 20]
    if many.empty:
        return ""
    wide = pivot(many, (OURS, *PEERS), "ap")
    costs = cells[cells.n_classes > 20].set_index(["half", *CELL])["cost"]
    wide["seconds"] = [costs.loc[[key]].iloc[0]["ours"] for key in wide.index]
    return table("Goal 3: many classes (AP)", wide.reset_index())


def over_trained(figures: pd.DataFrame) -> str:
    """Goal 4: 100 epochs against 30, cell by cell."""
    noisy = figures[figures.true_rate > 0]
    wide = {
        regime: pivot(noisy[noisy.regime == regime], (OURS, *NET_PEERS), "ap")
        for regime in ("normal", "over-trained")
    }
    shared = wide["normal"].index.intersection(wide["over-trained"].index)
    if shared.empty:
        return ""
    normal, over = (wide[regime].loc[shared] for regime in wide)
    shown = pd.concat(
        [
            by_half(normal).add_prefix("normal "),
            by_half(over).add_prefix("over-trained "),
        ],
        axis=1,
    )
    worst = (over[OURS] - normal[OURS]).nsmallest(3)
    lines = [
        verdict(
            f"{half}: ours, over-trained minus normal",
            shown.loc[OURS, f"over-trained {half}"] - shown.loc[OURS, f"normal {half}"],
            -0.02,
        )
        for half in HALVES
    ]
    lines += [f"Largest drop: {key[1:]}: {drop:+.3f}" for key, drop in worst.items()]
    return table(f"Goal 4: over-trained nets ({len(shared)} cells, AP)", shown, lines)


def flags(noisy: pd.DataFrame, normal: pd.DataFrame) -> str:
    """Goal 5: the default cut, the estimated rate, and clean data."""
    wide = pivot(noisy, (OURS, *PEERS), "f1").rename(columns={CLEANLAB[0]: "cleanlab"})
    wide = wide.drop(columns=CLEANLAB[1], errors="ignore")
    wide["AUM at the true rate"] = pivot(noisy, ["AUM"], "f1_at_rate")["AUM"]
    wide["ours, best cut"] = pivot(noisy, [OURS], "best_f1")[OURS]
    shown = by_half(wide).add_prefix("F1 ")
    gap = wide["ours, best cut"] - wide[OURS]
    ours = noisy[noisy.method == OURS].set_index("half")
    lines = []
    for half in HALVES:
        part = of_half(ours, half)
        gaps = of_half(gap, half)
        error = (part["rate"] - part["true_rate"]).abs().median()
        best = max(
            shown.loc["cleanlab", f"F1 {half}"],
            shown.loc["AUM at the true rate", f"F1 {half}"],
        )
        lines += [
            verdict(
                f"{half}: median gap to the best cut", gaps.median(), 0.05, at_most=True
            ),
            verdict(
                f"{half}: F1 above cleanlab's and AUM's at the true rate",
                shown.loc[OURS, f"F1 {half}"] - best,
                0.06,
            ),
            verdict(f"{half}: median error of the rate", error, 0.05, at_most=True),
        ]
    clean = normal[(normal.true_rate == 0) & normal.flagged.notna()]
    flagged = clean.pivot_table(index="data", columns="method", values="flagged")
    lines += [
        verdict(
            f"{data}, clean: share flagged", flagged.loc[data, OURS], 0.02, at_most=True
        )
        for data in ("digits", "breast_cancer")
        if data in flagged.index
    ]
    kept = flagged[[name for name in (OURS, *PEERS) if name in flagged]]
    parts = [table("Goal 5: flags of the default cut", shown, lines)]
    if len(kept):
        parts.append(table("Share of clean rows flagged", kept.reset_index()))
    return "\n\n".join(parts)


def suggestions(noisy: pd.DataFrame) -> str:
    """Goal 6: suggested labels among true positives."""
    methods = (OURS, CLEANLAB[0], *NETLESS_PEERS[2:])
    wide = pivot(noisy[noisy.n_classes > 2], methods, "suggested")
    if wide.empty:
        return ""
    means = wide.groupby("data", sort=False).mean()
    lines = [
        verdict(f"{data}: right", means.loc[data, OURS], 0.85)
        for data in ("digits", "fashion", "fashion CNN")
        if data in means.index
    ]
    return table("Goal 6: suggested labels that are right", means.reset_index(), lines)
