"""What columns of a data frame hold: numbers, categories, or what cannot be read."""

from datetime import date, time, timedelta
from numbers import Number
from typing import Any

import numpy as np

from dit_clean.gaps import is_missing

TIMES = (date, time, timedelta, np.datetime64, np.timedelta64)
CONTAINERS = (list, tuple, dict, set, np.ndarray)
_TIMES = (
    "holds dates or durations ({what}), which the default network cannot read. Turn it "
    "into numbers first, for example days since a date, or use skrub.TableVectorizer() "
    "before."
)
_COMPLEX = (
    "holds complex numbers ({what}), which networks cannot read. Give real and "
    "imaginary parts as two columns."
)


def is_numeric(dtype: Any) -> bool:
    """Tell numbers from categories, for the dtypes of pandas and polars.

    Raises
    ------
    TypeError
        If they are neither: says what a column of this dtype holds.
    """
    if hasattr(dtype, "is_temporal"):
        temporal = dtype.is_temporal()
        numeric = dtype.is_numeric() or str(dtype) == "Boolean"
    else:
        kind = getattr(dtype, "kind", "O")
        temporal, numeric = kind in "mM", kind in "biuf"
        if kind == "c":
            raise TypeError(_COMPLEX.format(what=dtype))
    if temporal:
        raise TypeError(_TIMES.format(what=dtype))
    return numeric


def is_named(dtype: Any) -> bool:
    """Tell whether a dtype says that numbers are names of categories."""
    return str(dtype).lower().startswith(("category", "categorical", "dictionary"))


def kinds_of(values: np.ndarray) -> set[str]:
    """Return {"str"} or {"number"}, whatever a column holds, or the empty set.

    Raises
    ------
    TypeError
        If it holds something else, or both: says what.
    """
    kinds = {kind for kind in map(_kind_of, values) if kind is not None}
    if kinds <= {"str"} or kinds <= {"number"}:
        return kinds
    listed = ", ".join(sorted(kinds))
    if any(is_time(value) for value in values):
        raise TypeError(_TIMES.format(what=listed))
    if any(isinstance(value, CONTAINERS) for value in values):
        raise TypeError(
            f"holds lists ({listed}), but one value in each cell is needed. Give each "
            "entry of the lists a column of its own."
        )
    if any(_is_complex(value) for value in values):
        raise TypeError(_COMPLEX.format(what=listed))
    raise TypeError(
        f"mixes or holds values of types {listed}, which the default network cannot "
        "read. Turn it into strings, for example with .astype(str), or into numbers."
    )


def is_time(value: Any) -> bool:
    """Tell whether one value is a date, a time, a duration or a period."""
    return isinstance(value, TIMES) or type(value).__name__ == "Period"


def n_categories(values: np.ndarray) -> int:
    """Return how many values a column holds; missing ones count as one."""
    return len({None if is_missing(value) else value for value in values})


def _kind_of(value: Any) -> str | None:
    """Return "str", "number", another type's name, or None for a missing value."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        return "str"
    is_number = isinstance(value, Number) and not _is_complex(value)
    return "number" if is_number and not is_time(value) else type(value).__name__


def _is_complex(value: Any) -> bool:
    return isinstance(value, complex | np.complexfloating)
