"""Notes of the command line: its own, and what the cleaner says in terms of options."""

import re
from decimal import Decimal
from typing import Any

import click

from dit_clean.cli.files import Table
from dit_clean.data.texts import DECIMAL_COMMA, are_texts_like

OPTIONS = {
    "cv": "folds",
    "max_epochs": "epochs",
    "lr": "lr",
    "batch_size": "batch-size",
    "n_jobs": "jobs",
    "random_state": "seed",
    "task": "task",
    "contamination": "contamination",
}
"""Parameters of the cleaner, and what they are called here."""
WORDS = ("task", "contamination")
"""Those that are words of messages, too."""
SAID_HERE = {
    r"\btask=([\"'])(\w+)\1": r"--task \2",
    r", or use skrub.TableVectorizer\(\) before": ", or leave it out (--drop COLUMN)",
    r", or use Cleaned\w+ in place of Cleaned\w+": "",
    r"\bgive NaN( in a data frame)?": "leave cells empty",
    r", for example by pandas.to_numeric once (.*?) are removed": r": remove \1",
    r", for example by pandas.to_numeric(?=\.)": "",
    r", that is right: say so, in pandas by .astype\(\"category\"\)": ", that is right",
    r"[;.] [Ii]f they are names, make the column categorical": "",
    r"\b[Ll]eave (it|identifiers) out\b": r"\g<0> (--drop COLUMN)",
}
"""What one does in Python, and how it is done here."""


def note(message: Any) -> None:
    """Say something that is neither result nor error."""
    click.echo(f"Note: {message}", err=True)


def in_options(message: str) -> str:
    """Return a message of the cleaner with its parameters as they are called here.

    Examples
    --------
    >>> in_options("fewer rows than cv=3 folds: lower cv")
    'fewer rows than --folds=3 folds: lower --folds'
    >>> in_options("estimated contamination is high: set contamination to a fraction")
    'estimated contamination is high: set --contamination to a fraction'
    >>> in_options("this is another task")
    'this is another task'
    >>> in_options(
    ...     "set task='x', or use CleanedRegressor in place of CleanedClassifier."
    ... )
    'set --task x.'
    >>> in_options("Use numbers; if they are names, make the column categorical.")
    'Use numbers.'
    >>> in_options("Leave identifiers out.")
    'Leave identifiers out (--drop COLUMN).'
    """
    for in_python, here in SAID_HERE.items():
        message = re.sub(in_python, here, message)
    names = rf"\b({'|'.join(OPTIONS)})(?=[=, .)]|$)"

    def as_option(found: re.Match[str]) -> str:
        is_word = found[1] in WORDS and message[found.end() : found.end() + 1] != "="
        if is_word and not message.endswith("set ", 0, found.start()):
            return found[0]
        return f"--{OPTIONS[found[1]]}"

    return re.sub(names, as_option, message)


def note_commas(table: Table) -> None:
    """Name columns of text that are numbers if commas are decimal points."""
    for name in columns_with_commas(table):
        note(
            f"column {name!r} looks like numbers, but has commas where other columns "
            "have decimal points. Remove separators of thousands first."
            if _has_decimal_points(table)
            else f"column {name!r} looks like numbers: try --decimal ',', unless the "
            "commas separate thousands."
        )


def columns_with_commas(table: Table) -> list[Any]:
    """Return the inputs of a CSV file that hold nothing but numbers with a comma."""
    columns = table.X.items() if table.is_csv else ()
    return [name for name, column in columns if has_decimal_commas(column)]


def has_decimal_commas(column: Any) -> bool:
    """Tell whether a column of text holds numbers, and some of them with a comma."""
    if not are_texts_like(column, DECIMAL_COMMA):
        return False
    return bool(column.dropna().str.contains(",", regex=False).any())


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
