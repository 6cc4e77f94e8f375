"""Given against suggested labels, or targets."""

from typing import Any, Self

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.displays.base import Display
from dit_clean.audit.names import short_names
from dit_clean.audit.style import (
    FLAGGED,
    KEPT,
    despine,
    ink_on,
    new_axes,
    number,
    rising_colors,
)
from dit_clean.audit.summary import count_changes

MAX_CLASSES = 20
MAX_NUMBERS = 12
"""More classes than this are shown without the numbers."""
MAX_LENGTH = 14
"""Characters of a name."""
MAX_NAMES = 22
"""Characters that fit side by side without being turned, if names are equally long."""
MAX_POINTS = 5000
MAX_TICKS = 4
"""Targets in the hundred thousands fit side by side."""
KEPT_COUNT = "#6b665f"


class LabelsDisplay(Display):
    """Which label was given and which is suggested instead: a matrix.

    Parameters
    ----------
    labels : list of object
        Names of the classes.
    counts : ndarray of int, shape (n_classes, n_classes)
        Samples with given label i and suggested label j.
    """

    def __init__(self, labels: list[Any], counts: np.ndarray):
        self.labels, self.counts = labels, counts

    @classmethod
    def from_data(cls, data: AuditData) -> Self:
        """Return the display of an audit, not yet drawn.

        Raises
        ------
        ValueError
            If the targets are no labels.
        """
        if data.classes is None:
            raise ValueError("Regression targets have no classes: see TargetsDisplay.")
        return cls(list(data.classes), count_changes(data))

    def plot(self, ax: Any = None) -> Self:
        """Draw the matrix; of more than 20 classes those with most changes."""
        changes = self.counts - np.diag(np.diag(self.counts))
        busiest = np.argsort(-(changes.sum(0) + changes.sum(1)), kind="stable")
        shown = np.sort(busiest[:MAX_CLASSES])
        side = 2.4 + 0.42 * len(shown)
        ax = new_axes(ax, (max(side + 0.8, 4.4), max(side, 3.2)))
        colors, top = rising_colors(), max(int(changes.max()), 1)
        cells = np.ix_(shown, shown)
        image = ax.imshow(changes[cells], cmap=colors, vmin=0, vmax=top, aspect="auto")
        if len(shown) <= MAX_NUMBERS:
            counts = self.counts[cells]
            for i, j in np.argwhere(counts):
                ink = KEPT_COUNT if i == j else ink_on(colors(counts[i, j] / top))
                text = f"{counts[i, j]:,}"
                ax.text(j, i, text, ha="center", va="center", color=ink)
        self._name_classes(ax, shown)
        bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
        bar.set_label("samples to change")
        bar.ax.yaxis.get_major_locator().set_params(integer=True)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name_classes(self, ax: Any, shown: np.ndarray) -> None:
        names = short_names([self.labels[i] for i in shown], MAX_LENGTH)
        crowded = max(map(len, names)) * len(names) > MAX_NAMES
        turn = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(shown)), names, **(turn if crowded else {}))
        ax.set_yticks(range(len(shown)), names)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        left_out = len(self.labels) - len(shown)
        note = f"\n{left_out} classes with fewer changes left out" if left_out else ""
        ax.set(xlabel=f"suggested label (diagonal: kept){note}", ylabel="given label")


class TargetsDisplay(Display):
    """Given against suggested regression targets: a scatter plot.

    Parameters
    ----------
    given, suggested : ndarray of shape (n_samples,)
        Targets.
    flagged : ndarray of bool, shape (n_samples,)
        Samples taken for wrong.
    """

    def __init__(self, given: np.ndarray, suggested: np.ndarray, flagged: np.ndarray):
        self.given, self.suggested, self.flagged = given, suggested, flagged

    @classmethod
    def from_data(cls, data: AuditData) -> Self:
        """Return the display of an audit, not yet drawn."""
        return cls(data.labels, data.suggested, data.flagged)

    def plot(self, ax: Any = None) -> Self:
        """Draw kept and flagged samples, of many kept ones every n-th."""
        ax = new_axes(ax, (4.8, 4.2))
        kept = np.flatnonzero(~self.flagged)
        kept = kept[:: max(len(kept) // MAX_POINTS, 1)]
        flagged = np.flatnonzero(self.flagged)
        ax.scatter(self.given[kept], self.suggested[kept], s=5, color=KEPT)
        ax.scatter(
            self.given[flagged],
            self.suggested[flagged],
            s=16,
            marker="D",
            color=FLAGGED,
        )
        ax.legend(["kept", "flagged"], frameon=False)
        ax.set(xlabel="given target", ylabel="suggested target")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_formatter(lambda value, _: number(value))
        ax.xaxis.get_major_locator().set_params(nbins=MAX_TICKS)
        despine(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def labels_display(data: AuditData) -> Display:
    """Return the picture of given against suggested that fits the task."""
    display = LabelsDisplay if data.is_classifier else TargetsDisplay
    return display.from_data(data)
