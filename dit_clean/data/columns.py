"""What columns of a data frame hold: numbers, categories, or what cannot be read."""

from datetime import date, time, timedelta
from numbers import Number
from typing import Any

import numpy as np

from dit_clean.gaps import is_missing

NAMED = ("category", "categorical", "enum", "dictionary")
"""How dtypes begin that say that values are names."""
TIMES = (date, time, timedelta, np.datetime64, np.timedelta64)
NUMBERS = (Number, np.bool_)
CONTAINERS = (list, tuple, dict, set, np.ndarray)
MANY_CATEGORIES = 50
"""In a column of categories with more values than these, rare ones share a column."""
READ: tuple[set[str], ...] = (set(), {"str"}, {"number"})
"""Kinds of values that the columns of a frame may hold."""
WORDS = {"str": "text", "number": "numbers"}
TYPES = {"str": "str", "number": "float"}
HOLDS_TIMES = (
    "holds dates or durations ({what}), which networks cannot read. Turn it "
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
        raise TypeError(HOLDS_TIMES.format(what=dtype))
    return numeric


def is_named(dtype: Any) -> bool:
    """Tell whether a dtype says that numbers are names of categories."""
    return str(dtype).lower().startswith(NAMED)


def kinds_of(values: np.ndarray) -> set[str]:
    """Return {"str"} or {"number"}, whatever a column holds, or the empty set.

    Raises
    ------
    TypeError
        If it holds something else, or both: says what.
    """
    kinds = _kinds(values)
    if kinds in READ:
        return kinds
    listed = ", ".join(sorted(kinds))
    if any(is_time(value) for value in values):
        raise TypeError(HOLDS_TIMES.format(what=listed))
    if any(isinstance(value, CONTAINERS) for value in values):
        raise TypeError(
            f"holds lists ({listed}), but one value in each cell is needed. Give each "
            "entry of the lists a column of its own."
        )
    if any(_is_complex(value) for value in values):
        raise TypeError(_COMPLEX.format(what=listed))
    raise TypeError(
        f"holds values that are neither numbers nor text, or both ({listed}), which "
        "the default network cannot read. Turn them into strings, for example with "
        ".astype(str), or into numbers."
    )


def places_of(X: Any) -> tuple[list[int], list[int], list[int]]:
    """Return which columns of a frame hold numbers, few categories, or many.

    Raises
    ------
    TypeError
        If some hold neither: names all of them.
    """
    places: tuple[list[int], list[int], list[int]] = ([], [], [])
    problems = {}
    for i, name in enumerate(X.columns):
        try:
            places[_place_of(X, i)].append(i)
        except TypeError as error:
            problems[name] = str(error)
    if problems:
        raise TypeError(_listed(problems))
    return places


def check_kinds(X: Any, empty: Any, kinds: list[str]) -> None:
    """Raise if columns of a frame hold text where fit saw numbers, or the reverse.

    Parameters
    ----------
    X : data frame
        Further rows.
    empty : data frame
        No row of the one given to fit.
    kinds : list of str
        "number" or "str" for each column of it, "" for one that was empty.

    Raises
    ------
    TypeError
        If a column holds neither.
    ValueError
        If it holds the other: as a category it would be one that is unknown.
    """
    problems, unread = {}, {}
    convert = "astype" if hasattr(X, "iloc") else "cast"
    known = zip(X.columns, X.dtypes, empty.dtypes, kinds, strict=False)
    for i, (name, dtype, dtype_of_fit, kind) in enumerate(known):
        try:
            found = _kind_of_column(X, i, kind)
        except TypeError as error:
            unread[name] = str(error)
            continue
        if kind and found not in ("", kind):
            problems[name] = (
                f"holds {WORDS[found]} ({dtype}), but fit saw {WORDS[kind]} "
                f"({dtype_of_fit}). Read or convert it as it was for fit, for example "
                f"with .{convert}({TYPES[kind]})."
            )
    if unread:
        raise TypeError(_listed(unread))
    if problems:
        raise ValueError(_listed(problems))


def column_values(X: Any, i: int) -> np.ndarray:
    """Return a column of a frame as Python objects.

    Categories that are neither texts nor numbers, such as the intervals of
    ``pandas.cut``, as text: scikit-learn encodes nothing else.
    """
    column = X.iloc[:, i] if hasattr(X, "iloc") else X.to_series(i)
    values = np.asarray(column, dtype=object)
    categories = getattr(column, "cat", None) if hasattr(X, "iloc") else None
    if categories is None or _kinds(categories.categories) in READ:
        return values
    return np.array([v if is_missing(v) else str(v) for v in values], dtype=object)


def is_time(value: Any) -> bool:
    """Tell whether one value is a date, a time, a duration or a period."""
    return isinstance(value, TIMES) or type(value).__name__ == "Period"


def _place_of(X: Any, i: int) -> int:
    """Return 0 for a column of numbers, 1 for one of few categories, 2 for many."""
    dtype = list(X.dtypes)[i]
    if is_numeric(dtype):
        return 0
    values = column_values(X, i)
    # An object column of numbers is numeric; a categorical dtype says that its
    # numbers are names.
    if kinds_of(values) == {"number"} and not is_named(dtype):
        return 0
    categories = {None if is_missing(value) else value for value in values}
    return 2 if len(categories) > MANY_CATEGORIES else 1


def _kind_of_column(X: Any, i: int, known: str) -> str:
    """Return "number", "str", or "" for a column that holds nothing.

    Empty columns are often read as numbers that are missing.
    """
    if not is_numeric(list(X.dtypes)[i]):
        return next(iter(kinds_of(column_values(X, i))), "")
    is_known = known == "number" or not all(map(is_missing, column_values(X, i)))
    return "number" if is_known else ""


def _listed(problems: dict[Any, str]) -> str:
    """Return the problems of columns, each once."""
    names: dict[str, list[str]] = {}
    for name, problem in problems.items():
        names.setdefault(problem, []).append(repr(name))
    return " ".join(_named(*found) for found in names.items())


def _named(problem: str, names: list[str]) -> str:
    others = f" (like {', '.join(names[1:])})" if names[1:] else ""
    return f"Column {names[0]}{others} {problem}"


def _kinds(values: Any) -> set[str]:
    """Return "str", "number" and names of other types that values have."""
    # One by one is slow, and texts may be millions.
    others = [value for value in values if type(value) is not str]
    kinds = {kind for kind in map(_kind_of, others) if kind is not None}
    if len(others) < len(values):
        kinds.add("str")
    return kinds


def _kind_of(value: Any) -> str | None:
    """Return "str", "number", another type's name, or None for a missing value."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        return "str"
    is_number = isinstance(value, NUMBERS) and not _is_complex(value)
    return "number" if is_number and not is_time(value) else type(value).__name__


def _is_complex(value: Any) -> bool:
    return isinstance(value, complex | np.complexfloating)
