"""Displays as inline SVG that takes its ink from the page, light or dark."""

import io
import re
import warnings

from dit_clean.audit.displays.base import Display
from dit_clean.audit.extras import require

INK = "#0a0b0c"
"""A color that nothing else has: replaced by ``currentColor``."""
SIZE = (6.4, 3.6)
INK_KEYS = (
    "text.color",
    "axes.labelcolor",
    "axes.titlecolor",
    "axes.edgecolor",
    "xtick.color",
    "ytick.color",
    "legend.labelcolor",
)


def as_svg(display: Display, name: str, size: tuple[float, float] = SIZE) -> str:
    """Return a display as an ``<svg>`` element without fonts, links or a background.

    Parameters
    ----------
    display : Display
        Not yet drawn.
    name : str
        Salt of the ids inside, so that several pictures can share one page.
    size : tuple of float
        Width and height in inches: proportions, and how large the text is.
    """
    matplotlib = require("matplotlib", "The report")
    figures = require("matplotlib.figure", "The report")
    settings = dict.fromkeys(INK_KEYS, INK) | {
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 10,
    }
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # The browser has glyphs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = figures.Figure(figsize=size, layout="constrained")
        display.plot(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: [^;\"]*sans-serif", _font, svg)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    return svg.replace(INK, "currentColor")


def _font(match: re.Match[str]) -> str:
    """Return the size of a font declaration with the page's own font."""
    size = re.search(r"[\d.]+px", match.group())
    return f"font: {size.group() if size else '10px'} system-ui, sans-serif"
