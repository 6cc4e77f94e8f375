"""What some options of the command line take."""

import sys
from typing import Any

import click

from dit_clean.influence.windows import NAMED

MAX_CONTAMINATION = 0.5


def read_window(value: str) -> Any:
    """Return a window: a name, a number of last epochs, or start:stop."""
    try:
        if ":" in value:
            start, stop = value.split(":")
            return (_number(start), _number(stop))
        return int(value)
    except ValueError:
        if value in NAMED:
            return value
        raise click.BadParameter(
            f"{value!r} is none of {', '.join(NAMED)}, no number of last epochs and no "
            "START:STOP as in 5:20 or 0.2:0.6."
        ) from None


def read_contamination(value: str) -> str | float:
    """Return the word auto, or a fraction."""
    return _auto_or_number(value, MAX_CONTAMINATION, "a fraction in (0, 0.5]")


def read_lr(value: str) -> str | float:
    """Return the word auto, or a learning rate."""
    return _auto_or_number(value, sys.float_info.max, "a number above 0")


def read_separator(value: str) -> str:
    r"""Return one character; ``\t`` is a tab."""
    character = value.replace("\\t", "\t")
    if len(character) != 1:
        raise click.BadParameter(
            f"{value!r} is not one character, such as ';' or '\\t' (a tab)."
        )
    return character


def read_jobs(value: Any) -> int:
    """Return a number of workers, as joblib counts them."""
    n_jobs = click.INT.convert(value, None, None)
    if n_jobs == 0:
        raise click.BadParameter("0 networks cannot be trained. Give 1 or more, or -1.")
    return n_jobs


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _auto_or_number(value: str, most: float, words: str) -> str | float:
    if value == "auto":
        return value
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise click.BadParameter(f"{value!r} is neither auto nor {words}.")
    return number
