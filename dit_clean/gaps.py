"""What counts as a missing value, whatever library has written it."""

from typing import Any

import numpy as np


def is_missing(value: Any) -> bool:
    """Tell whether one value is a missing one: None, NaN, NaT, NA or masked.

    Examples
    --------
    >>> gaps = None, np.float32("nan"), np.datetime64("NaT"), np.ma.masked
    >>> [is_missing(value) for value in gaps]
    [True, True, True, True]
    >>> [is_missing(value) for value in (0, "", "nan", ("a", 1))]
    [False, False, False, False]
    """
    if value is None or value is np.ma.masked:
        return True
    if type(value).__name__ == "NAType":  # which has no truth value
        return True
    differs = _differs_from_itself(value)
    return isinstance(differs, bool | np.bool_) and bool(differs)


def are_missing(values: Any) -> np.ndarray:
    """Return which entries of an array, series or list are missing, of its shape.

    Those that a masked array masks are.
    """
    # A list as it is: numpy makes texts of gaps that are among texts.
    is_list = isinstance(values, list | tuple)
    plain = np.asarray(values, dtype=object if is_list else None)
    holds_objects = plain.dtype.kind == "O"
    find = np.frompyfunc(is_missing, 1, 1) if holds_objects else _differs_from_itself
    missing = np.asarray(find(plain), dtype=bool)
    is_masked = isinstance(values, np.ma.MaskedArray)
    return missing | np.ma.getmaskarray(values) if is_masked else missing


def _differs_from_itself(value: Any) -> Any:
    """Tell whether a value differs from itself, as NaN and NaT do."""
    return value != value  # noqa: PLR0124
