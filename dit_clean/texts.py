"""Free text among the inputs, which networks cannot read as it is."""

import warnings
from typing import Any

from dit_clean.tables import TableEncoder, is_missing

TEXT_REMEDY = (
    "Free text has to be turned into numbers first, for example by TfidfVectorizer."
)
MANY_TEXTS = 0.5
"""Share of distinct values from which on a text column says little to the network."""
FEW_VALUES = 50


class ManyTextsWarning(UserWarning):
    """A column of categories has a category for nearly every row."""


def check_no_raw_texts(X: Any) -> None:
    """Raise if X is a sequence of texts instead of a table.

    Raises
    ------
    ValueError
        Names what turns texts into numbers.
    """
    is_list = isinstance(X, list | tuple)
    if not is_list and getattr(X, "ndim", None) != 1:
        return
    first = next((value for value in X if not is_missing(value)), None)
    if isinstance(first, str):
        raise ValueError(
            f"X is a {type(X).__name__} of texts, but a table is needed: a row of "
            f"numbers for each sample. {TEXT_REMEDY}"
        )


def are_many_texts(n_texts: int, n_rows: int) -> bool:
    """Tell whether a text column has too many distinct values for a category."""
    return n_texts > max(FEW_VALUES, MANY_TEXTS * n_rows)


def warn_of_many_texts(encoder: TableEncoder, n_rows: int) -> None:
    """Warn of columns of a data frame that hold free text or identifiers.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted on the frame.
    n_rows : int
        Rows of the frame.

    Warns
    -----
    ManyTextsWarning
        Each text is a category of its own: the network learns nothing from it.
    """
    for name, n_texts in encoder.category_counts().items():
        if are_many_texts(n_texts, n_rows):
            warnings.warn(
                f"The column {name!r} holds {n_texts:,} different texts in {n_rows:,} "
                "rows, each taken for a category of its own, which tells the networks "
                f"nothing. {TEXT_REMEDY} Leave identifiers out.",
                ManyTextsWarning,
                stacklevel=4,
            )
