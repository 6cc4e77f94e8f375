"""Data files of the command line: read, split into inputs and labels, written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from dit_clean.audit.extras import require
from dit_clean.data.tables import only_counts

SEPARATORS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t"}
PARQUET = (".parquet", ".pq")
PARQUET_LIBRARIES = ("pyarrow", "fastparquet")
SUFFIXES = (*SEPARATORS, *PARQUET)
POINT = "."
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Table:
    """A data file split into inputs and labels.

    Attributes
    ----------
    read : DataFrame
        All columns, as pandas has read them.
    written : DataFrame
        The same, every cell as the file has it: text, if that is CSV.
    X : DataFrame
        Inputs: without the label and the columns to drop.
    y : Series
        Labels.
    groups : Series or None
        What rows belong together.
    header : list of str
        Names of all columns as a CSV file has them: they may be empty or repeat, where
        pandas has given others. Nothing for other files.
    """

    read: Any
    written: Any
    header: list[str]
    X: Any
    y: Any
    groups: Any = None

    @property
    def is_csv(self) -> bool:
        """Whether the cells were text."""
        return self.read is not self.written

    @property
    def has_row_names(self) -> bool:
        """Whether the index of the file is more than the count of its rows."""
        index = self.read.index
        return any(index.names) or not only_counts(index)

    def to_be_written(self, path: Path) -> Any:
        """Return the cells for a file: as they were written, where that is text too."""
        return self.read if _suffix(path) in PARQUET else self.written

    def relabeled(self, suggested: Any, path: Path, decimal: str) -> Any:
        """Return the cells for a file with other labels where they are suggested."""
        table, name = self.to_be_written(path), self.y.name
        own = dict(zip(self.y, table[name], strict=True))
        labels = table[name].tolist()
        is_text = _suffix(path) not in PARQUET
        for row, (given, label) in enumerate(zip(self.y, suggested, strict=True)):
            if label != given:
                cell = own.get(label, label)
                if isinstance(cell, float) and isinstance(labels[row], Decimal):
                    cell = Decimal(str(cell))
                is_new = is_text and isinstance(cell, float)
                labels[row] = str(cell).replace(".", decimal) if is_new else cell
        column = type(table[name])(labels, index=table.index)
        same_kind = column.dtype.kind == table[name].dtype.kind
        relabeled = table.copy()  # assign() takes no column called "self"
        relabeled[name] = column.astype(table[name].dtype) if same_kind else column
        return relabeled


def check_target(
    path: Path | None, option: str, taken: list[Path], suffixes: Iterable[str]
) -> None:
    """Refuse a file that cannot be written, and add one that can to `taken`."""
    if path is None:
        return
    problem = None
    if _suffix(path) not in suffixes:
        problem = f"{path.name} must end in one of {', '.join(suffixes)}."
    elif not path.parent.is_dir():
        problem = f"there is no folder {str(path.parent)!r}."
    elif path.resolve() == taken[0]:
        problem = "this would overwrite DATA. Give another name."
    elif _suffix(path) in PARQUET and not any(map(find_spec, PARQUET_LIBRARIES)):
        problem = _needs_pyarrow()
    elif path.resolve() in taken:
        problem = f"{path.name} is to hold something else already. Give another name."
    if problem:
        raise click.BadParameter(problem, param_hint=option)
    taken.append(path.resolve())


def check_csv_options(
    paths: Iterable[Path | None], sep: str | None, decimal: str
) -> None:
    """Refuse options of CSV files where no file to be read or written is one."""
    if not all(path is None or _suffix(path) in PARQUET for path in paths):
        return
    if sep is not None:
        raise click.BadParameter("Parquet files have no separator.", param_hint="--sep")
    if decimal != POINT:
        raise click.BadParameter(
            "Parquet files have no decimal point: numbers are numbers, and text such "
            "as '1,5' has to be turned into numbers first.",
            param_hint="--decimal",
        )


def read_table(
    path: Path, sep: str | None, decimal: str, once: Iterable[str]
) -> tuple[Any, Any, list[str]]:
    """Return a CSV or Parquet file as a data frame, as it is written, and its header.

    As it is written means as text, if it is CSV: 007, NA and 1.10 shall not become 7,
    nothing and 1.1.

    Parameters
    ----------
    path : Path
        File to read.
    sep : str or None
        Separator of a CSV file; None goes by the name of the file.
    decimal : str
        Decimal point of a CSV file.
    once : iterable of str
        Columns that no other may share its name with.
    """
    pandas = require("pandas", "The command line")
    suffix = _suffix(path)
    if suffix not in SUFFIXES:
        raise click.BadParameter(
            f"{path.name} is neither CSV nor Parquet ({', '.join(SUFFIXES)}).",
            param_hint="DATA",
        )
    try:
        if suffix in PARQUET:
            frame = _read_parquet(path)
            frame.columns = frame.columns.map(str)
            return frame, frame, []
        sep = sep or SEPARATORS[suffix]
        as_text: dict[str, Any] = {"sep": sep, "dtype": str, "keep_default_na": False}
        header = pandas.read_csv(path, header=None, nrows=1, **as_text).iloc[0].tolist()
        _check_repeats(header, once)
        # In one piece: parts of a column would get types of their own.
        frame = pandas.read_csv(path, sep=sep, decimal=decimal, low_memory=False)
        written = pandas.read_csv(path, **as_text)
        # Row names, which files of R have before the first column, as they are written.
        return frame.set_axis(written.index), written, header
    except ImportError as error:
        raise click.ClickException(_needs_pyarrow()) from error
    except UnicodeDecodeError as error:
        encoding = "UTF-16" if path.read_bytes()[:2] in UTF16_MARKS else "LATIN1"
        raise click.ClickException(
            f"{path} is no text in UTF-8. Convert it first, for example with: "
            f"iconv -f {encoding} -t UTF-8 {path} > utf8.csv"
        ) from error
    except pandas.errors.EmptyDataError as error:
        raise click.ClickException(f"{path} cannot be read: it is empty.") from error
    except (ValueError, OSError) as error:
        hint = "" if suffix in PARQUET else " Are cells separated otherwise? See --sep."
        problem = str(error).strip().rstrip(".")
        raise click.ClickException(
            f"{path} cannot be read: {problem}.{hint}"
        ) from error


def _read_parquet(path: Path) -> Any:
    """Return a Parquet file, with whole numbers where pandas makes floats of gaps.

    A float holds 16 digits of an identifier.
    """
    pandas = require("pandas", "The command line")
    frame = pandas.read_parquet(path)
    places = [
        i
        for i, (_, column) in enumerate(frame.items())
        if column.dtype.kind == "f" and column.isna().any()
    ]
    if not (places and frame.columns.is_unique and find_spec("pyarrow")):
        return frame
    exact = pandas.read_parquet(
        path,
        columns=list(frame.columns[places].map(str)),
        dtype_backend="numpy_nullable",
    )
    for i, (_, column) in zip(places, exact.items(), strict=True):
        if column.dtype.kind in "iu":
            frame.isetitem(i, column)
    return frame


def split_table(
    frame: Any,
    written: Any,
    header: list[str],
    label: str,
    drop: tuple[str, ...],
    group: str | None,
    task: str,
) -> Table:
    """Return inputs and labels; a column that does not exist is a wrong argument."""
    names = list(map(str, frame.columns))
    _check_column(label, names, "--label")
    if label in drop:  # which holds the group, too
        option = "--group" if group == label else "--drop"
        raise click.BadParameter(
            f"{label!r} is the column with the labels.", param_hint=option
        )
    inputs = [name for name in names if name != label]
    if group is not None:
        _check_column(group, inputs, "--group")
    for name in drop:
        _check_column(name, inputs, "--drop")
    is_number = task == "regression"
    y = frame[label] if is_number else _as_written(frame, written, label)
    if len(y) == 0:
        raise click.ClickException("DATA has no rows.")
    _check_gaps(y, label, None if frame is written else written[label])
    groups = None if group is None else _as_written(frame, written, group)
    X = frame.drop(columns=[label, *drop])
    if X.shape[1] == 0:
        raise click.UsageError("No column is left to learn from.")
    return Table(frame, written, header, X, y, groups)


def _check_gaps(y: Any, label: str, written: Any) -> None:
    """Refuse labels that are missing, by what stands in their cells, if it is text."""
    gaps = y.isna().to_numpy()
    if not gaps.any():
        return
    words = [] if written is None else [c for c in written[gaps].str.strip() if c]
    if words:
        raise click.ClickException(
            f"The label column {label!r} has {' or '.join(sorted(set(words)))} in "
            f"{len(words):,} of {len(y):,} rows: beside numbers that is no label. Give "
            "it another name if it is one; else fill these rows in or leave them out "
            "first."
        )
    raise click.ClickException(
        f"The label column {label!r} is empty in {gaps.sum():,} of {len(y):,} rows. "
        "Fill them in or leave these rows out first."
    )


def _as_written(frame: Any, written: Any, name: str) -> Any:
    """Return names as they are written, if that says more than what pandas has read.

    A class may be called "01", "TRUE" or "None", a group "NA" (Namibia). In a column of
    numbers NA is a gap.
    """
    read = frame[name]
    if frame is written or read.dtype.kind == "f":
        return read
    text = written[name].str.strip()
    text = text.where(text != "")
    is_same = (read.astype(str) == text).all()
    return read if is_same else text


def write_table(
    table: Any,
    path: Path,
    sep: str | None,
    decimal: str,
    *,
    index: bool,
    header: Sequence[str] = (),
) -> None:
    """Write a data frame as CSV or Parquet, whichever the name of the file says.

    Parameters
    ----------
    table : DataFrame
        What to write.
    path : Path
        File to write.
    sep, decimal : str
        Of a CSV file.
    index : bool
        Whether to write the index, since it tells rows apart.
    header : sequence of str, default=()
        What the first columns are called in a CSV file: names may repeat there.
    """
    if _suffix(path) in PARQUET:
        table.to_parquet(path, index=index)
        return
    taken, names = set(table.columns), table.index.names
    labels = [f"{name}_index" if name in taken else name for name in names]
    blank = [""] * len(names)
    # As a CSV file from R has them its header is one cell shorter.
    index_label = labels if any(names) else False if header else blank
    sep = sep or SEPARATORS[_suffix(path)]
    table.to_csv(
        path,
        sep=sep,
        decimal=decimal,
        index=index,
        index_label=index_label,
        header=[*header, *table.columns[len(header) :]],
    )


def _check_column(name: str, names: list[str], option: str) -> None:
    if name in names:
        return
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if len(names) == 1 and option == "--label":
        hint = " If DATA has another separator than a comma, give it: --sep ';'."
    listed = ", ".join(names) or "none but the labels"
    raise click.BadParameter(
        f"there is no column {name!r}.{hint} Columns: {listed}.",
        param_hint=option,
    )


def _check_repeats(names: list[Any], once: Iterable[str]) -> None:
    for name in once:
        if names.count(name) > 1:
            raise click.ClickException(
                f"{names.count(name)} columns are named {name!r}. Rename all but one."
            )


def _needs_pyarrow() -> str:
    return "Parquet files need pyarrow. Install it with: pip install pyarrow"


def _suffix(path: Path) -> str:
    suffixes = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    return "".join(suffixes).lower()
