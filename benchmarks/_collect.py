"""Put the printed tables of all benchmarks into docs/benchmarks.md, as they are."""

from pathlib import Path

from _machine import RESULTS

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"

PARTS = {
    "detection": "## Wrong labels: against other methods",
    "regression": "## Wrong regression targets",
    "fidelity": "## Fidelity: influence against true leave-one-out retraining",
    "fidelity_batch64": "## Fidelity with batches of 64, the cleaner's default",
    "kinks": "## Why rectified linear units limit fidelity",
    "speed": "## Speed and memory of tracking and of the reverse pass",
    "time_varying": "## Influence that varies over training",
    "grid": "## A grid search over windows",
    "gpu": "## On a GPU",
}


def main():
    parts = [(HERE / "_intro.md").read_text()]
    for name, title in PARTS.items():
        table = RESULTS / f"{name}.md"
        if table.exists():
            text = table.read_text().strip()
            parts.append(f"{title}\n\n{text}\n")
    parts.append((HERE / "_defaults.md").read_text())
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
