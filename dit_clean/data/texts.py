"""Texts among the inputs that networks cannot read as they are."""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from dit_clean.data.tables import MIN_ROWS, TableEncoder
from dit_clean.gaps import is_missing
from dit_clean.warning import warn

TEXT_REMEDY = (
    "Free text has to be turned into numbers first, for example by TfidfVectorizer."
)
NUMBER_REMEDY = (
    "Turn them into numbers first, for example by pandas.to_numeric once separators of "
    "thousands, signs as of percent, and units are removed."
)
MANY_TEXTS = 0.5
"""Share of distinct values from which on a text column says little to the network."""
FEW_VALUES = 50
MANY_NUMBERS = 15
"""Different numbers from which on a text column is more likely one of amounts."""
MAX_OTHERS = 3
"""Different texts that may stand among numbers for a value that is missing."""
LENGTH_OF_CODES, ROWS_OF_A_CODE = 3, 5
"""Digits that whole numbers of one length have at least, and rows of each on average,
from which on they may well be names."""
MANY_COLUMNS = 20_000
"""Beyond this, a default fit takes ten times as long as with two thousand, or more."""
MANY_SHARED = 0.1
"""Fraction of rows whose rare categories may be taken for one without a word."""

DECIMAL_COMMA = re.compile(r"\s*-?\d*,?\d+\s*")
NUMBER = re.compile(
    r"\s*(?P<bracket>\()?[-+]?\s?[$€£¥]?\s?[-+]?(?!0\d)(\d*[.,]?\d+(e[-+]?\d+)?|\d+[.,]"
    r"|\d{1,3}(,\d{3})+(\.\d*)?|\d{1,3}(\.\d{3})+(,\d*)?)\s?[$€£¥%]?(?(bracket)\))\s*",
    re.IGNORECASE,
)
"""Numbers with a decimal point or comma, with or without separators of thousands, signs
of currency or percent, brackets. Zeros in front are those of identifiers."""
WITH_UNIT = re.compile(r"(?P<number>[-+\d.,\s]*\d)\s?(?P<unit>[^\d\s].*?)\s*")
"""A number and what stands behind it."""
UNITS = (
    "kg g mg µg t lb lbs oz km m cm mm µm nm mi miles ft in yd sqft m2 m² m3 m³ ha "
    "l cl ml gal h hr hrs hours min mins minutes s sec secs seconds ms days weeks "
    "months years yrs km/h kmh mph m/s rpm w kw kwh mw mah hz khz mhz ghz kb mb gb tb "
    "pa hpa kpa bar psi ° °c °f kcal kj g/l mg/l mg/dl mmol/l bpm cc hp bhp ps kmpl "
    "mpg eur usd gbp chf pcs"
)
"""Units that numbers are written with, in lower case."""
MONTH = (
    r"(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?"
    r"|sept?(ember)?|oct(ober)?|nov(ember)?|dec(ember)?)\.?"
)
CLOCK = r"\d\d?:\d\d(:\d\d([.,]\d+)?)?\s?([ap]m|Z|[-+]\d\d(:?\d\d)?)?"
DAY, YEAR = r"(0?[1-9]|[12]\d|3[01])", r"(1[6-9]|20|21)\d\d"
NUMBERED = r"(0?[1-9]|1[0-2])"
DATE = re.compile(
    rf"""\s*(
      {YEAR}(?P<a>[-/.]){NUMBERED}(?P=a){DAY}                 # 2024-02-29
    | {DAY}(?P<b>[-/.]){NUMBERED}(?P=b)({YEAR}|\d\d)          # 29.02.2024
    | {NUMBERED}(?P<c>[-/.]){DAY}(?P=c)({YEAR}|\d\d)          # 2/29/24
    | {YEAR}[-/]{NUMBERED} | {NUMBERED}[-/]{YEAR}             # 02/2024
    | ({DAY}[-\s])?{MONTH}[-,\s]\s?({YEAR}|\d\d)              # 29 Feb 2024
    | {MONTH}\s{DAY},?\s{YEAR}                                # February 29, 2024
    )([T\s]{CLOCK})?\s*""",
    re.IGNORECASE | re.VERBOSE,
)
"""Dates by year, month and day in the usual orders, with or without a time."""


