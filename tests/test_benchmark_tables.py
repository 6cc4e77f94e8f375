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
