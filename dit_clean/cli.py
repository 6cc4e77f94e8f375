"""The command line: `dit-clean audit data.csv --label income --report audit.html`."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dit_clean.audit.extras import missing_extra, require
from dit_clean.audit.summary import by_class
from dit_clean.cleaner import InfluenceCleaner
from dit_clean.influence.windows import NAMED

try:
    import click
except ImportError as error:
    raise missing_extra("click", "The command line") from error

FLAGGED_TOO_MANY = 3
MANY_VALUES = 0.5
"""Share of distinct values from which on a text column says little to the network."""
FEW_VALUES = 50
MAX_CLASSES = 10
READERS = {
    ".csv": "read_csv",
    ".csv.gz": "read_csv",
    ".tsv": "read_csv",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
}
EPILOG = """
\b
Exit codes: 0 done; 1 the data cannot be audited; 2 wrong arguments, such as a
missing file or column; 3 more rows flagged than --fail-above allows.

\b
Examples:
  dit-clean audit people.csv --label income --report audit.html
  dit-clean audit people.csv --label income --drop id --drop name \\
      --seed 0 --output cleaned.csv
  dit-clean audit people.parquet --label income --strategy relabel \\
      --output relabeled.parquet
  dit-clean audit people.csv --label income --fail-above 0.05
"""


@dataclass(frozen=True)
class Table:
    """A data file split into inputs and labels.

    Attributes
    ----------
    whole : DataFrame
        As read.
    X : DataFrame
        Inputs: without the label and the columns to drop.
    y : Series
        Labels.
    label : str
        Name of the label column.
    """

    whole: Any
    X: Any
    y: Any
    label: str


class WindowType(click.ParamType):
    """A window: a name, a number of last epochs, or start:stop."""

    name = "window"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what the cleaner takes as `window`."""
        if not isinstance(value, str):
            return value
        try:
            if ":" in value:
                start, stop = value.split(":")
                return (_number(start), _number(stop))
            return int(value)
        except ValueError:
            if value in NAMED:
                return value
            self.fail(
                f"{value!r} is none of {', '.join(NAMED)}, no number of last epochs "
                "and no START:STOP as in 5:20 or 0.2:0.6."
            )


