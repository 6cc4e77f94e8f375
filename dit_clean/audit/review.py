"""The review loop: verdicts of a person turned into corrected labels."""

from collections import Counter
from csv import reader
from functools import cache
from itertools import compress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from dit_clean.audit.data import AuditData, plain
from dit_clean.audit.extras import require
from dit_clean.audit.meaning import is_target, meant_labels
from dit_clean.audit.samples import cells
from dit_clean.data.tables import is_frame

VERDICTS = ("", "right", "wrong")
UNREVIEWED = ("given", "suggested")
NEEDED = frozenset(("row", "verdict"))
SEPARATORS = ",;\t"
NUMBERS = ("label", "suggested_label", "corrected_label")
"""Columns that hold numbers where labels or targets are numbers."""
SHOWN = 5
MAX_KNOWN = 20


def corrected_labels(
    data: AuditData, review: Any, *, unreviewed: str = "given"
) -> np.ndarray:
    """Return the labels after a review.

    Parameters
    ----------
    data : AuditData
        From the fitted cleaner that the review is about.
    review, unreviewed
        As in `AuditMixin.apply_review`. In a file whose columns are separated by
        semicolons, numbers may have decimal commas.

    Returns
    -------
    labels : ndarray of shape (n_samples,)
        In the order and dtype of the labels given to fit.

    Raises
    ------
    ValueError
        If a column is missing, a row or verdict is unknown, a row is marked wrong and
        no other label is known or written for it, a correction or suggestion is no
        label or may mean several, a row has a correction without being marked wrong, or
        the column `label`, where there is one, holds other labels.
    """
    if unreviewed not in UNREVIEWED:
        raise ValueError(f"unreviewed={unreviewed!r} is none of {UNREVIEWED}.")
    columns = _read(review, are_numbers=data.labels.dtype.kind in "iuf")
    rows = _checked_rows(columns["row"], data.n_samples)
    verdicts = _checked_verdicts(columns["verdict"], rows)
    corrections = columns.get("corrected_label", [""] * len(rows))
    suggestions = columns.get("suggested_label", data.suggested[rows])
    classes = [] if data.classes is None else list(data.classes)
    _check_labels(data, classes, rows, columns.get("label"))
    labels = (data.labels if unreviewed == "given" else data.suggested).copy()
    reviewed = zip(rows, verdicts, corrections, suggestions, strict=True)
    for row, verdict, correction, suggestion in reviewed:
        if verdict != "wrong":
            _check_no_correction(row, verdict, correction)
        if verdict == "right":
            labels[row] = data.labels[row]
        if verdict == "wrong":
            labels[row] = _right_label(data, classes, row, correction, suggestion)
    return labels


def _read(review: Any, *, are_numbers: bool) -> dict[str, list[Any]]:
    if isinstance(review, str | PathLike):
        path = Path(review)
        if not path.is_file():
            raise ValueError(f"There is no review file {str(path)!r}.")
        pandas = require("pandas", "Reading a review")
        sep = _separator(path)
        review = pandas.read_csv(path, sep=sep, dtype=str, keep_default_na=False)
        if sep == ";" and are_numbers:
            review = review.assign(
                **{n: _with_points(review[n]) for n in NUMBERS if n in review}
            )
    if not is_frame(review):
        raise TypeError(
            f"A review is a data frame or the path of a CSV file, not {type(review)}."
        )
    missing = NEEDED.difference(review.columns)
    if missing:
        raise ValueError(
            f"The review has no column {min(missing)!r}. Take the table of audit(), or "
            "the CSV file that the report exports, and write 'right' or 'wrong' into "
            "the column 'verdict'."
        )
    columns = {
        str(name): ["" if plain(v) is None else v for v in cells(review[name])]
        for name in review.columns
    }
    # Spreadsheets leave empty rows behind.
    lines = zip(*columns.values(), strict=True)
    is_filled = [any(str(value).strip() for value in line) for line in lines]
    return {name: list(compress(v, is_filled)) for name, v in columns.items()}


