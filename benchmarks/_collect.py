"""Put the printed tables of all benchmarks into docs/benchmarks.md, as they are."""

from itertools import groupby
from pathlib import Path

from _machine import RESULTS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"

PARTS = {
    "detection": "## Wrong labels: against other methods",
    "unseen": "## Wrong labels: tables that no default was chosen on",
    "regression": "## Wrong regression targets",
    "learning_rates": "## Few steps: learning rates that are found",
    "fidelity": "## Fidelity: influence against true leave-one-out retraining",
    "fidelity_batch64": "## Fidelity with batches of 64, the cleaner's default",
    "architectures": "## How far first order reaches, by network and optimizer",
    "kinks": "## Why rectified linear units limit fidelity",
    "speed": "## Speed and memory of tracking and of the reverse pass",
    "time_varying": "## Influence that varies over training",
    "grid": "## A grid search over windows",
    "gpu": "## On a GPU",
}


LONG = 22
"""Rows from which on a table is folded."""


def folded(text):
    """Return Markdown with long tables in `<details>`: for GitHub and for MyST.

    Blank lines keep what is inside Markdown.
    """
    parts = []
    for is_table, group in groupby(text.split("\n"), lambda line: line[:1] == "|"):
        lines = list(group)
        n_rows = len(lines) - 2  # below the names and the rule
        if is_table and n_rows >= LONG:
            summary = f"<summary>Show the table, {n_rows} rows</summary>"
            lines = ["<details>", summary, "", *lines, "", "</details>"]
        parts += lines
    return "\n".join(parts)


def main():
    parts = [(HERE / "_intro.md").read_text()]
    for name, title in PARTS.items():
        table = RESULTS / f"{name}.md"
        if table.exists():
            text = folded(table.read_text().strip())
            parts.append(f"{title}\n\n{text}\n")
    parts.append((HERE / "_defaults.md").read_text())
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
