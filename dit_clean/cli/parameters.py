"""What some options of the command line take."""

from typing import Any

import click

from dit_clean.influence.windows import NAMED

MAX_CONTAMINATION = 0.5


class WindowType(click.ParamType):
    """A window: a name, a number of last epochs, or start:stop."""

    name = "window"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what the cleaner takes as `window`."""
        try:
            if ":" in value:
                start, stop = value.split(":")
                return (_number(start), _number(stop))
            return int(value)
        except ValueError:
            if value in NAMED:
                return value
            self.fail(
                f"{value!r} is none of {', '.join(NAMED)}, no number of last epochs "
                "and no START:STOP as in 5:20 or 0.2:0.6."
            )


class ContaminationType(click.ParamType):
    """The word auto, or a fraction."""

    name = "fraction"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what the cleaner takes as `contamination`."""
        if value == "auto":
            return value
        try:
            fraction = float(value)
        except ValueError:
            fraction = 0.0
        if not 0 < fraction <= MAX_CONTAMINATION:
            self.fail(f"{value!r} is neither auto nor a fraction in (0, 0.5].")
        return fraction


class SeparatorType(click.ParamType):
    """One character, or the escape of a tab."""

    name = "character"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the character."""
        character = value.replace("\\t", "\t")
        if len(character) != 1:
            self.fail(f"{value!r} is not one character, such as ';' or '\\t' (a tab).")
        return character


class JobsType(click.ParamType):
    """A number of workers, as joblib counts them."""

    name = "integer"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number."""
        n_jobs = click.INT.convert(value, param, ctx)
        if n_jobs == 0:
            self.fail("0 networks cannot be trained. Give 1 or more, or -1.")
        return n_jobs


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
