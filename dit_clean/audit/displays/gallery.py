"""The most suspicious samples, drawn side by side."""

import textwrap
from typing import Any, Self

import numpy as np

from dit_clean.audit.data import AuditData, plain
from dit_clean.audit.displays.base import Display
from dit_clean.audit.extras import require
from dit_clean.audit.gallery import GalleryItem, gallery_items
from dit_clean.audit.names import short_names
from dit_clean.audit.style import FLAGGED, MUTED
from dit_clean.audit.text import cut, no_formula, number

LINE = 34
MAX_LINES = 9
MAX_LABEL, MAX_FIELD = 16, 14
"""Characters of labels, and of names of columns."""
SIZES = {"image": (4, 1.9, 2.3), "other": (3, 3.1, 2.3)}
"""Columns, and width and height of one item in inches."""
TITLE, GAP = 0.45, 0.15
"""Inches that the title of an item takes, and those between two items."""


class GalleryDisplay(Display):
    """Images as images, texts as text, rows as small tables.

    Parameters
    ----------
    items : list of GalleryItem
        What to show.
    """

    def __init__(self, items: list[GalleryItem]):
        self.items = items

    @classmethod
    def from_data(
        cls,
        data: AuditData,
        *,
        samples: Any = None,
        n_items: int = 12,
        rows: Any = None,
    ) -> Self:
        """Return the display of an audit, not yet drawn.

        Parameters
        ----------
        data : AuditData
            From a fitted cleaner.
        samples : list of str, array, data frame or sparse matrix, optional
            What to show for each row, if that is not the X given to fit: the texts
            behind a bag of words, the images behind a table of features. Arrays with
            more than two axes are images.
        n_items : int, default=12
            How many.
        rows : array-like of int or bool, optional
            Which ones; by default the most suspicious.
        """
        return cls(gallery_items(data, samples=samples, n_items=n_items, rows=rows))

    def plot(self, ax: Any = None) -> Self:
        """Draw every item.

        Parameters
        ----------
        ax : matplotlib Axes or array of them, optional
            One for each item, or one whose place all items share; by default on a new
            figure.

        Raises
        ------
        ValueError
            If there are several axes, but fewer than items.
        """
        axes, scale = self._new_axes() if ax is None else self._given_axes(ax)
        pairs = [(item.given, item.suggested) for item in self.items]
        labels = [number(label) for pair in pairs for label in pair]
        names = iter(short_names(labels, MAX_LABEL))
        for item, place in zip(self.items, axes, strict=False):
            _draw(item, (next(names), next(names)), place, scale)
        for place in axes:
            place.set(xticks=[], yticks=[])
        for place in axes[len(self.items) :]:
            place.set_visible(False)
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    def _layout(self) -> tuple[int, int, float, float]:
        """Return the rows and columns of the picture, and the size of an item."""
        has_images = bool(self.items) and self.items[0].image is not None
        n_columns, width, height = SIZES["image" if has_images else "other"]
        return max(-(-len(self.items) // n_columns), 1), n_columns, width, height

    def _new_axes(self) -> tuple[np.ndarray, float]:
        pyplot = require("matplotlib.pyplot", "Plotting")
        n_rows, n_columns, width, height = self._layout()
        _, axes = pyplot.subplots(
            n_rows,
            n_columns,
            figsize=(n_columns * width, n_rows * height),
            layout="constrained",
            squeeze=False,
        )
        return axes.ravel(), 1

    def _given_axes(self, ax: Any) -> tuple[np.ndarray, float]:
        axes = np.asarray(ax).ravel()
        if len(axes) >= len(self.items):
            return axes, 1
        if len(axes) > 1:
            raise ValueError(
                f"ax holds {len(axes)} axes for {len(self.items)} samples. Give one "
                f"for each, a single one for all, or n_items={len(axes)}."
            )
        return _split(axes[0], *self._layout())


def _split(
    ax: Any, n_rows: int, n_columns: int, width: float, height: float
) -> tuple[np.ndarray, float]:
    """Return axes in the place of one, which is hidden, and the scale of the text."""
    ax.set_axis_off()
    box, dpi = ax.get_window_extent(), ax.figure.dpi
    whole = n_columns * width * dpi, n_rows * height * dpi
    scale = min(box.width / whole[0], box.height / whole[1], 1)
    gap, title = GAP * scale * dpi / box.width, TITLE * scale * dpi / box.height
    size = 1 / n_columns - gap, 1 / n_rows - title
    corners = [
        (column / n_columns + gap / 2, 1 - (row + 1) / n_rows)
        for row, column in np.ndindex(n_rows, n_columns)
    ]
    return np.array([ax.inset_axes((*corner, *size)) for corner in corners]), scale


def _draw(item: GalleryItem, labels: tuple[str, str], ax: Any, scale: float) -> None:
    given, suggested = labels
    change = f"{given} → {suggested}" if item.flagged else f"{given} (kept)"
    title = f"row {item.row}, suspicion {item.suspicion:.2f}\n{change}"
    ax.set_title(title, fontsize=9 * scale, pad=6 * scale)
    ax.spines[:].set_color(FLAGGED if item.flagged else MUTED)
    if item.image is not None:
        ax.imshow(item.image, cmap="gray", vmin=0, vmax=255)
        return
    ax.text(
        0.03,
        0.95,
        "\n".join(_lines(item)),
        transform=ax.transAxes,
        va="top",
        fontsize=8 * scale,
        family="monospace" if item.text is None else None,
    )


def _lines(item: GalleryItem) -> list[str]:
    """Return the text of an item, cut to what fits."""
    if item.text is not None:
        lines = textwrap.wrap(item.text, LINE, max_lines=MAX_LINES, placeholder=" …")
        return [no_formula(line) for line in lines]
    names = short_names([name for name, _ in item.fields], MAX_FIELD)
    lines = [
        f"{name:<{MAX_FIELD}} {no_formula(cut(_known(value), LINE - MAX_FIELD - 1))}"
        for name, (_, value) in zip(names, item.fields, strict=True)
    ]
    return [*lines, f"… {item.n_more} more"] if item.n_more else lines


def _known(value: Any) -> str:
    """Return a shortened value, or nothing where it is missing."""
    value = plain(value)
    return "" if value is None else str(number(value))
