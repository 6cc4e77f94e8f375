"""Colors that color-blind readers can tell apart, and plain axes."""

from typing import Any

from dit_clean.audit.extras import require

KEPT, FLAGGED = "#4a90c4", "#e07b22"
"""Blue and orange of middle lightness: both stand out on white and on black."""
PALE, MUTED = "#f3f1ee", "#8a857e"
DEEP_BLUE, DEEP_ORANGE = "#1c5d91", "#a34a06"


def diverging_colors() -> Any:
    """Return the color map of influence: orange harms, blue helps."""
    colors = require("matplotlib.colors", "Plotting")
    steps = [DEEP_ORANGE, FLAGGED, PALE, KEPT, DEEP_BLUE]
    return colors.LinearSegmentedColormap.from_list("influence", steps)


def rising_colors() -> Any:
    """Return the color map of counts: from pale to deep orange."""
    colors = require("matplotlib.colors", "Plotting")
    steps = [PALE, FLAGGED, DEEP_ORANGE]
    return colors.LinearSegmentedColormap.from_list("counts", steps)


def new_axes(ax: Any, size: tuple[float, float]) -> Any:
    """Return the given axes, or axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    pyplot = require("matplotlib.pyplot", "Plotting")
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def despine(ax: Any) -> None:
    """Leave only the left and the lower edge of the axes."""
    ax.spines[["top", "right"]].set_visible(False)


def ink_on(rgba: tuple[float, ...]) -> str:
    """Return black or white, whichever reads better on a color."""
    red, green, blue = rgba[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"  # noqa: PLR2004
