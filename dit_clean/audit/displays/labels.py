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
    rising_colors,
)
from dit_clean.audit.summary import count_changes
from dit_clean.audit.text import number

MAX_LINES = 20
OTHERS = "other classes"
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
        """Draw the matrix; of more than 20 classes those with most changes in common.

        The others share a row and a column. Changes among them are not drawn: they may
        be so many that no other cell would stand out.
        """
        changes = self.counts - np.diag(np.diag(self.counts))
        shown = np.arange(len(changes))
        if len(changes) > MAX_LINES:
            shown = connected_classes(changes, MAX_LINES - 1)
            changes = _with_others(changes, shown)
        side = 2.4 + 0.42 * len(changes)
        ax = new_axes(ax, (max(side + 0.8, 4.4), max(side, 3.2)))
        colors, top = rising_colors(), max(int(changes.max()), 1)
        image = ax.imshow(changes, cmap=colors, vmin=0, vmax=top, aspect="auto")
        if len(changes) <= MAX_NUMBERS:
            for i, j in np.argwhere(self.counts):
                ink = KEPT_COUNT if i == j else ink_on(colors(changes[i, j] / top))
                text = f"{self.counts[i, j]:,}"
                ax.text(j, i, text, ha="center", va="center", color=ink)
        self._name_classes(ax, shown)
        self._count_shown(ax, shown, int(changes.sum()))
        bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
        bar.set_label("samples to change")
        bar.ax.yaxis.get_major_locator().set_params(integer=True)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name_classes(self, ax: Any, shown: np.ndarray) -> None:
        # Told apart from all classes: a reader does not know which ones are drawn.
        *names, others = short_names([*self.labels, OTHERS], MAX_LENGTH)
        names = [names[i] for i in shown]
        names += [others] * (len(self.labels) > len(shown))
        crowded = max(map(len, names)) * len(names) > MAX_NAMES
        turn = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        ax.set_xticks(range(len(names)), names, **(turn if crowded else {}))
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_ylabel("given label")

    def _count_shown(self, ax: Any, shown: np.ndarray, n_drawn: int) -> None:
        """Say what the axes show, and how many changes they do not."""
        ax.set_xlabel("suggested label (diagonal: kept)")
        n_others = len(self.labels) - len(shown)
        if n_others:
            n_changes = int(self.counts.sum() - np.trace(self.counts))
            ax.set_xlabel(
                f"suggested label\n{n_drawn:,} of {n_changes:,} changes drawn;\n"
                f"the rest is among the {n_others:,} other classes"
            )


def connected_classes(changes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the classes that have the most changes among themselves.

    Those with most changes each may have them with classes that are left out. One class
    or two are added at a time, whatever brings more changes for each class.

    Parameters
    ----------
    changes : ndarray of int, shape (n, n)
        Samples to change from class i to class j, 0 on the diagonal.
    n_classes : int
        How many, at most n.

    Returns
    -------
    shown : ndarray of int, shape (n_classes,)
        Sorted.

    Examples
    --------
    >>> changes = np.zeros((5, 5), dtype=int)
    >>> changes[0, [1, 2, 3]], changes[3, 4] = 2, 5
    >>> connected_classes(changes, 3)
    array([0, 3, 4])
    """
    both = changes + changes.T
    chosen: list[int] = []
    while len(chosen) < n_classes:
        gain = both[:, chosen].sum(axis=1)
        pairs = gain[:, None] + gain + both  # diagonal: a class alone counts twice
        pairs[chosen] = pairs[:, chosen] = -1
        first, second = np.unravel_index(pairs.argmax(), pairs.shape)
        if len(chosen) == n_classes - 1:
            first = second = np.diag(pairs).argmax()
        chosen += sorted({int(first), int(second)})
    return np.sort(chosen)


def _with_others(changes: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the changes of some classes; a last row and column add up all others."""
    line = np.full(len(changes), len(shown))
    line[shown] = np.arange(len(shown))
    summed = np.zeros((len(shown) + 1,) * 2, dtype=int)
    np.add.at(summed, (line[:, None], line), changes)
    summed[-1, -1] = 0
    return summed


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
