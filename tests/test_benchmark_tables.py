"""The tables that benchmarks print."""

from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_counts_are_printed_as_whole_numbers(monkeypatch):
    pytest.importorskip("tabulate", reason="needs the extra bench: tabulate")
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from _summary import table

    frame = pd.DataFrame({"wins": [165, 9], "lead": [0.1644, 1.0]}, index=["a", "b"])
    cells = [line.split("|")[1:-1] for line in table("Leads", frame).splitlines()[4:]]
    shown = [[cell.strip() for cell in row] for row in cells]
    assert shown == [["a", "165", "0.164"], ["b", "9", "1.000"]]


def test_long_tables_are_folded_and_stay_markdown(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    from _collect import LONG, folded

    short = ["| a |", "|---|", *["| 1 |"] * (LONG - 1)]
    long = [*short, "| 1 |"]
    text = folded("\n".join([*short, "", *long, "", "- after"])).split("\n")
    inside = text[text.index("<details>") + 2 : text.index("</details>")]
    assert inside == ["", *long, ""]
    assert text[: len(short)] == short
    assert text[-2:] == ["", "- after"]


def rows_of(text):
    """Return the cells of Markdown tables by the first of each row."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {name: cells for name, *cells in rows}


def test_the_readme_quotes_what_the_benchmarks_print():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    parts = {part.split("\n")[0]: part for part in page.split("\n### ")}
    ranking = rows_of(parts["Goal 1: average precision over noisy cells"])
    flags = rows_of(parts["Goal 5: flags of the default cut"])
    readme = (ROOT / "README.md").read_text()
    quoted = rows_of(readme.split("## How good it is")[1].split("\n## ")[0])
    for name, (precision, asymmetric, f1) in list(quoted.items())[2:]:
        names = ranking["method"]
        assert precision == ranking[name][names.index("AP all")]
        assert asymmetric == ranking[name][names.index("AP asymmetric all")]
        assert f1 == (flags[name][-1] if name in flags else "")
    assert f"F1 of {flags['cleanlab'][-1]}" in " ".join(readme.split())
    assert len(quoted) > 5


def test_the_readme_quotes_the_unseen_tables():
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    means = page.split("\n### Tables unseen: means over noisy cells")[1]
    rows = rows_of(means.split("\n### ")[0])
    names = rows.pop("method")
    readme = " ".join((ROOT / "README.md").read_text().split())
    quoted = readme.split("On 13 further tables")[1].split("There in")[0]
    for column in ("AP", "AP asymmetric", "F1 of flags"):
        found = {name: row[names.index(column)] for name, row in rows.items()}
        assert found.pop("ours") in quoted
        assert max(value for value in found.values() if value != "nan") in quoted
