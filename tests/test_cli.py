"""The command line: what it writes, and how it refuses."""

import subprocess
import sys
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.datasets import load_iris

from dit_clean import InfluenceCleaner
from dit_clean.cli import command, files, main

QUICK = ["--epochs", "4", "--quiet"]
BOTH = ["--label=kind", "--output=new.csv", "--table=new.csv"]
WEIGHT = ["--label=kind", "--strategy=weight", "--output=new.csv"]


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True, as_frame=True)
    table = X.assign(kind=np.array(["setosa", "versicolor", "virginica"])[y])
    table.loc[[3, 60], "kind"] = ["virginica", "setosa"]
    return table.assign(id=[f"plant {i}" for i in range(150)])


@pytest.fixture
def folder(tmp_path, iris, monkeypatch):
    iris.to_csv(tmp_path / "iris.csv", index=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments):
    return CliRunner().invoke(main, ["audit", *arguments])


def test_help_names_every_option_and_exit_code(folder):
    text = call("--help").output
    for word in ("--label", "--drop", "--window", "--seed", "Exit codes", "Examples"):
        assert word in text
    assert "audit" in CliRunner().invoke(main, ["--help"]).output


def test_report_table_and_cleaned_data_are_written(folder, iris):
    result = call(
        "iris.csv",
        "--label=kind",
        "--drop=id",
        "--report=audit.html",
        "--output=cleaned.csv",
        "--table=table.csv",
        "--epochs=4",
    )
    assert result.exit_code == 0, result.output
    table = pd.read_csv(folder / "table.csv")
    cleaned = pd.read_csv(folder / "cleaned.csv")
    kept = np.sort(table.loc[~table["flagged"], "row"])
    width = "petal width (cm)"
    assert table[width].tolist() == iris.loc[table["row"], width].tolist()
    pd.testing.assert_frame_equal(cleaned, iris.iloc[kept].reset_index(drop=True))
    assert "Label audit of iris.csv" in (folder / "audit.html").read_text("utf-8")
    assert f"{150 - len(kept)} of 150 rows flagged" in result.output
    suspicion = table["suspicion"][table["flagged"]]
    expected = f"{suspicion.sum():.0f} of the {len(suspicion)} flagged are expected"
    assert expected in result.output
    assert ("Stricter: rows with a susp" in result.output) == (suspicion.median() < 0.5)
    assert "epoch" not in result.stderr


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_in_a_terminal_alone(
    folder, capsys, monkeypatch, is_terminal
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    arguments = ["audit", "iris.csv", "--label=kind", "--drop=id", "--epochs=4"]
    main(arguments, standalone_mode=False)
    shown = capsys.readouterr()
    assert ("epoch" in shown.err) == is_terminal
    assert "rows flagged" in shown.out


def test_the_same_seed_gives_the_same_file(folder):
    for name in ("a.csv", "b.csv"):
        call("iris.csv", "--label=kind", "--drop=id", f"--table={name}", *QUICK)
    assert (folder / "a.csv").read_bytes() == (folder / "b.csv").read_bytes()


@pytest.mark.parametrize("strategy", ["relabel", "weight"])
def test_rows_may_be_relabeled_or_weighted(folder, iris, strategy):
    options = ["--contamination=0.1", f"--strategy={strategy}", "--output=out.parquet"]
    result = call("iris.csv", "--label=kind", "--drop=id", *options, *QUICK)
    assert result.exit_code == 0, result.output
    written = pd.read_parquet(folder / "out.parquet")
    assert len(written) == 150
    if strategy == "relabel":
        assert (written["kind"] != iris["kind"]).sum() == 15
    else:
        assert (written["sample_weight"] == 0).sum() == 15


def test_parquet_is_read(folder, iris):
    iris.drop(columns="id").to_parquet(folder / "iris.parquet")
    result = call("iris.parquet", "--label=kind", "--window=2:4", *QUICK)
    assert result.exit_code == 0, result.output
    assert result.output == ""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.csv", "--label=kind"], 2, "'none.csv' does not exist"),
        (["iris.csv", "--label=sort"], 2, "there is no column 'sort'. Columns: sepal"),
        (["iris.csv", "--label=kind", "--drop=x"], 2, "there is no column 'x'"),
        (["iris.csv", "--label=kind", "--window=5:x"], 2, "no START:STOP"),
        (["iris.csv", "--label=kind", "--window=end"], 2, "'end' is none of full"),
        (["iris.csv", "--label=kind", "--contamination=0.9"], 2, "neither auto nor"),
        (["iris.csv", "--label=kind", "--contamination=few"], 2, "neither auto nor"),
        (["iris.csv", "--label=kind", "--lr=0"], 2, "neither auto nor a number above"),
        (["iris.csv", "--label=kind", "--lr=fast"], 2, "neither auto nor a number"),
        (["iris.csv", "--label=Kind"], 2, "Did you mean 'kind'?"),
        (["iris.csv", "--label=kind", "--drop=kin"], 2, "'kin'. Columns: sepal"),
        (["iris.csv", "--label=kind", "--jobs=0"], 2, "'--jobs': 0 networks cannot"),
        (["iris.csv", "--label=kind", "--jobs=two"], 2, "not a valid integer"),
        (["iris.csv", "--label=kind", "--drop=kind"], 2, "column with the labels"),
        (
            ["iris.csv", "--label=kind", "--group=kind"],
            2,
            "--group: 'kind' is the column",
        ),
        (["iris.csv", "--label=kind", "--drop", "id", "x"], 2, "--drop a --drop b."),
        (["iris.csv", "--label=kind", "--group=x"], 2, "there is no column 'x'"),
        (["iris.csv", "--label=kind", "--window=3:2"], 2, "outside of training"),
        (["iris.csv", "--label=kind", "--seed=-1"], 2, "0<=x<=4294967295"),
        (["iris.csv", "--label=kind", "--strategy=relabel"], 2, "Give --output"),
        (["iris.csv", "--label=kind", "--task=regression"], 2, "is no number"),
        (["iris.csv", *BOTH], 2, "to hold something else already"),
        (["weighted.csv", *WEIGHT], 2, "a column 'sample_weight' already"),
        (["twice.csv", "--label=kind"], 1, "2 columns are named 'kind'"),
        (["semicolons.csv", "--label=kind"], 2, "another separator"),
        (["latin.csv", "--label=kind"], 1, "is no text in UTF-8"),
        (["norows.csv", "--label=kind"], 1, "has no rows"),
        (["iris.csv", "--label=kind", "--output=a.xlsx"], 2, "must end in one of"),
        (["iris.csv", "--label=kind", "--output=iris.csv"], 2, "overwrite DATA"),
        (["iris.csv", "--label=kind", "--table=no/a.csv"], 2, "no folder 'no'"),
        (["iris.txt", "--label=kind"], 2, "neither CSV nor Parquet"),
        (["rare.csv", "--label=kind"], 1, "fewer rows than --folds=3"),
        (["empty.csv", "--label=id"], 1, "cannot be read: it is empty."),
        (["holes.csv", "--label=kind"], 1, "is empty in 1 of 2 rows"),
        (["gaps.csv", "--label=kind"], 1, "has NA in 1 of 2 rows: beside numbers"),
        (["narrow.csv", "--label=kind"], 2, "No column is left"),
        (["narrow.csv", "--label=kind", "--drop=id"], 2, "none but the labels."),
    ],
)
def test_refusals_say_what_was_wrong(folder, arguments, code, message):
    (folder / "iris.txt").write_text("kind\n")
    (folder / "empty.csv").write_text("")
    (folder / "holes.csv").write_text("kind,a\nx,1\n,2\n")
    (folder / "gaps.csv").write_text("kind,a\n01,1\nNA,2\n")
    (folder / "rare.csv").write_text("kind,a\nx,1\nx,2\nx,3\ny,1\n")
    (folder / "narrow.csv").write_text("kind\nx\ny\n")
    (folder / "weighted.csv").write_text("kind,sample_weight\nx,1\ny,2\n")
    (folder / "twice.csv").write_text("kind,a,kind\nx,1,y\n")
    (folder / "semicolons.csv").write_text("kind;a\nx;1\n")
    (folder / "latin.csv").write_bytes("kind,a\nä,1\n".encode("latin-1"))
    (folder / "norows.csv").write_text("kind,a\n")
    result = call(*arguments, *QUICK)
    assert result.exit_code == code
    assert message in " ".join(result.output.split())


