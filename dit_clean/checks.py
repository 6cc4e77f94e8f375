"""Rules that the value of a parameter may have to fit, and their words."""

from collections.abc import Callable, Mapping
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

Rule = tuple[Callable[[Any], bool], str]
SEQUENCES = (list, tuple, np.ndarray)


def is_int(low: int) -> Rule:
    """Return the rule for an int of at least `low`."""
    return (
        lambda v: _is_a(v, Integral) and int(v) >= low,
        f"an int of at least {low}",
    )


def is_real(low: float, high: float = float("inf")) -> Rule:
    """Return the rule for a finite number in (low, high]."""
    bound = f"in ({low}, {high}]" if high < float("inf") else f"greater than {low}"
    return (
        lambda v: _is_a(v, Real) and low < float(v) <= high and isfinite(v),
        f"a number {bound}",
    )


def is_one_of(*options: Any) -> Rule:
    """Return the rule for one of a few values."""
    one_of = "one of " if len(options) > 1 else ""
    return (
        lambda v: any(v is o or (isinstance(v, str) and v == o) for o in options),
        one_of + ", ".join(map(repr, options)),
    )


def is_bool() -> Rule:
    """Return the rule for True or False."""
    return lambda v: isinstance(v, bool | np.bool_), "True, or False"


def is_sizes() -> Rule:
    """Return the rule for a size, or a sequence of sizes, which may be empty."""
    accepts, words = is_int(1)
    return (
        lambda v: (
            all(map(accepts, v))
            if isinstance(v, SEQUENCES) and getattr(v, "shape", None) != ()
            else accepts(v)
        ),
        f"{words}, or a list, tuple or array of such",
    )


def is_device() -> Rule:
    """Return the rule for the name of a torch device."""
    return _names_device, "a torch device such as 'cpu', 'cuda' or 'cuda:1'"


def is_n_jobs() -> Rule:
    """Return the rule for joblib's number of workers."""
    return (
        lambda v: v is None or (_is_a(v, Integral) and v != 0),
        "None, or an int other than 0",
    )


def either(*rules: Rule) -> Rule:
    """Return the rule for a value that fits one of `rules`."""
    return (
        lambda v: any(accepts(v) for accepts, _ in rules),
        ", or ".join(words for _, words in rules),
    )


def check_parameters(estimator: Any, table: Mapping[str, Rule]) -> None:
    """Raise if a parameter of the estimator does not fit its rule.

    Raises
    ------
    ValueError
        Names the parameter, what was given and what is needed.
    """
    for name, (accepts, words) in table.items():
        value = getattr(estimator, name)
        if not accepts(value):
            raise ValueError(
                f"{type(estimator).__name__}: {name} must be {words}, got {value!r}."
            )


def _is_a(value: Any, kind: type) -> bool:
    """Tell whether a value is a number of a kind; True and False are none."""
    return isinstance(value, kind) and not isinstance(value, bool)


def _names_device(value: Any) -> bool:
    try:
        torch.device(value)
    except (RuntimeError, TypeError):
        return False
    return True
