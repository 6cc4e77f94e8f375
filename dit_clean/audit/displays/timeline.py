"""Heat map of influence over training."""

from typing import Any, Self

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.displays.base import Display
from dit_clean.audit.style import diverging_colors, new_axes
from dit_clean.influence.chosen_rows import as_sample_rows
from dit_clean.influence.patterns import PATTERNS

N_ROWS = 60
KEPT_SHARE = 1 / 3
QUANTILE = 98
MIN_GAP = 0.065
"""Least distance of two names beside the picture, as a share of its height."""


class TimelineDisplay(Display):
    """When samples helped and when they harmed: one row per sample.

    Parameters
    ----------
    timeline : ndarray of shape (n_rows, n_epochs)
        Influence over each epoch; negative = harmful.
    groups : list of str
        Name of each row's group; rows of one group stand together.
    window : tuple of int
        Epochs (start, stop) to mark.
    """

    def __init__(
        self, timeline: np.ndarray, groups: list[str], window: tuple[int, int]
    ):
        self.timeline, self.groups, self.window = timeline, groups, window

    @classmethod
    def from_data(
        cls, data: AuditData, *, rows: Any = None, n_rows: int = N_ROWS
    ) -> Self:
        """Return the display of an audit, not yet drawn.

        Parameters
        ----------
        data : AuditData
            From a fitted cleaner.
        rows : array-like of int or bool, optional
            Samples to show; by default the most suspicious flagged ones and, for a
            third of the picture, kept ones.
        n_rows : int, default=60
            How many of them.
        """
        rows = _telling_rows(data, n_rows) if rows is None else rows
        rows = as_sample_rows(rows, data.n_samples)
        if len(rows) == 0:
            raise ValueError("There is no row to draw. Give other rows or n_rows.")
        patterns = data.patterns[rows]
        ranks = np.array([PATTERNS.index(name) for name in patterns])
        order = np.lexsort((ranks, ~data.flagged[rows]))
        groups = [
            f"{'flagged' if data.flagged[rows[i]] else 'kept'}, {patterns[i]}"
            for i in order
        ]
        return cls(data.timeline[rows[order]], groups, data.window)

    def plot(self, ax: Any = None) -> Self:
        """Draw the heat map: orange harms, blue helps."""
        ax = new_axes(ax, (6.4, 4.4))
        n_rows, n_epochs = self.timeline.shape
        bound = float(np.percentile(np.abs(self.timeline), QUANTILE)) or 1.0
        image = ax.imshow(
            self.timeline,
            cmap=diverging_colors(),
            vmin=-bound,
            vmax=bound,
            aspect="auto",
            interpolation="nearest",
            extent=(0.5, n_epochs + 0.5, n_rows, 0),
        )
        inside = [edge for edge in self.window if 0 < edge < n_epochs]
        for edge in inside:
            ax.axvline(edge + 0.5, color="black", linestyle="--", linewidth=1)
        self._name_groups(ax)
        ax.set(xlabel=f"epoch ({'dashed: the window' if inside else 'all count'})")
        ax.xaxis.get_major_locator().set_params(integer=True)
        bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
        bar.set_ticks([-bound, 0, bound], labels=["harms", "0", "helps"])
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name_groups(self, ax: Any) -> None:
        sizes = {name: self.groups.count(name) for name in dict.fromkeys(self.groups)}
        stops = np.cumsum(list(sizes.values()))
        for stop in stops[:-1]:
            ax.axhline(stop, color="black", linewidth=1)
        # Names of neighboring thin groups would lie on top of each other.
        gap = len(self.groups) * MIN_GAP
        centers = stops - np.array(list(sizes.values())) / 2
        last = len(self.groups) - gap / 2
        for i in range(1, len(centers)):
            centers[i] = max(centers[i], centers[i - 1] + gap)
        for i in range(len(centers) - 1, -1, -1):
            centers[i] = min(centers[i], last - gap * (len(centers) - 1 - i))
        labels = [f"{name} ({n})" for name, n in sizes.items()]
        ax.set_yticks(centers, labels)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(self.groups), 0)


def _telling_rows(data: AuditData, n_rows: int) -> np.ndarray:
    """Return the most suspicious flagged rows, and kept rows of every suspicion."""
    order = data.most_suspicious
    flagged, kept = order[data.flagged[order]], order[~data.flagged[order]]
    n_kept = min(max(round(n_rows * KEPT_SHARE), n_rows - len(flagged)), len(kept))
    places = np.linspace(0, len(kept) - 1, n_kept).round().astype(int)
    return np.concatenate([flagged[: n_rows - n_kept], kept[places]])