def test_too_many_flags_have_an_exit_code_of_their_own(folder):
    options = ["--contamination=0.2", "--fail-above=0.1", *QUICK]
    result = call("iris.csv", "--label=kind", "--drop=id", *options)
    assert result.exit_code == 3
    assert "20.0% of the rows flagged, more than 10%" in result.output
    options = ["--contamination=0.3", "--fail-above=0.3", *QUICK]
    assert call("iris.csv", "--label=kind", "--drop=id", *options).exit_code == 0


def test_identifiers_are_pointed_out(folder):
    for options in ([], ["--quiet"]):
        result = call("iris.csv", "--label=kind", "--epochs=1", *options)
        assert "column 'id' holds 150 different texts" in result.stderr
        assert "Leave identifiers out (--drop COLUMN)." in result.stderr


def test_the_separator_is_read_and_written(folder, iris):
    iris.drop(columns="id").to_csv("semi.csv", sep=";", index=False)
    options = ["--label=kind", "--sep=;", "--output=out.csv", *QUICK]
    result = call("semi.csv", *options)
    assert result.exit_code == 0, result.output
    assert (folder / "out.csv").read_text().startswith("sepal length (cm);")


def test_whole_numbers_as_labels_are_pointed_out(folder):
    counts = pd.DataFrame({"kind": np.arange(90) % 30 * 2, "a": np.arange(90)})
    counts.to_csv("counts.csv", index=False)
    result = call("counts.csv", "--label=kind", "--epochs=1")
    assert "30 different whole numbers, taken as labels" in result.stderr
    assert "set --task regression;" in result.stderr
    result = call("counts.csv", "--label=kind", "--epochs=1", "--task=regression")
    assert result.exit_code == 0, result.output
    assert "wrong targets" in result.stdout


