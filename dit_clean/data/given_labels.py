"""What is odd about the given labels themselves, before anything is trained."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import resample

from dit_clean.data.columns import column_values, kinds_of
from dit_clean.data.tables import MATRIX_AXES, is_frame
from dit_clean.data.targets import Targets
from dit_clean.gaps import are_missing, is_missing
from dit_clean.warning import warn

LEAST_NUMBERED, MOST_CHANGES, LEAST_OF_A_CLASS = 0.5, 0.01, 10
"""Of row numbers: the share that is left of those they were; changes of the label along
them, beside one for each class, as a part of the rows; and rows of a class, on average,
below which few changes may be chance."""
N_FIRST = 50
"""Rows by which nearly all columns are told from a copy of y, or from row numbers."""
N_SOME = 500
"""Rows, drawn at random, by which nearly all columns are told from those that tell."""
FEW_VALUES, SHOWN = 50, 5
"""Values of a column that tells the label of every row, and columns that a warning
names."""


class LabelAmongInputsWarning(UserWarning):
    """A column of X is y itself, or tells it, or was perhaps written after it."""


class LikeLabelsWarning(UserWarning):
    """Labels differ in nothing but case or blanks."""


def warn_of_like_labels(targets: Targets) -> None:
    """Warn of labels that are probably one: each makes a class of its own.

    Warns
    -----
    LikeLabelsWarning
        They differ in case, or in blanks around them.
    """
    texts = [label for label in targets.labels.tolist() if isinstance(label, str)]
    alike: dict[str, list[str]] = {}
    for text in texts:
        alike.setdefault(text.strip().lower(), []).append(text)
    found = [labels for labels in alike.values() if len(labels) > 1]
    if found:
        others = f" (and {len(found) - 1} more like them)" if found[1:] else ""
        warn(
            f"The labels {found[0]}{others} differ in case or blanks alone, and are "
            "taken for different classes. Write them alike, in pandas by "
            "y.str.strip().str.lower().",
            LikeLabelsWarning,
        )


def warn_of_label_among(X: Any, targets: Targets) -> None:
    """Warn of columns that tell y: beside them no label looks wrong.

    They are a copy of it; or they have few values, all rows of each being of one class;
    or they are missing, or their most frequent value, exactly where y is one class.

    Parameters
    ----------
    X : data frame, array or sparse matrix, first axis n_samples
        Training inputs. Of sparse matrices and images nothing is told.
    targets : Targets
        A copy of labels may call them by other names, one of a regression target is
        the same numbers.

    Warns
    -----
    LabelAmongInputsWarning
        Names the columns.
    """
    first = slice(N_FIRST)
    columns, head = _columns(X), X[first]
    copies = [
        i
        for i in range(len(columns))
        if _tells(_column(head, i), targets, first)
        and _tells(_column(X, i), targets, slice(None))
    ]
    if copies:
        warn(
            "X tells the y of every row, in "
            f"{_listed([columns[i] for i in copies])}: it is y, or y in other words. "
            "Beside it no value of y looks wrong. Leave it out, unless it comes from "
            "elsewhere.",
            LabelAmongInputsWarning,
        )
    others = sorted(set(range(len(columns))).difference(copies))
    found = _how_they_tell(X, others, targets)
    told = [f"column {columns[i]!r} {how}" for i, how in found if how]
    if told:
        more = f"; and {len(told) - SHOWN} more" if told[SHOWN:] else ""
        warn(
            f"In X {'; '.join(told[:SHOWN])}{more}. Was this written after y, or "
            "because of it? Then leave it out: beside it wrong labels look right.",
            LabelAmongInputsWarning,
        )


def warn_of_row_numbers(X: Any, targets: Targets) -> None:
    """Warn of columns that number the rows of a table which is sorted by label.

    Such a column, the index of an exported file for example, tells in which class a
    row was put, rightly or wrongly.

    Parameters
    ----------
    X : data frame, array or sparse matrix, first axis n_samples
        Training inputs. Of sparse matrices and images nothing is told.
    targets : Targets
        Of regression targets nothing is told.

    Warns
    -----
    LabelAmongInputsWarning
        Names the columns: whole numbers, each once, with few left out, in whatever
        order, along which the labels are sorted.
    """
    if not targets.is_classifier:
        return
    head = X[:N_FIRST]
    numbered = [
        name
        for i, name in enumerate(_columns(X))
        if _distinct_numbers(_column(head, i)) is not None
        and _numbers_sorted(_column(X, i), targets.codes)
    ]
    if numbered:
        verb = "number" if numbered[1:] else "numbers"
        warn(
            f"{_listed(numbered, 'Column')} of X {verb} the rows, "
            "and in this order they are sorted by label: that tells the y of "
            "nearly every row, and beside it wrong labels look right. Leave it out, "
            "unless it means something else.",
            LabelAmongInputsWarning,
        )


def _columns(X: Any) -> list[Any]:
    """Return names or numbers of the columns of a table, none of other inputs."""
    if sparse.issparse(X) or len(X.shape) != MATRIX_AXES:
        return []
    return list(X.columns) if is_frame(X) else list(range(X.shape[1]))


def _column(X: Any, i: int) -> np.ndarray:
    return column_values(X, i) if is_frame(X) else X[:, i]


def _listed(names: list[Any], word: str = "column") -> str:
    return f"{word}{'s' if names[1:] else ''} {', '.join(map(repr, names))}"


def _how_they_tell(
    X: Any, columns: list[int], targets: Targets
) -> Iterator[tuple[int, str]]:
    """Yield how columns that are no copies tell classes, or empty texts."""
    if not targets.is_classifier or not columns:
        return
    codes, classes, n_some = targets.codes, targets.labels, min(N_SOME, X.shape[0])
    some, of_some = resample(X, codes, replace=False, n_samples=n_some, random_state=0)
    for i in columns:
        how = _told_by(_column(some, i), of_some, classes, least=1)
        yield i, how and _told_by(_column(X, i), codes, classes)


def _told_by(
    column: np.ndarray,
    codes: np.ndarray,
    classes: np.ndarray,
    least: int = LEAST_OF_A_CLASS,
) -> str:
    """Return how a column tells classes, or an empty text.

    Of fewer than `least` rows, or rows of a value on average, nothing is told.

    Examples
    --------
    >>> codes = np.repeat([0, 1], 20)
    >>> paid = np.r_[np.zeros(20), np.arange(1.0, 21)]
    >>> _told_by(paid, codes, np.array(["no", "yes"]))
    "is 0.0 exactly where y is 'no'"
    """
    missing = are_missing(column)
    values, numbers = _numbered(column[~missing])
    if len(values) == 0:
        return ""
    place = np.bincount(numbers).argmax()
    frequent = np.zeros(len(codes), dtype=bool)
    frequent[~missing] = numbers == place
    for what, rows in (("missing", missing), (repr(values[place]), frequent)):
        where = _where(rows, codes, classes, least)
        if where:
            return f"is {what} {where}"
    n_values = len(values) + missing.any()
    are_many = n_values > FEW_VALUES or n_values * least > len(codes)
    if are_many or np.sort(np.bincount(codes))[-2:].min() < least:
        return ""
    every = np.full(len(codes), len(values))
    every[~missing] = numbers
    is_told = len(np.unique(every * len(classes) + codes)) == n_values
    return "alone tells the y of every row" if is_told else ""


def _where(rows: np.ndarray, codes: np.ndarray, classes: np.ndarray, least: int) -> str:
    """Return which class these rows, or all others, are, or an empty text."""
    if min(rows.sum(), len(rows) - rows.sum()) < least:
        return ""
    for part, word in ((rows, "is"), (~rows, "is not")):
        inside = np.unique(codes[part])
        if len(inside) < 2 and not np.isin(codes[~part], inside).any():  # noqa: PLR2004
            names = ", ".join(map(repr, classes[inside].tolist()))
            return f"exactly where y {word} {names}"
    return ""


def _numbered(column: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Return the values of a column without gaps, and the number of each entry's."""
    if column.dtype.kind == "O":
        return list(dict.fromkeys(column.tolist())), np.array(_first_seen(column), int)
    values, numbers = np.unique(column, return_inverse=True)
    return values.tolist(), numbers


