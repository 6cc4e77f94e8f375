"""The training curve with the window."""

import textwrap
from typing import Any, Self

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.displays.base import Display
from dit_clean.audit.style import KEPT, MUTED, despine, new_axes
from dit_clean.audit.summary import MEASURES

MAX_LINE = 26
"""Characters beside the picture in one line."""


class TrainingDisplay(Display):
    """How well the networks agreed with the given labels, epoch by epoch.

    Parameters
    ----------
    curves : dict of str to ndarray of shape (n_epochs,)
        "in_sample" (by networks that train on the sample) and "held_out".
    window : tuple of int
        Epochs (start, stop) to shade.
    measure : str
        What the curves show.
    """

    def __init__(
        self, curves: dict[str, np.ndarray], window: tuple[int, int], measure: str
    ):
        self.curves, self.window, self.measure = curves, window, measure

    @classmethod
    def from_data(cls, data: AuditData) -> Self:
        """Return the display of an audit, not yet drawn."""
        return cls(data.curves, data.window, MEASURES[data.is_classifier])

    def plot(self, ax: Any = None) -> Self:
        """Draw both curves; the window is shaded."""
        ax = new_axes(ax, (6.4, 3.4))
        looks = {
            "in_sample": ("networks that train on the sample", MUTED, "--"),
            "held_out": ("networks that never saw it", KEPT, "-"),
        }
        for name, (label, color, line) in looks.items():
            curve = self.curves[name]
            epochs = np.arange(1, len(curve) + 1)
            ax.plot(epochs, curve, color=color, linestyle=line, label=label)
        start, stop = self.window
        ink = ax.xaxis.label.get_color()
        ax.axvspan(start + 0.5, stop + 0.5, color=ink, alpha=0.1, lw=0, label="window")
        ax.set(xlabel="epoch", ylabel=textwrap.fill(self.measure, MAX_LINE))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.legend(frameon=False)
        despine(ax)
        self.ax_, self.figure_ = ax, ax.figure
        return self
