"""The most suspicious samples, drawn side by side."""

import textwrap
from typing import Any, Self

import numpy as np

from dit_clean.audit.data import AuditData, plain
from dit_clean.audit.displays.base import Display
from dit_clean.audit.extras import require
from dit_clean.audit.gallery import GalleryItem, gallery_items
from dit_clean.audit.style import FLAGGED, MUTED, as_text, number

LINE = 34
MAX_LINES = 9
SIZES = {"image": (4, 1.9, 2.3), "other": (3, 3.1, 2.3)}
"""Columns, and width and height of one item in inches."""


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
        """Return the display of an audit, not yet drawn; see `gallery_items`."""
        return cls(gallery_items(data, samples=samples, n_items=n_items, rows=rows))

    def plot(self, ax: Any = None) -> Self:
        """Draw every item.

        Parameters
        ----------
        ax : array of matplotlib Axes, optional
            One for each item; by default on a new figure.
        """
        axes = self._new_axes() if ax is None else np.asarray(ax).ravel()
        for item, place in zip(self.items, axes, strict=False):
            self._draw(item, place)
        for place in axes:
            place.set(xticks=[], yticks=[])
        for place in axes[len(self.items) :]:
            place.set_visible(False)
        self.ax_, self.figure_ = axes, axes[0].figure
        return self

    def _new_axes(self) -> np.ndarray:
        pyplot = require("matplotlib.pyplot", "Plotting")
        has_images = bool(self.items) and self.items[0].image is not None
        n_columns, width, height = SIZES["image" if has_images else "other"]
        n_rows = max(-(-len(self.items) // n_columns), 1)
        _, axes = pyplot.subplots(
            n_rows,
            n_columns,
            figsize=(n_columns * width, n_rows * height),
            layout="constrained",
            squeeze=False,
        )
        return axes.ravel()

    def _draw(self, item: GalleryItem, ax: Any) -> None:
        given, suggested = (
            as_text(number(label), 16) for label in (item.given, item.suggested)
        )
        change = f"{given} → {suggested}" if item.flagged else f"{given} (kept)"
        ax.set_title(
            f"row {item.row}, suspicion {item.suspicion:.2f}\n{change}", fontsize=9
        )
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
            fontsize=8,
            family="monospace" if item.text is None else None,
        )


def _lines(item: GalleryItem) -> list[str]:
    """Return the text of an item, cut to what fits."""
    if item.text is not None:
        lines = textwrap.wrap(item.text, LINE, max_lines=MAX_LINES, placeholder=" …")
        return [line.replace("$", r"\$") for line in lines]
    lines = [
        f"{as_text(name, 14):<14} {as_text(known(value), LINE - 15)}"
        for name, value in item.fields
    ]
    return [*lines, f"… {item.n_more} more"] if item.n_more else lines


def known(value: Any) -> Any:
    """Return a shortened value, or nothing where it is missing."""
    value = plain(value)
    return "" if value is None else number(value)