def _tells(column: np.ndarray, targets: Targets, rows: slice) -> bool:
    """Tell whether a column and y tell each other in each of these rows."""
    if targets.is_classifier:
        return _first_seen(column) == _first_seen(targets.codes[rows])
    if any(map(is_missing, column)):
        return False
    return np.array_equal(column, targets.given[rows])


def _numbers_sorted(column: np.ndarray, codes: np.ndarray) -> bool:
    """Tell whether a column numbers rows whose labels are sorted in its order."""
    numbers = _distinct_numbers(column)
    n_classes, n_rows = len(np.unique(codes)), len(codes)
    if numbers is None or n_rows < LEAST_OF_A_CLASS * n_classes:
        return False
    order = np.argsort(numbers)
    steps = np.diff(numbers[order])
    if n_rows < LEAST_NUMBERED * (1 + steps.sum() / steps.min()):
        return False
    n_changes = np.count_nonzero(np.diff(codes[order]))
    return bool(n_changes < n_classes + MOST_CHANGES * n_rows)


def _distinct_numbers(column: np.ndarray) -> np.ndarray | None:
    """Return a column as floats if it holds whole numbers, each once, none missing.

    Examples
    --------
    >>> _distinct_numbers(np.array([3, 1, 2], dtype=object))
    array([3., 1., 2.])
    """
    if column.dtype.kind == "O":
        if any(map(is_missing, column)) or kinds_of(column) != {"number"}:
            return None
    elif column.dtype.kind not in "iuf":
        return None
    try:
        numbers = column.astype(float)
    except OverflowError:  # integers of more than 300 digits
        return None
    is_whole = (numbers == np.rint(numbers)).all()  # which missing ones are not
    return numbers if is_whole and len(np.unique(numbers)) == len(numbers) else None


def _first_seen(values: np.ndarray) -> list[int]:
    """Return the values numbered as they come.

    Examples
    --------
    >>> _first_seen(np.array(["b", "a", "b"]))
    [0, 1, 0]
    """
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values.tolist()]
