"""What the guide shows in Python does what the command line does."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dit_clean import InfluenceCleaner
from dit_clean.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "user_guide" / "audit.md"
LABELS = {
    "texts": ["NA ", " None", "01", " 1 "],
    "numbers": ["10", "9"],
    "targets": [f"{10 + i / 4:.2f}" for i in range(20)],
    "booleans": ["True", "False"],
    "other booleans": ["TRUE", "FALSE"],
}


@pytest.mark.slow
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_recipe_suggests_what_the_command_suggested(labels, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ages = np.random.RandomState(0).rand(60).round(3)
    income = [labels[int(age * len(labels))] for age in ages]
    income[0] = next(label for label in labels if label != income[0])
    data = pd.DataFrame({"id": np.arange(60) * 7, "age": ages, "income": income})
    data.to_csv("people.csv", index=False)
    options = ["--label=income", "--drop=id", "--table=table.csv", "--quiet"]
    done = CliRunner().invoke(main, ["audit", "people.csv", *options])
    assert done.exit_code == 0, done.output
    table = pd.read_csv("table.csv", dtype=str, keep_default_na=False)
    table = table.assign(verdict="").sort_values("row", key=lambda row: row.astype(int))
    table.to_csv("review.csv", index=False)
    (recipe,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {"pd": pd, "InfluenceCleaner": InfluenceCleaner}
    exec(recipe, names)
    cleaner, written = names["cleaner"], names["written"]
    assert table["suspicion"].astype(float).tolist() == cleaner.suspicion_.tolist()
    suggested = [str(label) for label in cleaner.suggested_label_]
    assert table["suggested_label"].tolist() == suggested
    assert written["income"].astype(str).tolist() == table["label"].tolist()
