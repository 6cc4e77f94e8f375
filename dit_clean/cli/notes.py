"""Notes of the command line: what may not be what it is taken for."""

import shlex
from decimal import Decimal
from typing import Any

import click

from dit_clean.cli.files import Table
from dit_clean.data.texts import (
    DATE,
    DECIMAL_COMMA,
    are_many_texts,
    are_texts_like,
    texts_beside_numbers,
)


def note(message: Any) -> None:
    """Say something that is neither result nor error."""
    click.echo(f"Note: {message}", err=True)


def warn_of_columns(table: Table) -> None:
    """Name columns that may not be what they are taken for."""
    for name, column in table.X.items():
        if _numbers_the_rows(column):
            note(
                f"column {name!r} numbers the rows, and the place in the file may tell "
                "labels, wrong ones too. If it means nothing else, add --drop "
                f"{shlex.quote(str(name))}."
            )
        if not is_number(column) and column.dtype.kind not in "mM":
            _warn_of_texts(table, name)


def _warn_of_texts(table: Table, name: Any) -> None:
    """Say what a column of texts may be, but dates, of which the cleaner warns."""
    column, dropped = table.X[name], f"--drop {shlex.quote(str(name))}"
    texts = column.dropna().astype(str).unique()
    if table.is_csv and has_decimal_commas(column):
        note(
            f"column {name!r} looks like numbers, but has commas where other columns "
            "have decimal points. Remove separators of thousands first."
            if _has_decimal_points(table)
            else f"column {name!r} looks like numbers: try --decimal ',', unless the "
            "commas separate thousands."
        )
    elif are_texts_like(column, DATE):
        return
    elif (others := texts_beside_numbers(texts)) is not None:
        among = f", and {', '.join(map(repr, others))} among them" if others else ""
        empty = (
            ", and leave cells empty if these mean a missing value" if others else ""
        )
        note(
            f"column {name!r} has {len(texts) - len(others):,} different texts that "
            f"look like numbers{among}. Turn them into numbers first{empty}. If it is "
            f"an identifier, add {dropped}."
        )
    elif are_many_texts(len(texts), len(column)):
        note(
            f"column {name!r} has {len(texts):,} different texts. If it is an "
            f"identifier, add {dropped}; free text is better turned into numbers first."
        )


def _numbers_the_rows(column: Any) -> bool:
    """Tell whether a column holds consecutive numbers, each once."""
    if column.dtype.kind not in "iu" or not column.is_unique:
        return False
    return bool(column.max() - column.min() == len(column) - 1)


def has_decimal_commas(column: Any) -> bool:
    """Tell whether all that a column of text holds are numbers with a comma."""
    return are_texts_like(column, DECIMAL_COMMA)


def _has_decimal_points(table: Table) -> bool:
    """Tell whether a column of a CSV file has numbers with a decimal point."""
    return any(
        column.dtype.kind == "f"
        and table.written[name].str.contains(".", regex=False).any()
        for name, column in table.X.items()
    )


def is_number(column: Any) -> bool:
    """Tell whether a column holds numbers, decimals of Parquet files too."""
    known = column.dropna() if column.dtype.kind == "O" else ()
    are_decimals = len(known) > 0 and all(isinstance(v, Decimal) for v in known)
    return are_decimals or column.dtype.kind in "biuf"
