"""How far stages of training agree on who harms and who helps."""

from typing import Any, Self

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.displays.base import Display
from dit_clean.audit.style import diverging_colors, ink_on, new_axes
from dit_clean.audit.summary import stage_agreement


class StagesDisplay(Display):
    """Rank correlation of influence between stages of training.

    Parameters
    ----------
    stages : list of str
        Names of the stages.
    correlation : ndarray of shape (n_stages, n_stages)
        Spearman's; NaN where a stage has no influence.
    """

    def __init__(self, stages: list[str], correlation: np.ndarray):
        self.stages, self.correlation = stages, correlation

    @classmethod
    def from_data(cls, data: AuditData) -> Self:
        """Return the display of an audit, not yet drawn."""
        stages = stage_agreement(data)
        return cls(stages["stages"], np.array(stages["spearman"], dtype=float))

    def plot(self, ax: Any = None) -> Self:
        """Draw the matrix with its numbers."""
        ax = new_axes(ax, (4.6, 3.8))
        colors = diverging_colors()
        limits = {"vmin": -1, "vmax": 1}
        image = ax.imshow(self.correlation, cmap=colors, aspect="auto", **limits)
        for (i, j), value in np.ndenumerate(self.correlation):
            known = np.isfinite(value)
            ax.text(
                j,
                i,
                f"{value:.2f}" if known else "-",
                ha="center",
                va="center",
                color=ink_on(colors((value + 1) / 2)) if known else None,
            )
        places = range(len(self.stages))
        ax.set_xticks(places, self.stages)
        ax.set_yticks(places, self.stages)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        bar = ax.figure.colorbar(image, ax=ax, ticks=[-1, 0, 1], pad=0.02)
        bar.set_label("rank correlation")
        self.ax_, self.figure_ = ax, ax.figure
        return self
