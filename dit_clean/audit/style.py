"""Colors that color-blind readers can tell apart, and text that is only text."""

from typing import Any

import numpy as np

from dit_clean.audit.extras import require

KEPT, FLAGGED = "#4a90c4", "#e07b22"
"""Blue and orange of middle lightness: both stand out on white and on black."""
PALE, MUTED = "#f3f1ee", "#8a857e"
DEEP_BLUE, DEEP_ORANGE = "#1c5d91", "#a34a06"
LONG, TOO_LONG = 1e3, 1e9


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


def cut(text: str, length: int) -> str:
    """Return a text as one line, without its middle if that does not fit.

    Names that differ at their ends alone differ when they are cut, too.

    Examples
    --------
    >>> cut("customer_segment_gold", 14)
    'custome…t_gold'
    """
    text = " ".join(text.split())
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return text[: length - 1 - half].rstrip() + "…" + text[-half:].lstrip()


def no_formula(text: str) -> str:
    """Return a text whose dollars are kept from TeX."""
    return text.replace("$", r"\$")


def number(value: Any) -> Any:
    """Return a float as four significant digits, all else as it is.

    Examples
    --------
    >>> number(3.14159), number(452600.0), number("pi"), number(4)
    ('3.142', '452,600', 'pi', 4)
    """
    if not isinstance(value, float | np.floating):
        return value
    value = float(value)
    return f"{value:,.0f}" if LONG <= abs(value) < TOO_LONG else f"{value:.4g}"


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