class ManyTextsWarning(UserWarning):
    """A column of categories has a category for nearly every row."""


class DatesAsTextWarning(UserWarning):
    """The texts of a column are dates."""


class NumbersAsTextWarning(UserWarning):
    """The texts of a column are numbers, and many."""


class RareCategoriesWarning(UserWarning):
    """Many rows of a column hold rare categories, which are taken for one."""


class ManyColumnsWarning(UserWarning):
    """There are far more columns than a network of a table's size is made for."""


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


def warn_of_many_columns(n_columns: int) -> None:
    """Warn if the default network gets a weight for each of very many columns.

    Warns
    -----
    ManyColumnsWarning
        Names what makes fewer of texts.
    """
    if n_columns > MANY_COLUMNS:
        warn(
            f"The default network reads X as {n_columns:,} columns and has weights for "
            "each: time and memory of a fit grow with their number. Of texts one or "
            "two thousand are plenty: TfidfVectorizer(max_features=2000), or Hashing"
            "Vectorizer(n_features=2**11). For images give a convolutional net; of "
            "other data let TruncatedSVD or PCA make fewer.",
            ManyColumnsWarning,
        )


def are_many_texts(n_texts: int, n_rows: int) -> bool:
    """Tell whether a text column has too many distinct values for a category."""
    return n_texts > max(FEW_VALUES, MANY_TEXTS * n_rows)


def are_texts_like(values: Iterable[Any], pattern: re.Pattern[str]) -> bool:
    """Tell whether values are texts and all match `DATE`, `NUMBER`, `DECIMAL_COMMA`.

    Missing values do not count.
    """
    known = [value for value in values if not is_missing(value)]
    return bool(known) and all(
        isinstance(value, str) and pattern.fullmatch(value) for value in known
    )


def texts_beside_numbers(texts: Collection[Any]) -> list[Any] | None:
    """Return what stands among many numbers in a text column, such as "?".

    The numbers may have a unit, the same one: "39 kg".

    Parameters
    ----------
    texts : collection
        Distinct values of the column. Missing values do not count.

    Returns
    -------
    others : list or None
        Up to `MAX_OTHERS` values; None if it is no column of many numbers.
    """
    known = [text for text in texts if not is_missing(text)]
    unit = _most_frequent_unit(known)
    others = [t for t in known if not are_texts_like([_without(t, unit)], NUMBER)]
    are_numbers = len(known) - len(others) >= MANY_NUMBERS and len(others) <= MAX_OTHERS
    return others if are_numbers else None


def _most_frequent_unit(values: Collection[Any]) -> str:
    """Return the unit that most of the texts have that have one, or an empty text."""
    texts = (value for value in values if isinstance(value, str))
    units = (m["unit"].lower() for m in map(WITH_UNIT.fullmatch, texts) if m)
    found = Counter(unit for unit in units if unit in UNITS.split())
    return found.most_common(1)[0][0] if found else ""


def _without(value: Any, unit: str) -> Any:
    """Return the number in front of this unit, as text, or the value as it is."""
    found = WITH_UNIT.fullmatch(value) if unit and isinstance(value, str) else None
    return found["number"] if found and found["unit"].lower() == unit else value