def _separator(path: Path) -> str:
    """Return what separates the columns of a CSV file: some spreadsheets take others.

    Raises
    ------
    ValueError
        If the file is no CSV in UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The review {str(path)!r} is no text in UTF-8. Save it as 'CSV UTF-8'."
        ) from error
    if header.lower().startswith("<!doctype html"):
        raise ValueError(
            f"{str(path)!r} is a report. Export the review from it, with its button, "
            "and give that CSV file."
        )
    columns = {sep: next(reader([header], delimiter=sep), []) for sep in SEPARATORS}
    return max(SEPARATORS, key=lambda sep: len(NEEDED.intersection(columns[sep])))


def _with_points(column: Any) -> Any:
    """Return the numbers of a column with decimal points, if they have commas.

    Where there are points as well, one of the two separates thousands.
    """
    has_points = column.str.contains(".", regex=False).any()
    return column if has_points else column.str.replace(",", ".", regex=False)


def _checked_rows(values: list[Any], n_samples: int) -> list[int]:
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError) as error:
        raise ValueError(f"The column 'row' must hold row numbers: {error}.") from None
    broken = [number for number in numbers if not number.is_integer()]
    if broken:
        raise ValueError(f"The column 'row' must hold row numbers, got {broken[0]}.")
    rows = [int(number) for number in numbers]
    outside = [row for row in rows if not 0 <= row < n_samples]
    if outside:
        raise ValueError(
            f"The review names rows that do not exist: {outside[:SHOWN]}. The cleaner "
            f"was fitted on {n_samples} rows, counted from 0: is the review of other "
            "data?"
        )
    twice = [row for row, count in Counter(rows).items() if count > 1]
    if twice:
        raise ValueError(f"The review names rows more than once: {twice[:SHOWN]}.")
    return rows


def _check_labels(
    data: AuditData, classes: list[Any], rows: list[int], labels: list[Any] | None
) -> None:
    """Raise if the review is about other labels than those given to fit."""
    meant = cache(lambda text: meant_labels(text, classes))
    for row, label in zip(rows, labels or [], strict=False):
        given, text = data.labels[row], str(label)
        is_given = given in meant(text) if classes else is_target(text, given)
        if text.strip() and not is_given:
            raise ValueError(
                f"In the review row {row} is labeled {text!r}, but the cleaner was "
                f"fitted on {str(given)!r}: is the review of other data? Write "
                "corrections into the column 'corrected_label'."
            )


def _checked_verdicts(values: list[Any], rows: list[int]) -> list[str]:
    verdicts = [str(value).strip().lower() for value in values]
    for row, verdict in zip(rows, verdicts, strict=True):
        if verdict not in VERDICTS:
            raise ValueError(
                f"Row {row} has the verdict {verdict!r}. Write 'right', 'wrong', or "
                "leave it empty."
            )
    return verdicts


def _check_no_correction(row: int, verdict: str, correction: Any) -> None:
    if str(correction).strip():
        raise ValueError(
            f"Row {row} has the corrected label {str(correction).strip()!r}, but the "
            f"verdict {verdict!r}. Mark it 'wrong', or leave the correction empty."
        )


def _right_label(
    data: AuditData, classes: list[Any], row: int, correction: Any, suggestion: Any
) -> Any:
    """Return what a person has written or, left blank, the suggestion they saw."""
    text, seen = str(correction), str(suggestion)
    is_blank_label = text != "" and text in map(str, classes)
    if text.strip() or is_blank_label:
        label = _read_label(classes, f"Row {row} has the corrected", text)
        if label == data.labels[row]:
            raise ValueError(
                f"Row {row} is marked wrong, but its corrected label {text.strip()!r} "
                "is the one that was given. Write the right one, or mark it 'right'."
            )
        return label
    label = data.labels[row]
    if seen.strip() or seen in map(str, classes):
        label = _suggested(data, classes, row, seen)
    if label == data.labels[row]:
        raise ValueError(
            f"Row {row} is marked wrong, but no other label is suggested for it. Write "
            "the right one into the column 'corrected_label'."
        )
    return label


def _suggested(data: AuditData, classes: list[Any], row: int, text: str) -> Any:
    """Return the label of a suggestion, the cleaner's own target if it was rounded."""
    if not classes:
        for target in (data.suggested[row], data.labels[row]):
            if is_target(text, target):
                return target
    return _read_label(classes, f"Row {row} has the suggested", text)


def _read_label(classes: list[Any], whose: str, text: str) -> Any:
    """Return the label or target that a cell holds."""
    return _label(classes, whose, text) if classes else _target(whose, text)


def _label(classes: list[Any], whose: str, text: str) -> Any:
    """Return a cell as one of the labels."""
    found = meant_labels(text, classes)
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(
            f"{whose} label {text!r}, which may mean any of "
            f"{', '.join(repr(str(label)) for label in found)}. Write it out in full."
        )
    known = ", ".join(str(label) for label in classes[:MAX_KNOWN])
    raise ValueError(
        f"{whose} label {text!r}, which is no label of the data. Known labels: {known}."
    )


def _target(whose: str, text: str) -> float:
    """Return a cell as a number."""
    try:
        target = float(text)
    except ValueError:
        target = np.nan
    if not np.isfinite(target):
        raise ValueError(f"{whose} target {text!r}, which is no number.")
    return target
