"""Means by half, bootstrap intervals and Markdown for the detection benchmark."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

HALVES = ("dev", "confirm", "all")
N_BOOTSTRAP = 2000


def by_half(wide: pd.DataFrame) -> pd.DataFrame:
    """Return methods by half: means over the cells of each half, and over all.

    `wide` has one row per cell with a level "half", and one column per method.
    """
    halves = wide.groupby(level="half").mean().T.reindex(columns=list(HALVES[:2]))
    return halves.assign(all=wide.mean())


def of_half(wide: pd.DataFrame | pd.Series, half: str) -> pd.DataFrame | pd.Series:
    """Return the rows of a half by the level "half", or all."""
    here = wide.index.get_level_values("half")
    return wide if half == "all" else wide[here == half]


def interval(lead: pd.Series) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean, drawing whole data sets."""
    groups = [part.to_numpy() for _, part in lead.groupby(level="data")]
    generator = np.random.RandomState(0)
    means = [
        np.concatenate([groups[i] for i in drawn]).mean()
        for drawn in generator.randint(len(groups), size=(N_BOOTSTRAP, len(groups)))
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def verdict(what: str, value: float, goal: float, *, at_most: bool = False) -> str:
    """Return one line: what, its value, its bound, met or not."""
    if np.isnan(value):
        return f"{what}: not measured"
    met = value <= goal if at_most else value >= goal
    sign = "<=" if at_most else ">="
    return (
        f"{what}: {value:.3f} (goal {sign} {goal:.3f}): {'met' if met else 'NOT met'}"
    )


def table(
    title: str, frame: pd.DataFrame, lines: Iterable[str] = (), digits: int = 3
) -> str:
    """Return a heading, the frame as Markdown and a list of lines."""
    has_names = not isinstance(frame.index, pd.RangeIndex)
    mixed = frame.astype(object)  # whole columns stay whole beside others
    body = mixed.to_markdown(index=has_names, floatfmt=f".{digits}f")
    return "\n\n".join(
        [f"### {title}", body, "\n".join(f"- {line}" for line in lines)]
    ).rstrip()
