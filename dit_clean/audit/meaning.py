"""What a cell of a review means: reports and spreadsheets write labels their own way.

They round, cut, strip, write 1 as 1.0, and a date with or without its time.
"""

import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from dit_clean.audit.extras import require

ROUNDING = 1e-4
"""Relative difference up to which a number in a review may be the target given."""
CUT = "…"
GUARDED = re.compile(r"'[=+\-@\t\r]")
"""Beginning of a text that a report has kept from being a formula of a spreadsheet."""


def meant_labels(cell: Any, labels: Iterable[Any]) -> list[Any]:
    """Return the labels that a cell may mean, those alone that come closest to it.

    Parameters
    ----------
    cell : object
        Of a data frame or of a CSV file.
    labels : iterable
        All labels that there are, each once.

    Examples
    --------
    >>> meant_labels("spam ", ["ham", "spam", "spam "])
    ['spam ']
    >>> meant_labels(" spam", ["ham", "spam", "spam "])
    ['spam', 'spam ']
    >>> meant_labels("2.0", [1, 2, 3])
    [2]
    >>> meant_labels("'=spam", ["ham", "=spam"])
    ['=spam']
    """
    text, labels = str(cell), list(labels)
    for is_meant in (_is_exactly, _is_as_value, _is_cut):
        found = [label for label in labels if is_meant(text, label)]
        if found:
            return found
    return meant_labels(text[1:], labels) if GUARDED.match(text) else []


def is_target(cell: Any, target: Any) -> bool:
    """Tell whether a cell shows a regression target; reports round them."""
    if meant_labels(cell, [target]):
        return True
    try:
        return math.isclose(float(str(cell)), float(target), rel_tol=ROUNDING)
    except ValueError:
        return False


def _is_exactly(text: str, label: Any) -> bool:
    return text == str(label)


def _is_as_value(text: str, label: Any) -> bool:
    """Tell whether a text is a label as a spreadsheet may write it: 1.0, TRUE."""
    text = text.strip()
    if isinstance(label, bool | np.bool_):
        return text.lower() == str(label).lower()
    if isinstance(label, np.datetime64 | np.timedelta64):
        return _is_time(text, label)
    if isinstance(label, int | float | np.integer | np.floating):
        return _is_number(text, label)
    return text == str(label).strip()


def _is_cut(text: str, label: Any) -> bool:
    """Tell whether a text is the beginning of a label that a report has cut."""
    text = text.strip()
    return text.endswith(CUT) and str(label).strip().startswith(text[:-1])


def _is_number(text: str, label: Any) -> bool:
    try:
        is_whole = isinstance(label, int | np.integer) and text.lstrip("+-").isdecimal()
        return int(text) == label if is_whole else float(text) == float(label)
    except ValueError:
        return False


def _is_time(text: str, label: Any) -> bool:
    if isinstance(label, np.datetime64):
        read: Any = np.datetime64
    else:
        read = require("pandas", "Reading a duration").Timedelta
    try:
        return bool(read(text) == label)
    except ValueError:
        return False
