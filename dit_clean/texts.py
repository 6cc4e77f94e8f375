"""Free text among the inputs, which networks cannot read as it is."""

from typing import Any

from dit_clean.gaps import is_missing
from dit_clean.tables import MIN_ROWS, TableEncoder
from dit_clean.warning import warn

TEXT_REMEDY = (
    "Free text has to be turned into numbers first, for example by TfidfVectorizer."
)
MANY_TEXTS = 0.5
"""Share of distinct values from which on a text column says little to the network."""
FEW_VALUES = 50
MANY_SHARED = 0.1
"""Fraction of rows whose rare categories may be taken for one without a word."""


class ManyTextsWarning(UserWarning):
    """A column of categories has a category for nearly every row."""


class RareCategoriesWarning(UserWarning):
    """Many rows of a column hold rare categories, which are taken for one."""


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
        Nearly all texts are too rare for a category: the network learns nothing.
    """
    for name, n_texts in encoder.category_counts().items():
        if are_many_texts(n_texts, n_rows):
            warn(
                f"The column {name!r} holds {n_texts:,} different texts in {n_rows:,} "
                f"rows; those in fewer than {MIN_ROWS} rows are taken for one "
                "category. Such a column tells the networks little. "
                f"{TEXT_REMEDY} Leave identifiers out.",
                ManyTextsWarning,
            )


def warn_of_rare_categories(encoder: TableEncoder, X: Any) -> None:
    """Warn of columns with many rows in the category that rare values share.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted on X.
    X : data frame or array, first axis n_samples
        Columns of free text are left to `warn_of_many_texts`.

    Warns
    -----
    RareCategoriesWarning
        What tells these values apart is lost on the network.
    """
    counts, shared_rows = encoder.category_counts(), encoder.shared_rows(X)
    for name, shared in shared_rows.items():
        if shared > MANY_SHARED and not are_many_texts(counts[name], X.shape[0]):
            warn(
                f"The column {name!r} holds {counts[name]:,} different values, and "
                f"{shared:.0%} of the rows hold one too rare for a category of its "
                "own: these are taken for one category, and rows whose labels depend "
                "on such values may be flagged. Group the values, or add a column of "
                "numbers that describes them.",
                RareCategoriesWarning,
            )