def test_warnings_are_notes_without_paths(folder, monkeypatch):
    def fit(cleaner, X, y, groups):
        warnings.warn("These data are odd.", UserWarning, stacklevel=1)
        raise ValueError("cv=3 is too much: lower cv.")

    monkeypatch.setattr("dit_clean.cli.command.InfluenceCleaner.fit", fit)
    result = call("iris.csv", "--label=kind", "--drop=id")
    assert result.exit_code == 1
    assert result.stderr == (
        "Note: These data are odd.\nError: --folds=3 is too much: lower --folds.\n"
    )


def test_a_file_that_cannot_be_written_is_named(folder, iris, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied", "out.csv")

    monkeypatch.setattr(pd.DataFrame, "to_csv", refuse)
    result = call("iris.csv", "--label=kind", "--drop=id", "--output=out.csv", *QUICK)
    assert result.exit_code == 1
    assert "Permission denied: 'out.csv'" in result.output


def test_package_is_the_command_line_too():
    command = [sys.executable, "-m", "dit_clean", "audit", "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("Usage: dit-clean audit")


@pytest.mark.parametrize("classes", [["01", "02"], ["yes", "None"], ["TRUE", "FALSE"]])
def test_cells_are_written_as_they_were_read(folder, classes):
    generator = np.random.RandomState(0)
    n_rows = 60
    table = pd.DataFrame(
        {
            "zip": [f"{i % 7:05}" for i in range(n_rows)],
            "country": ["NA", "DE"] * (n_rows // 2),
            "gap": ["" if i == 5 else str(i) for i in range(n_rows)],
            "price": [f"{x:.2f}0" for x in generator.rand(n_rows)],
            "class": classes * (n_rows // 2),
        }
    )
    table.to_csv(folder / "text.csv", index=False)
    options = ["--contamination=0.1", *QUICK]
    written = {"dtype": str, "keep_default_na": False}
    result = call("text.csv", "--label=class", "--output=kept.csv", *options)
    assert result.exit_code == 0, result.output
    kept = pd.read_csv(folder / "kept.csv", **written)
    assert len(kept) == 54
    assert kept.merge(table, how="inner").equals(kept)
    options += ["--strategy=relabel", "--table=table.csv"]
    call("text.csv", "--label=class", "--output=all.csv", *options)
    relabeled = pd.read_csv(folder / "all.csv", **written)
    assert relabeled.drop(columns="class").equals(table.drop(columns="class"))
    assert set(relabeled["class"]) == set(classes)
    shown = pd.read_csv(folder / "table.csv", **written)
    shown = shown.sort_values("row", key=lambda rows: rows.astype(int))
    assert shown["zip"].tolist() == table["zip"].tolist()
    assert shown["label"].tolist() == table["class"].tolist()


def make_numbers(folder, name):
    generator = np.random.RandomState(0)
    X = generator.rand(90, 3)
    y = X @ [1.0, 2.0, 3.0]
    y[::30] += 50
    table = pd.DataFrame(X, columns=list("abc")).assign(price=y)
    text = table.map(lambda value: f"{value:.4f}0")
    text["price"] = [f" {value}" for value in text["price"]]
    text.to_csv(folder / name, index=False)
    return text


@pytest.mark.filterwarnings("ignore:.*targets look wrong")
def test_only_flagged_targets_are_rewritten(folder):
    table = make_numbers(folder, "prices.csv")
    options = ["--task=regression", "--contamination=0.05", "--strategy=relabel"]
    for path in ("out.csv", "out.parquet"):
        result = call(
            "prices.csv", "--label=price", f"--output={path}", *options, *QUICK
        )
        assert result.exit_code == 0, result.output
    found = pd.read_csv("out.csv", dtype=str)
    changed = found["price"] != table["price"]
    assert changed.sum() == 4
    assert changed[[0, 30, 60]].all()
    assert found.drop(columns="price").equals(table.drop(columns="price"))
    assert (pd.read_parquet("out.parquet").dtypes == np.float64).all()


def test_separators_that_do_not_fit_are_named(folder):
    (folder / "semi.csv").write_text('a;b;y\n1;"x";0\n2;"x, y";1\n')
    result = call("semi.csv", "--label=y")
    assert result.exit_code == 1
    assert "See --sep" in result.output


def test_columns_that_number_the_rows_are_pointed_out(folder, iris):
    iris.sort_values("kind", ignore_index=True).to_csv("numbered.csv")
    shown = call("numbered.csv", "--label=kind", "--drop=id", "--epochs=4").output
    assert "Column 'Unnamed: 0' of X numbers the rows" in shown
    assert "Leave it out (--drop COLUMN)" in shown
    dropped = call("iris.csv", "--label=kind", "--drop=id", "--epochs=4").output
    assert "numbers the rows" not in dropped


def test_decimal_commas_are_read_or_pointed_out(folder, iris):
    iris.to_csv("commas.csv", sep=";", decimal=",", index=False)
    arguments = ["commas.csv", "--label=kind", "--drop=id", "--sep=;"]
    shown = call(*arguments, "--epochs=4").output
    assert "'petal width (cm)' looks like numbers: try --decimal ','" in shown
    assert shown.count("'petal width (cm)'") == 1
    tables = []
    for name, more in (("a.csv", ["--decimal=,"]), ("b.csv", [])):
        source = arguments if more else ["iris.csv", "--label=kind", "--drop=id"]
        result = call(*source, f"--table={name}", *more, *QUICK)
        assert result.exit_code == 0, result.output
        tables.append(pd.read_csv(name, sep=";" if more else ","))
    assert tables[0]["row"].tolist() == tables[1]["row"].tolist()
    target = [*arguments[:1], "--label=petal width (cm)", "--task=regression"]
    refused = call(*target, "--sep=;")
    assert "For decimal commas add --decimal ','" in refused.output


def test_separators_of_thousands_are_no_decimal_commas(folder, iris):
    table = iris.drop(columns="id").assign(price=[f"1,{i:03}" for i in range(150)])
    table.to_csv("prices.csv", index=False)
    shown = call("prices.csv", "--label=kind", "--epochs=1").stderr
    assert "'price' looks like numbers, but has commas where other" in shown
    assert "--decimal" not in shown


def test_codes_with_zeros_in_front_are_no_decimal_commas(folder, iris):
    table = iris.drop(columns="id").assign(zip=[f"{i % 7:05}" for i in range(150)])
    table.to_csv("zip.csv", index=False)
    shown = call("zip.csv", "--label=kind", "--epochs=1").stderr
    assert "looks like numbers" not in shown


def test_texts_that_are_numbers_or_dates_are_noted_once(folder, iris):
    days = [f"2020-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(150)]
    sizes = [f"1,000,{i:03}" for i in range(150)]
    iris.drop(columns="id").assign(day=days, size=sizes).to_csv("d.csv", index=False)
    shown = call("d.csv", "--label=kind", "--epochs=1").stderr
    assert shown.count("'day'") == shown.count("'size'") == 1
    assert "'day' holds dates as text" in shown
    assert "'size' holds 150 different numbers as text" in shown


def test_times_of_parquet_may_be_dropped(folder, iris):
    days = pd.date_range("2020-01-01", periods=len(iris))
    iris.drop(columns="id").assign(day=days).to_parquet("days.parquet")
    refused = call("days.parquet", "--label=kind", *QUICK)
    assert "'day' holds dates or durations" in refused.output
    assert "or leave it out (--drop COLUMN)" in refused.output
    assert "skrub" not in refused.output
    assert call("days.parquet", "--label=kind", "--drop=day", *QUICK).exit_code == 0


def test_files_of_another_kind_are_named(folder, iris):
    iris.to_csv("wide.csv", encoding="utf-16", index=False)
    assert "iconv -f UTF-16" in call("wide.csv", "--label=kind").output
    iris.to_parquet("iris.parquet")
    refused = call("iris.parquet", "--label=kind", "--sep=;")
    assert refused.exit_code == 2
    assert "Parquet files have no separator" in refused.output


def without(monkeypatch, *modules):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def never(*arguments, **options):
    raise AssertionError("was trained")


def test_missing_libraries_are_named_before_training(folder, monkeypatch):
    monkeypatch.setattr(command, "_fitted", never)
    monkeypatch.setattr(files, "find_spec", lambda module: None)
    result = call("iris.csv", "--label=kind", "--output=a.parquet", *QUICK)
    assert "pip install pyarrow" in result.output
    without(monkeypatch, "jinja2")
    result = call("iris.csv", "--label=kind", "--report=a.html", *QUICK)
    assert result.exit_code == 1
    assert "--report needs jinja2" in result.output


@pytest.mark.parametrize("strategy", ["relabel", "weight"])
def test_decimal_commas_are_written_throughout(folder, strategy):
    X = np.random.RandomState(0).randn(80, 2)
    y = X.sum(axis=1)
    y[:4] += 30
    table = pd.DataFrame(X, columns=["a", "b"]).assign(y=y)
    table.to_csv("commas.csv", sep=";", decimal=",", index=False)
    options = ["--task=regression", "--sep=;", "--decimal=,", f"--strategy={strategy}"]
    outputs = ["--output=new.csv", "--table=table.csv"]
    assert call("commas.csv", "--label=y", *options, *outputs, *QUICK).exit_code == 0
    for name in ("new.csv", "table.csv"):
        read = pd.read_csv(name, sep=";", decimal=",")
        numbers = read.select_dtypes("number").columns
        assert set(read.columns) - set(numbers) <= {"flagged", "pattern"}


def test_a_column_has_one_type_however_long_the_file_is(folder, monkeypatch):
    n_rows = 300_000
    codes = np.array(["1", "2"], dtype=object)[np.arange(n_rows) % 2]
    codes[-5:] = "A"
    pd.DataFrame({"code": codes, "kind": codes}).to_csv("long.csv", index=False)
    read, *_ = files.read_table(folder / "long.csv", None, ".", [])
    assert {type(value) for value in read["code"]} == {str}


@pytest.mark.parametrize(("sep", "is_taken"), [("\\t", True), (";;", False)])
def test_separators_are_one_character(folder, iris, sep, is_taken):
    iris.to_csv("tabs.csv", sep="\t", index=False)
    given = ["--label=kind", "--drop=id", f"--sep={sep}", "--output=new.csv"]
    result = call("tabs.csv", *given, *QUICK)
    assert result.exit_code == (0 if is_taken else 2), result.output
    if is_taken:
        assert len(pd.read_csv("new.csv", sep="\t").columns) == 6


def test_rows_of_a_group_are_held_out_together(folder, iris):
    iris.assign(plant=np.arange(len(iris)) // 3).to_csv("plants.csv", index=False)
    arguments = ["plants.csv", "--label=kind", "--drop=id", "--table=table.csv", *QUICK]
    call(*arguments, "--group=plant", "--lr=0.2", "--batch-size=32")
    found = pd.read_csv("table.csv").sort_values("row")
    cleaner = InfluenceCleaner(max_epochs=4, lr=0.2, batch_size=32, random_state=0)
    X = iris.drop(columns=["id", "kind"])
    cleaner.fit(X, iris["kind"], groups=np.arange(len(iris)) // 3)
    np.testing.assert_allclose(found["suspicion"], cleaner.suspicion_, atol=1e-6)
    assert list(found["plant"]) == list(np.arange(len(iris)) // 3)


@pytest.mark.parametrize("gap", ["NA", "None", ""])
def test_groups_are_read_as_they_are_written(folder, iris, gap):
    """NA is Namibia, but an empty cell is none."""
    country = np.where(np.arange(150) % 3 == 0, gap, "DE")
    country[1::3] = [f"X{i}" for i in range(50)]
    iris.assign(country=country).to_csv("countries.csv", index=False)
    options = ["--label=kind", "--drop=id", "--group=country", "--epochs=1", "-q"]
    result = call("countries.csv", *options)
    assert result.exit_code == (0 if gap else 1), result.output
    assert gap or "groups has no entry in 50 of 150 rows" in result.output


def test_a_label_column_may_have_any_name(folder, iris):
    table = iris.drop(columns="id").rename(columns={"kind": "self"})
    table.to_csv("self.csv", index=False)
    options = ["--strategy=relabel", "--contamination=0.1", "--output=new.csv"]
    result = call("self.csv", "--label=self", *options, *QUICK)
    assert result.exit_code == 0, result.output
    assert (pd.read_csv("new.csv")["self"] != table["self"]).sum() == 15


@pytest.mark.parametrize("strategy", ["filter", "weight"])
def test_headers_are_written_as_they_were_read(folder, iris, strategy):
    header = ["a", "a", "", "NA", "kind"]
    table = iris.drop(columns="id")
    table.to_csv("odd.csv", index=False, header=header)
    options = ["--label=kind", f"--strategy={strategy}", "--output=new.csv", *QUICK]
    assert call("odd.csv", *options).exit_code == 0
    added = ["sample_weight"] if strategy == "weight" else []
    written = (folder / "new.csv").read_text().splitlines()
    assert written[0].split(",") == [*header, *added]
    assert set((folder / "odd.csv").read_text().splitlines()[1:]) >= {
        ",".join(line.split(",")[:5]) for line in written[1:]
    }


@pytest.mark.parametrize("source", ["rows.parquet", "rows.csv"])
@pytest.mark.parametrize("names", ["p{}", "7{}"])
def test_row_names_without_a_name_are_kept(folder, iris, source, names):
    """In a CSV file of R the header is one cell shorter, and stays so."""
    table = iris.drop(columns="id")
    table = table.set_axis([names.format(i) for i in range(150)])
    table.to_parquet("rows.parquet")
    table.to_csv("rows.csv", index_label=False)
    outputs = ["--output=new.csv", "--table=table.csv"]
    result = call(source, "--label=kind", *outputs, *QUICK)
    assert result.exit_code == 0, result.output
    first = "sepal length (cm)," if source == "rows.csv" else ",sepal length (cm),"
    assert (folder / "new.csv").read_text().startswith(first)
    written = pd.read_csv("new.csv", index_col=0).rename(index=str)
    assert 0 < len(written) < 150
    assert written.equals(table.loc[written.index])
    assert (folder / "table.csv").read_text().startswith(",row,")
    shown = pd.read_csv("table.csv", index_col=0)
    assert [*shown.index.astype(str)] == [names.format(i) for i in shown["row"]]


@pytest.mark.parametrize("drop", [True, False])
def test_named_index_of_parquet_is_kept_and_not_learned_from(folder, iris, drop):
    table = iris.set_index("id", drop=drop)
    table.to_parquet("index.parquet")
    given = ["--label=kind", "--output=new.parquet", "--table=table.csv"]
    given += [] if drop else ["--drop=id"]
    result = call("index.parquet", *given, *QUICK)
    assert result.exit_code == 0, result.output
    written = pd.read_parquet("new.parquet")
    assert written.equals(table.loc[written.index])
    columns = list(pd.read_csv("table.csv").columns)
    assert columns[0] == ("id" if drop else "id_index")
    assert columns.count("id") == 1


def test_columns_of_parquet_may_be_numbers(folder, iris):
    iris.drop(columns="id").set_axis(range(5), axis=1).to_parquet("numbers.parquet")
    result = call("numbers.parquet", "--label=4", "--output=new.csv", *QUICK)
    assert result.exit_code == 0, result.output
    assert list(pd.read_csv("new.csv")) == ["0", "1", "2", "3", "4"]


def test_numbers_of_parquet_that_have_gaps_keep_all_digits(folder, iris):
    ids = pd.array([None, *range(2**60 + 1, 2**60 + 150)], dtype="Int64")
    table = pa.Table.from_pandas(iris.assign(id=ids))
    # As others than pandas write it: what its dtypes were is not said.
    pq.write_table(table.replace_schema_metadata(), "gaps.parquet")
    given = ["--label=kind", "--drop=id", "--output=new.parquet", "--table=rows.csv"]
    result = call("gaps.parquet", *given, *QUICK)
    assert result.exit_code == 0, result.output
    written = pd.read_parquet("new.parquet", dtype_backend="numpy_nullable")["id"]
    assert set(written.dropna()) <= set(ids[1:])
    assert sorted(pd.read_csv("rows.csv", dtype=str)["id"].dropna()) == [
        str(number) for number in ids[1:]
    ]


def test_decimals_of_parquet_are_numbers(folder, iris):
    prices = [Decimal(f"{number:.2f}") for number in iris.iloc[:, 0]]
    prices[3] = Decimal("900.25")
    table = iris.drop(columns=["id", "kind"]).assign(price=prices, cost=prices[::-1])
    table.to_parquet("prices.parquet")
    given = ["--label=price", "--task=regression", "--strategy=relabel"]
    result = call("prices.parquet", *given, "--output=new.parquet", "--epochs=5")
    assert result.exit_code == 0, result.output
    assert "different texts" not in result.stderr
    written = pd.read_parquet("new.parquet")["price"]
    assert {type(price) for price in written} == {Decimal}
    assert written[3] < 100


def test_lists_in_a_column_are_refused_in_one_line(folder, iris):
    iris.assign(list=[[1.0, 2.0]] * 150).to_parquet("lists.parquet")
    result = call("lists.parquet", "--label=kind", "--drop=id", "--epochs=2")
    assert result.exit_code == 1
    assert "Column 'list' holds lists (ndarray), but one value" in result.output


def test_parquet_files_take_no_options_of_csv(folder, iris, monkeypatch):
    codes = [f"{i:05}" for i in range(150)]
    iris.drop(columns="id").assign(code=codes).to_parquet("codes.parquet")
    given = ["codes.parquet", "--label=kind", "--epochs=1"]
    assert "different texts" in call(*given).stderr
    assert "--decimal" not in call(*given).stderr
    with monkeypatch.context() as patched:
        patched.setattr(command, "_fitted", never)
        for option in ("--decimal=,", "--sep=;"):
            result = call(*given, option, "--output=new.parquet")
            assert result.exit_code == 2
            assert "Parquet files have no" in result.output
    written = ["--drop=code", "--decimal=,", "--sep=;", "--output=new.csv", *QUICK]
    result = call(*given, *written)
    assert result.exit_code == 0, result.output
    assert pd.read_csv("new.csv", sep=";", decimal=",").dtypes.iloc[0] == np.float64


@pytest.mark.parametrize("drop", [["id"], ["id", "petal width (cm)", "id"]])
def test_dropped_columns_are_shown_and_not_learned_from(folder, iris, drop):
    options = ["--label=kind", *[f"--drop={name}" for name in drop], *QUICK]
    outputs = ["--table=table.csv", "--report=audit.html"]
    result = call("iris.csv", *options, *outputs)
    assert result.exit_code == 0, result.output
    table = pd.read_csv("table.csv")
    assert table["id"].tolist() == iris["id"].iloc[table["row"]].tolist()
    assert set(iris.columns) - {"kind"} <= set(table.columns)
    assert "plant 17" in (folder / "audit.html").read_text("utf-8")
    iris.drop(columns=drop).to_csv("without.csv", index=False)
    call("without.csv", "--label=kind", "--table=other.csv", *QUICK)
    assert pd.read_csv("other.csv")["suspicion"].equals(table["suspicion"])


def test_warnings_name_options_and_free_text_once(folder, iris):
    noise = np.random.RandomState(0).rand(150)
    texts = iris[["kind", "id"]].assign(noise=noise, kind=list("ab") * 75)
    texts.to_csv("texts.csv", index=False)
    shown = call("texts.csv", "--label=kind", "--epochs=2").stderr
    assert shown.count("different texts") == 1
    assert "train longer (--epochs)" in shown
    assert "_," not in shown


@pytest.mark.parametrize(("index", "header"), [("id", "id_index,id"), ("no", "no,id")])
def test_an_index_has_a_name_of_its_own_in_a_csv_file(tmp_path, index, header):
    path = tmp_path / "out.csv"
    table = pd.DataFrame({"id": [3]}).rename_axis(index)
    files.write_table(table, path, None, ".", index=True)
    assert path.read_text().splitlines() == [header, "0,3"]
