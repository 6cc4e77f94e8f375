"""Histogram of suspicion with the threshold."""

from typing import Any, Self

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.displays.base import Display
from dit_clean.audit.style import FLAGGED, KEPT, despine, new_axes
from dit_clean.audit.summary import suspicion_histogram


class SuspicionDisplay(Display):
    """How many samples have how much suspicion, and where the cut lies.

    Parameters
    ----------
    edges : ndarray of shape (n_bins + 1,)
        Bounds of the bins.
    kept, flagged : ndarray of shape (n_bins,)
        Samples in each bin.
    threshold : float
        Suspicion from which on a sample is flagged.
    """

    def __init__(
        self, edges: np.ndarray, kept: np.ndarray, flagged: np.ndarray, threshold: float
    ):
        self.edges, self.kept, self.flagged = edges, kept, flagged
        self.threshold = threshold

    @classmethod
    def from_data(cls, data: AuditData) -> Self:
        """Return the display of an audit, not yet drawn."""
        bins = {k: np.asarray(v) for k, v in suspicion_histogram(data).items()}
        return cls(**bins, threshold=data.threshold)

    def plot(self, ax: Any = None) -> Self:
        """Draw the histogram, counts on a logarithmic axis."""
        ax = new_axes(ax, (6.4, 3.4))
        parts = (
            ("kept", self.kept, 0, KEPT),
            ("flagged", self.flagged, self.kept, FLAGGED),
        )
        for name, counts, bottom, color in parts:
            ax.stairs(
                bottom + counts,
                self.edges,
                baseline=bottom,
                fill=True,
                color=color,
                label=f"{name} ({counts.sum():,})",
            )
        ink = ax.xaxis.label.get_color()
        ax.axvline(
            self.threshold,
            color=ink,
            linestyle="--",
            linewidth=1.2,
            label=f"threshold {self.threshold:.2f}",
        )
        ax.set_yscale("symlog", linthresh=1)
        ax.set(xlim=(0, 1), xlabel="suspicion", ylabel="samples")
        ax.set_ylim(bottom=0)
        ax.yaxis.set_major_formatter("{x:,.0f}")
        # Above the axes: bars may be anywhere inside.
        ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3)
        despine(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
