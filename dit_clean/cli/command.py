"""The command `dit-clean audit`."""

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from dit_clean.audit.extras import require
from dit_clean.audit.report import MAX_COLUMNS, REPORT_LIBRARIES
from dit_clean.audit.report import SUFFIXES as HTML_SUFFIXES
from dit_clean.audit.summary import by_class, with_most_flags
from dit_clean.audit.words import caution, expected_wrong
from dit_clean.cli.files import (
    SUFFIXES,
    Table,
    check_csv_options,
    check_target,
    read_table,
    split_table,
    write_table,
)
from dit_clean.cli.notes import (
    OPTIONS,
    columns_with_commas,
    has_decimal_commas,
    in_options,
    is_number,
    note,
    note_commas,
)
from dit_clean.cli.parameters import (
    read_contamination,
    read_jobs,
    read_lr,
    read_separator,
    read_window,
)
from dit_clean.data.texts import NumbersAsTextWarning
from dit_clean.estimators.cleaner import InfluenceCleaner
from dit_clean.influence.windows import resolve_window

FLAGGED_TOO_MANY = 3
MAX_CLASSES = 10
MAX_SEED = 2**32 - 1
STRICTER = "rows with a suspicion of 0.5 or more, or a smaller --contamination"
WEIGHT = "sample_weight"
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


class _Audit(click.Command):
    """A command that says how an option is given several values."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, or raise."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            if "extra argument" not in error.message:
                raise
            raise click.UsageError(
                f"{error.message}. Repeat --drop for several: --drop a --drop b.", ctx
            ) from error


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dit-clean")
def main() -> None:
    """Find the rows of a data file whose labels are wrong."""


@main.command(cls=_Audit, epilog=EPILOG)
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--label", required=True, help="Column with the labels to check.")
@click.option(
    "--drop",
    multiple=True,
    metavar="COLUMN",
    help="Column not to learn from, such as an identifier: shown all the same; repeat "
    "for several.",
)
@click.option(
    "--group",
    metavar="COLUMN",
    help="Column that tells which rows belong together (a patient, a document): "
    "networks that have seen one of them do not judge the others, nor learn from this "
    "column.",
)
@click.option(
    "--sep",
    type=read_separator,
    metavar="CHARACTER",
    help="Separator of CSV files; by default a comma, for .tsv a tab.",
)
@click.option(
    "--decimal",
    type=click.Choice([".", ","]),
    default=".",
    show_default=True,
    help="Decimal point of CSV files.",
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
    help="Audit table to write (.csv or .parquet): one row per sample, the most "
    "suspicious first, with the columns of DATA.",
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
    type=read_contamination,
    metavar="FRACTION",
    default="auto",
    show_default=True,
    help="Fraction of rows to flag, up to 0.5; auto estimates it.",
)
@click.option(
    "--window",
    type=read_window,
    metavar="WINDOW",
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
    "--lr",
    type=read_lr,
    metavar="NUMBER",
    default="auto",
    show_default=True,
    help="Learning rate; auto starts from 0.1 and tries higher ones where training "
    "is slow.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="Rows of a batch.",
)
@click.option(
    "--folds",
    type=click.IntRange(2),
    default=3,
    show_default=True,
    help="Networks trained without one part of the data each; one more sees all.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    show_default=True,
    help="Random seed.",
)
@click.option(
    "--jobs",
    type=read_jobs,
    metavar="INTEGER",
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
    group: str | None,
    sep: str | None,
    decimal: str,
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
    taken = [data.resolve()]
    check_target(report, "--report", taken, HTML_SUFFIXES)
    check_target(output, "--output", taken, SUFFIXES)
    check_target(table_path, "--table", taken, SUFFIXES)
    if report is not None:
        _check_report()
    check_csv_options([data, output, table_path], sep, decimal)
    drop += () if group is None or group in drop else (group,)
    read = read_table(data, sep, decimal, [label, *drop])
    table = split_table(*read, label, drop, group, settings["task"])
    _check_settings(table, strategy, output, settings)
    note_commas(table)
    cleaner = _fitted(table, settings, quiet)
    try:
        if output is not None:
            cleaned = _cleaned(table, cleaner, strategy, output, decimal)
            index, header = table.has_row_names, table.header
            write_table(cleaned, output, sep, decimal, index=index, header=header)
        if table_path is not None:
            shown = table.to_be_written(table_path).drop(columns=label)
            rows = cleaner.audit(sort="suspicion", columns=shown)
            write_table(rows, table_path, sep, decimal, index=table.has_row_names)
        if report is not None:
            title = f"Label audit of {data.name}"
            cleaner.report(report, title=title, columns=_reported(table, drop))
    except OSError as error:
        raise click.ClickException(f"Nothing more was written: {error}") from error
    if not quiet:
        _print_summary(cleaner, {"report": report, "table": table_path, "data": output})
    fraction = (~cleaner.keep_mask_).mean()
    if fail_above is not None and fraction > fail_above:
        limit = f"{100 * fail_above:g}%"
        click.echo(f"{fraction:.1%} of the rows flagged, more than {limit}.", err=True)
        sys.exit(FLAGGED_TOO_MANY)


def _reported(table: Table, drop: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the columns that a report shows; a reviewer goes by those to drop, too."""
    if not drop:
        return None
    dropped = {name: table.written[name] for name in drop}
    n_inputs = max(0, MAX_COLUMNS - len(dropped))
    return dropped | dict(list(table.X.items())[:n_inputs])