def warn_of_categories(encoder: TableEncoder, X: Any) -> None:
    """Warn of columns whose categories are none, or too rare to tell much.

    Parameters
    ----------
    encoder : TableEncoder
        Fitted on X.
    X : data frame or array, first axis n_samples
        Arrays have no categories.

    Warns
    -----
    DatesAsTextWarning
        They are dates: the network does not know which follows which.
    NumbersAsTextWarning
        They are numbers, but for some that may stand for missing ones: the network does
        not know which are near which. Not where the column's dtype says that they are
        categories.
    ManyTextsWarning
        They are free text or identifiers, nearly all too rare for a category: the
        network learns nothing.
    RareCategoriesWarning
        Many rows hold values that share a column: what tells these apart is lost on the
        network.
    """
    n_rows, shared = X.shape[0], encoder.shared_rows(X)
    named = encoder.named_categories()
    for name, values in encoder.categories().items():
        is_named = name in named
        if not is_named and are_texts_like(values, DATE):
            warn(_of_dates(name, values), DatesAsTextWarning)
        elif not is_named and (others := texts_beside_numbers(values)) is not None:
            warn(_of_numbers(name, values, others, n_rows), NumbersAsTextWarning)
        elif are_many_texts(len(values), n_rows):
            warn(_of_many_texts(name, len(values), n_rows), ManyTextsWarning)
        elif shared.get(name, 0.0) > MANY_SHARED:
            warn(_of_rare(name, len(values), shared[name]), RareCategoriesWarning)


def _of_dates(name: Any, texts: np.ndarray) -> str:
    return (
        f"The column {name!r} holds dates as text, such as {texts[0]!r}, which are "
        "taken for categories without an order. Turn it into numbers first, for "
        "example days since a date; if they are names, make the column categorical."
    )


def _of_numbers(name: Any, texts: np.ndarray, others: list[Any], n_rows: int) -> str:
    others = [text for text in others if not _is_bare(text)]
    numbers = [t for t in texts if t not in others and not is_missing(t)]
    these = ", ".join(map(repr, others))
    missing = f"If {these} means a missing value, give NaN. " if others else ""
    if _may_be_codes(numbers, n_rows):
        return (
            f"The column {name!r} holds {len(numbers):,} different whole numbers as "
            f"text, such as {numbers[0]!r}, which are taken for categories without an "
            "order. If they are names, such as postcodes or numbers of shops, that is "
            'right: say so, in pandas by .astype("category"). If they are amounts, '
            f"turn them into numbers first, for example by pandas.to_numeric. {missing}"
            "Leave identifiers out."
        )
    return (
        f"The column {name!r} holds {len(numbers):,} different numbers as text, such "
        f"as {numbers[0]!r}, which are taken for categories without an order. "
        f"{missing}{NUMBER_REMEDY} If they are names, make the column categorical; "
        "leave identifiers out."
    )


def _may_be_codes(numbers: Collection[str], n_rows: int) -> bool:
    """Tell whether whole numbers may be names: of one length, or with zeros in front.

    Each of them repeats.
    """
    if not all(map(_is_bare, numbers)) or n_rows < ROWS_OF_A_CODE * len(numbers):
        return False
    lengths = {len(number) for number in numbers}
    has_zeros = any(re.match(r"0\d", number) for number in numbers)
    return has_zeros or (len(lengths) == 1 and min(lengths) >= LENGTH_OF_CODES)


def _is_bare(text: Any) -> bool:
    """Tell whether a text is digits alone."""
    return isinstance(text, str) and re.fullmatch(r"\d+", text) is not None


def _of_many_texts(name: Any, n_texts: int, n_rows: int) -> str:
    return (
        f"The column {name!r} holds {n_texts:,} different texts in {n_rows:,} "
        f"rows; those in fewer than {MIN_ROWS} rows are taken for one category. Such "
        f"a column tells the networks little. {TEXT_REMEDY} Leave identifiers out."
    )


def _of_rare(name: Any, n_values: int, shared: float) -> str:
    return (
        f"The column {name!r} holds {n_values:,} different values, and "
        f"{shared:.0%} of the rows hold one too rare for a category of its "
        "own: these are taken for one category, and rows whose labels depend "
        "on such values may be flagged. Group the values, or add a column of "
        "numbers that describes them."
    )
