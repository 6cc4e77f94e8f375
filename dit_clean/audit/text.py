"""Values as short, plain text: for pictures, tables and reports."""

import re
from typing import Any

import numpy as np

SPACE = "␣"
LONG, TOO_LONG = 1e3, 1e9


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


def cut_end(text: str, length: int) -> str:
    """Return a text without what does not fit."""
    return text if len(text) <= length else text[: length - 1] + "…"


def visible_spaces(value: Any) -> Any:
    """Return a string with the spaces marked that nobody would see, else the value.

    Examples
    --------
    >>> visible_spaces("green tea "), visible_spaces(3)
    ('green tea␣', 3)
    """
    if not isinstance(value, str):
        return value
    unseen = r"^\s+|\s+$|\s{2,}"
    return re.sub(unseen, lambda found: SPACE * len(found.group()), value)


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