def _check_report() -> None:
    """Refuse --report before training if a library is missing."""
    try:
        for library in REPORT_LIBRARIES:
            require(library, "--report")
    except ImportError as error:
        raise click.ClickException(str(error)) from error


def _check_settings(
    table: Table, strategy: str, output: Path | None, settings: dict[str, Any]
) -> None:
    """Refuse what the cleaner would refuse later, or what has no effect."""
    if strategy != "filter" and output is None:
        raise click.UsageError("--strategy says what --output holds. Give --output.")
    if strategy == "weight" and WEIGHT in table.read.columns:
        raise click.BadParameter(
            f"DATA has a column {WEIGHT!r} already. Rename it.", param_hint="--strategy"
        )
    if settings["task"] == "regression" and not is_number(table.y):
        comma = " For decimal commas add --decimal ','."
        raise click.BadParameter(
            f"the column {table.y.name!r} holds {table.y.iloc[0]!r}, which is no "
            f"number.{comma if table.is_csv and has_decimal_commas(table.y) else ''}",
            param_hint="--task",
        )
    try:
        resolve_window(settings["window"], settings["epochs"])
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--window") from error


def _fitted(table: Table, settings: dict[str, Any], quiet: bool) -> InfluenceCleaner:
    """Return the fitted cleaner; what it refuses becomes one line and exit code 1."""
    names = {option.replace("-", "_"): name for name, option in OPTIONS.items()}
    parameters = {names.get(option, option): v for option, v in settings.items()}
    shows_progress = not quiet and sys.stderr.isatty()  # not in the logs of CI
    cleaner = InfluenceCleaner(**parameters, verbose=shows_progress)
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        for name in columns_with_commas(table):  # noted already
            of_column = f"The column {re.escape(repr(name))} holds"
            warnings.filterwarnings("ignore", of_column, NumbersAsTextWarning)
        warnings.showwarning = lambda message, *_: note(in_options(str(message)))
        try:
            return cleaner.fit(table.X, table.y.to_numpy(), groups=table.groups)
        except (ValueError, TypeError, FloatingPointError) as error:
            raise click.ClickException(in_options(str(error))) from error


def _cleaned(
    table: Table, cleaner: InfluenceCleaner, strategy: str, path: Path, decimal: str
) -> Any:
    if strategy == "relabel":
        return table.relabeled(cleaner.suggested_label_, path, decimal)
    whole = table.to_be_written(path)
    if strategy == "weight":
        return whole.assign(**{WEIGHT: cleaner.sample_weight_})
    return cleaner.filter(whole)


def _print_summary(cleaner: InfluenceCleaner, written: dict[str, Path | None]) -> None:
    data = cleaner.audit_data()
    click.echo(
        f"{data.flagged.sum():,} of {data.n_samples:,} rows flagged "
        f"({data.flagged.mean():.1%}), estimated fraction of wrong "
        f"{'labels' if data.is_classifier else 'targets'} {data.contamination:.1%}."
    )
    if data.flagged.any():
        click.echo(f"Going by suspicion, {expected_wrong(data)}.")
    if data.is_doubtful:
        click.echo(caution(data, STRICTER))
    for row in with_most_flags(by_class(data), MAX_CLASSES):
        click.echo(
            f"  {row['label']}: {row['n_flagged']:,} of {row['n_samples']:,} flagged"
        )
    for what, path in written.items():
        if path is not None:
            click.echo(f"Wrote {what}: {path}")
