"""Notes of the command line: what may not be what it is taken for."""

import shlex
from typing import Any

import click

from dit_clean.cli.files import Table
from dit_clean.texts import are_many_texts

MANY_NUMBERS = 20
"""Distinct whole numbers from which on labels may be a measurement."""


def note(message: Any) -> None:
    """Say something that is neither result nor error."""
    click.echo(f"Note: {message}", err=True)


def warn_of_columns(table: Table, task: str) -> None:
    """Name columns that may not be what they are taken for."""
    n_labels = table.y.nunique()
    if task == "auto" and table.y.dtype.kind in "iu" and n_labels > MANY_NUMBERS:
        note(
            f"{table.y.name!r} holds {n_labels:,} different whole numbers, taken as "
            "labels. If they measure something, add --task regression."
        )
    for name, column in table.X.items():
        if _numbers_the_rows(column):
            note(
                f"column {name!r} numbers the rows, and the place in the file may tell "
                "labels, wrong ones too. If it means nothing else, add --drop "
                f"{shlex.quote(str(name))}."
            )
        if table.is_csv and not is_number(column) and has_decimal_commas(column):
            note(f"column {name!r} looks like numbers: try --decimal ','.")
            continue
        is_text = not is_number(column) and column.dtype.kind not in "mM"
        n_values = column.astype(str).nunique() if is_text else 0
        if are_many_texts(n_values, len(column)):
            note(
                f"column {name!r} has {n_values:,} different texts. If it is an "
                f"identifier, add --drop {shlex.quote(str(name))}; free text is better "
                "turned into numbers first."
            )


def _numbers_the_rows(column: Any) -> bool:
    """Tell whether a column holds consecutive numbers, each once."""
    if column.dtype.kind not in "iu" or not column.is_unique:
        return False
    return bool(column.max() - column.min() == len(column) - 1)


def has_decimal_commas(column: Any) -> bool:
    """Tell whether all that a column of text holds are numbers with a comma."""
    texts = column.dropna().astype(str)
    return len(texts) > 0 and bool(texts.str.fullmatch(r"\s*-?\d*,?\d+\s*").all())


def is_number(column: Any) -> bool:
    """Tell whether a column holds numbers."""
    return column.dtype.kind in "biuf"