class ContaminationType(click.ParamType):
    """The word auto, or a fraction."""

    name = "fraction"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return what the cleaner takes as `contamination`."""
        if value == "auto":
            return value
        return click.FloatRange(0, 0.5, min_open=True).convert(value, param, ctx)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dit-clean")
def main() -> None:
    """Find the rows of a data file whose labels are wrong."""


@main.command(epilog=EPILOG)
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--label", required=True, help="Column with the labels to check.")
@click.option(
    "--drop",
    multiple=True,
    metavar="COLUMN",
    help="Column to ignore, such as an identifier; repeat for several.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="HTML file to write: table, pictures, how to act.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Cleaned data to write (.csv or .parquet), all columns.",
)
@click.option(
    "--table",
    "table_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Audit table to write (.csv or .parquet), one row per sample.",
)
@click.option(
    "--strategy",
    type=click.Choice(["filter", "relabel", "weight"]),
    default="filter",
    show_default=True,
    help="What --output does with flagged rows: leave them out, give them the "
    "suggested label, or add a column sample_weight.",
)
@click.option(
    "--contamination",
    type=ContaminationType(),
    default="auto",
    show_default=True,
    help="Fraction of rows to flag, up to 0.5; auto estimates it.",
)
@click.option(
    "--window",
    type=WindowType(),
    default="convergence",
    show_default=True,
    help="Epochs that count: convergence, full, early, middle, late, a number of "
    "last epochs, or START:STOP in epochs (5:20) or fractions (0.2:0.6).",
)
@click.option(
    "--scoring",
    type=click.Choice(["combined", "influence", "margin"]),
    default="combined",
    show_default=True,
    help="Evidence that suspicion rests on.",
)
@click.option(
    "--task",
    type=click.Choice(["auto", "classification", "regression"]),
    default="auto",
    show_default=True,
    help="What the label column holds.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=30,
    show_default=True,
    help="Epochs of training.",
)
@click.option(
    "--folds",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Networks trained, each without one part of the data.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Random seed.")
@click.option(
    "--jobs",
    type=int,
    default=1,
    show_default=True,
    help="Networks trained at the same time; -1 takes all cores.",
)
@click.option(
    "--fail-above",
    type=click.FloatRange(0, 1),
    metavar="FRACTION",
    help="Exit with code 3 if more rows than this are flagged.",
)
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary.")
def audit(  # noqa: PLR0913
    data: Path,
    *,
    label: str,
    drop: tuple[str, ...],
    report: Path | None,
    output: Path | None,
    table_path: Path | None,
    strategy: str,
    fail_above: float | None,
    quiet: bool,
    **settings: Any,
) -> None:
    """Find the wrong labels of DATA, a CSV or Parquet file.

    Trains small neural networks on the other columns (numbers, categories, missing
    values), watches which labels they never come to expect and which rows harm the
    predictions for others, and flags those. DATA itself is not changed.
    """
    _check_target(report, "--report", data, suffixes=(".html", ".htm"))
    _check_target(output, "--output", data)
    _check_target(table_path, "--table", data)
    table = _split(_read(data), label, drop)
    if not quiet:
        _warn_about_columns(table)
    cleaner = _fitted(table, settings, quiet)
    if report is not None:
        cleaner.report(report, title=f"Label audit of {data.name}")
    if table_path is not None:
        _write(cleaner.audit(sort="suspicion"), table_path)
    if output is not None:
        _write(_cleaned(table, cleaner, strategy), output)
    if not quiet:
        _print_summary(cleaner, {"report": report, "table": table_path, "data": output})
    fraction = 1 - cleaner.keep_mask_.mean()
    if fail_above is not None and fraction > fail_above:
        click.echo(f"{fraction:.1%} flagged, more than {fail_above:.1%}.", err=True)
        sys.exit(FLAGGED_TOO_MANY)


def _fitted(table: Table, settings: dict[str, Any], quiet: bool) -> InfluenceCleaner:
    """Return the fitted cleaner; what it refuses becomes one line and exit code 1."""
    names = {
        "epochs": "max_epochs",
        "folds": "cv",
        "seed": "random_state",
        "jobs": "n_jobs",
    }
    parameters = {names.get(name, name): value for name, value in settings.items()}
    cleaner = InfluenceCleaner(**parameters, verbose=0 if quiet else 1)
    try:
        return cleaner.fit(table.X, table.y.to_numpy())
    except (ValueError, TypeError, FloatingPointError) as error:
        raise click.ClickException(str(error)) from error


def _read(path: Path) -> Any:
    pandas = require("pandas", "The command line")
    suffix = _suffix(path)
    if suffix not in READERS:
        raise click.BadParameter(
            f"{path.name} is neither CSV nor Parquet ({', '.join(READERS)}).",
            param_hint="DATA",
        )
    options = {"sep": "\t"} if suffix == ".tsv" else {}
    try:
        return getattr(pandas, READERS[suffix])(path, **options)
    except ImportError as error:
        raise click.ClickException(
            "Parquet files need pyarrow. Install it with: pip install pyarrow"
        ) from error
    except (ValueError, OSError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from error


def _split(whole: Any, label: str, drop: tuple[str, ...]) -> Table:
    """Return inputs and labels; a column that does not exist is a wrong argument."""
    for option, name in [("--label", label), *(("--drop", name) for name in drop)]:
        if name not in whole.columns:
            raise click.BadParameter(
                f"there is no column {name!r}. Columns: "
                f"{', '.join(map(str, whole.columns))}.",
                param_hint=option,
            )
    y = whole[label]
    n_missing = int(y.isna().sum())
    if n_missing:
        raise click.ClickException(
            f"The label column {label!r} is empty in {n_missing:,} of {len(y):,} rows. "
            "Fill them in or leave these rows out first."
        )
    X = whole.drop(columns=[label, *drop])
    if X.shape[1] == 0:
        raise click.UsageError("No column is left to learn from.")
    return Table(whole, X, y, label)


def _warn_about_columns(table: Table) -> None:
    """Name text columns with hardly a value twice: the network cannot use them."""
    for name, column in table.X.items():
        n_values = column.nunique()
        is_text = column.dtype.kind not in "biufmM"
        if is_text and n_values > max(FEW_VALUES, MANY_VALUES * len(column)):
            click.echo(
                f"Note: column {name!r} has {n_values:,} different texts. If it is an "
                f"identifier, add --drop {name}; free text is better turned into "
                "numbers first.",
                err=True,
            )


def _cleaned(table: Table, cleaner: InfluenceCleaner, strategy: str) -> Any:
    if strategy == "relabel":
        return table.whole.assign(**{table.label: cleaner.suggested_label_})
    if strategy == "weight":
        return table.whole.assign(sample_weight=cleaner.sample_weight_)
    return cleaner.filter(table.whole)


def _write(table: Any, path: Path) -> None:
    if READERS[_suffix(path)] == "read_parquet":
        table.to_parquet(path, index=False)
        return
    sep = "\t" if _suffix(path) == ".tsv" else ","
    table.to_csv(path, index=False, sep=sep)


def _check_target(
    path: Path | None, option: str, data: Path, suffixes: Iterable[str] = READERS
) -> None:
    """Refuse a file that cannot be written before any time is spent."""
    problem = None
    if path is None:
        return
    if _suffix(path) not in suffixes:
        problem = f"{path.name} must end in one of {', '.join(suffixes)}."
    elif not path.parent.is_dir():
        problem = f"there is no folder {str(path.parent)!r}."
    elif path.resolve() == data.resolve():
        problem = "this would overwrite DATA. Give another name."
    if problem:
        raise click.BadParameter(problem, param_hint=option)


def _suffix(path: Path) -> str:
    suffixes = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    return "".join(suffixes).lower()


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _print_summary(cleaner: InfluenceCleaner, written: dict[str, Path | None]) -> None:
    data = cleaner.audit_data()
    click.echo(
        f"{data.flagged.sum():,} of {data.n_samples:,} rows flagged "
        f"({data.flagged.mean():.1%}), estimated fraction of wrong "
        f"{'labels' if data.is_classifier else 'targets'} {data.contamination:.1%}."
    )
    rows = sorted(by_class(data), key=lambda row: -row["n_flagged"])
    for row in rows[:MAX_CLASSES]:
        click.echo(
            f"  {row['label']}: {row['n_flagged']:,} of {row['n_samples']:,} flagged"
        )
    for what, path in written.items():
        if path is not None:
            click.echo(f"Wrote {what}: {path}")


if __name__ == "__main__":
    main()
