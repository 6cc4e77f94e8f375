"""Goals 7 to 10 of the detection benchmark: cleaning, cost, clean rows, windows."""

import pandas as pd
from _summary import HALVES, by_half, interval, of_half, table, verdict

STRATEGIES = ("filter", "weight", "relabel")
HARM = 0.005


def cleaning(cells: pd.DataFrame) -> str:
    """Goal 7: clean-test accuracy after cleaning, in points above all rows."""
    normal = cells[cells.regime == "normal"]
    gains = {model: gains_of(normal, model) for model in ("LR", "HGB")}
    both = (gains["LR"] + gains["HGB"]) / 2
    parts = []
    for name, wide in (*gains.items(), ("both models", both)):
        noisy = wide[wide.index.get_level_values("noise") != "none"]
        shown = by_half(noisy * 100).add_prefix("gain ")
        shown["worse by > 0.5, share of cells"] = (noisy < -HARM).mean()
        shown["the same, clean data too"] = (wide < -HARM).mean()
        lines = [] if name != "both models" else list(_cleaning_verdicts(noisy))
        parts.append(table(f"Goal 7: points above all rows, {name}", shown, lines))
    ours = [f"ours, {strategy}" for strategy in STRATEGIES]
    worst = both[ours].min(axis=1).nsmallest(8).index
    shown = (both.loc[worst] * 100).reset_index()
    parts.append(table("Where cleaning hurts most (both models, points)", shown))
    return "\n\n".join(parts)


def gains_of(cells: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return clean-test accuracy less that of all rows, cells by strategies."""
    index = pd.MultiIndex.from_frame(cells[["half", "data", "noise", "seed"]])
    accuracy = pd.DataFrame(
        [
            {name: found[model] for name, found in cell.items()}
            for cell in cells["accuracy"]
        ],
        index=index,
    )
    return accuracy.drop(columns="all rows").sub(accuracy["all rows"], axis=0)


def _cleaning_verdicts(noisy: pd.DataFrame):
    for half in HALVES:
        part = of_half(noisy, half)
        if part.empty:
            continue
        means = part.mean()
        ours = means[[f"ours, {strategy}" for strategy in STRATEGIES]]
        yield verdict(
            f"{half}: best strategy ({ours.idxmax()}), share of the oracle's gain",
            ours.max() / means["oracle"],
            2 / 3,
        )
        yield verdict(f"{half}: worst strategy's gain", ours.min(), 0.0)
        harmed = (part[ours.idxmax()] < -HARM).mean()
        yield verdict(f"{half}: share of cells it harms", harmed, 0.05, at_most=True)


def cost(cells: pd.DataFrame) -> str:
    """Goal 8: our fit against 5-fold cross-validation of the same net in skorch."""
    costs = pd.DataFrame(list(cells["cost"]))
    costs["ratio"] = costs["ours"] / costs["cross-validation"]
    costs[["data", "regime"]] = cells[["data", "regime"]].to_numpy()
    grouped = costs.groupby(["regime", "data"], sort=False)
    shown = grouped.median()
    shown["least ratio"], shown["greatest"] = grouped.ratio.min(), grouped.ratio.max()
    shown["runs"] = grouped.size()
    note = "Medians over the cells of a data set; both fits of a cell run in turn."
    lines = [note, verdict("median ratio", shown["ratio"].median(), 1.0, at_most=True)]
    return table("Goal 8: seconds", shown.reset_index(), lines)


def clean_validation(noisy: pd.DataFrame) -> str:
    """Goal 9: with clean rows, as many as 5 % of the training rows."""
    wide = _by_method(noisy, ["ours", "ours, clean 5 %"], "ap").dropna()
    if wide.shape[1] < 2 or wide.empty:
        return ""
    lead = wide["ours, clean 5 %"] - wide["ours"]
    low, high = interval(lead)
    lines = [
        verdict(f"{half}: lead with clean rows", of_half(lead, half).mean(), 0.0)
        for half in HALVES
    ]
    lines.append(f"95 % interval of the mean lead: {low:+.3f} to {high:+.3f}")
    f1 = _by_method(noisy, list(wide.columns), "f1").dropna()
    shown = pd.concat(
        [by_half(wide).add_prefix("AP "), by_half(f1).add_prefix("F1 ")], axis=1
    )
    return table(f"Goal 9: clean rows ({len(wide)} cells)", shown, lines)


def influence_alone(noisy: pd.DataFrame) -> str:
    """Goal 10: influence without margins against other influences."""
    methods = [
        "ours",
        "ours, influence",
        "ours, margin",
        "self-influence",
        "paper's query",
    ]
    wide = _by_method(noisy, methods, "ap").dropna()
    shown = by_half(wide)
    others = shown.loc[["self-influence", "paper's query"]].max()
    lines = [
        verdict(
            f"{half}: influence above the better of both",
            shown.loc["ours, influence", half] - others[half],
            0.0,
        )
        for half in HALVES
    ]
    title = f"Goal 10: influence alone ({len(wide)} cells, AP)"
    return table(title, shown, lines)


def windows(cells: pd.DataFrame) -> str:
    """Goal 10: average precision by window."""
    parts = []
    if "windows" not in cells:
        return ""
    for regime, part in cells[cells["windows"].notna()].groupby("regime"):
        index = pd.MultiIndex.from_frame(part[["half", "data", "noise", "seed"]])
        shown = by_half(pd.DataFrame(list(part["windows"]), index=index))
        lines = [
            verdict(
                f"{scoring}, {half}: convergence above full",
                shown.loc[f"{scoring}, convergence", half]
                - shown.loc[f"{scoring}, full", half],
                0.0,
            )
            for scoring in ("influence", "combined")
            for half in HALVES
        ]
        parts.append(table(f"Windows, {regime} training (AP)", shown, lines))
    return "\n\n".join(parts)


def _by_method(figures: pd.DataFrame, methods: list[str], column: str) -> pd.DataFrame:
    wanted = figures[figures.method.isin(methods)]
    wide = wanted.pivot_table(
        index=["half", "data", "noise", "seed"],
        columns="method",
        values=column,
        sort=False,
    )
    return wide[[name for name in methods if name in wide]]
