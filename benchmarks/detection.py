"""Finding wrong labels: `InfluenceCleaner` against its peers, without clean data.

Each cell is a data set whose training labels were corrupted (or hold real annotator
errors), beside clean test rows that no method sees. `InfluenceCleaner` runs in its one
default configuration; peers get the same network, or models of their own. The half
"dev" of the data served to choose defaults, the half "confirm" did not.

    OMP_NUM_THREADS=1 python benchmarks/detection.py [--data digits adult]
        [--noise symmetric pair] [--regime normal] [--seeds 0 1 2] [--peers net]
        [--quick] [--tables] [--evidence FOLDER]

Finished cells are kept in outputs/detection.jsonl: call it again to go on.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from _cells import DATA, REGIMES, Cell, Problem, iterate_cells, make_problem
from _data import ROOT, DataMissing
from _goals import print_tables
from _judging import Downstream, judge, keep_mask
from _machine import machine, write_tables
from _ours import (
    other_scorings,
    paper_query,
    save_evidence,
    timed_fit,
    window_precisions,
    with_clean_validation,
)
from _peers import Verdict, cleanlab_verdicts, cross_validated, netless_peers, run_peers

OUTPUT = ROOT / "outputs" / "detection.jsonl"
NOISES = ("symmetric", "pair", "one-class", "instance", "none", "real")
PEERS = ("all", "net", "none")
N_DEEPER = 1
"""Noises of each data set that clean rows, windows and the paper's query are tried
on."""
QUICK = {"data": ["digits", "breast_cancer"], "noise": ["symmetric-30", "one-class"]}


def measure(cell: Cell, peers: str, evidence: Path | None = None) -> dict:
    """Return all figures of a cell, ready for JSON; keep its evidence in a folder."""
    problem = make_problem(cell)
    wrong, is_normal = problem.wrong, cell.regime == "normal"
    cleaner, ours = timed_fit(cell, problem)
    if evidence is not None:
        save_evidence(cleaner, problem, evidence / f"{cell.key}.npz")
    verdicts = {"ours": ours}
    begin = time.perf_counter()
    probabilities = cross_validated(cell, problem)
    seconds = time.perf_counter() - begin
    if peers != "none":
        verdicts |= cleanlab_verdicts(problem, probabilities, seconds)
        verdicts |= run_peers(cell, problem)
    if peers == "all" and is_normal:
        verdicts |= netless_peers(cell, problem)
    row = asdict(cell) | {
        "half": DATA[cell.data].half,
        "n_rows": len(wrong),
        "n_columns": problem.train.n_features,
        "n_classes": problem.n_classes,
        "rate": float(wrong.mean()),
        "window": [cleaner.window_.start, cleaner.window_.stop],
        "cost": {"ours": ours.seconds, "cross-validation": seconds},
    }
    row["accuracy"] = accuracies(problem, verdicts, cleaner, cell.seed)
    verdicts |= other_scorings(cleaner)
    if wrong.any() and cell.noise in DATA[cell.data].noises[:N_DEEPER]:
        row["windows"] = window_precisions(cleaner, wrong)
        verdicts["paper's query"] = paper_query(cleaner)
        if is_normal:
            verdicts["ours, clean 5 %"] = with_clean_validation(cell, problem)
    row["methods"] = {name: judge(found, problem) for name, found in verdicts.items()}
    return row


def accuracies(
    problem: Problem, verdicts: dict[str, Verdict], cleaner, seed: int
) -> dict[str, dict[str, float]]:
    """Return clean-test accuracy by training set and model."""
    after, given = Downstream(problem, seed), problem.given
    found = {
        "all rows": after.accuracy(given),
        "oracle": after.accuracy(given, ~problem.wrong),
        "ours, filter": after.accuracy(given, cleaner.keep_mask_),
        "ours, weight": after.accuracy(given, weight=cleaner.sample_weight_),
        "ours, relabel": after.accuracy(cleaner.suggested_label_),
    }
    for name in ("self-confidence", "AUM"):
        if name in verdicts:
            flagged = verdicts[name].flagged
            label = "cleanlab" if name == "self-confidence" else name
            kept = keep_mask(flagged, problem)
            found[f"{label}, filter"] = after.accuracy(given, kept)
    return found


def run_cells(
    cells: Iterable[Cell], output: Path, peers: str, evidence: Path | None
) -> None:
    """Measure the cells that `output` lacks, and append them one line each."""
    output.parent.mkdir(exist_ok=True)
    done = {Cell(**identity(row)).key for row in read_rows(output)}
    for cell in cells:
        if cell.key in done:
            continue
        begin = time.perf_counter()
        try:
            row = measure(cell, peers, evidence)
        except DataMissing as missing:
            print(f"skipped {cell.data}: {missing}", file=sys.stderr)
            continue
        row["seconds"] = time.perf_counter() - begin
        with output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        ours = row["methods"]["ours"].get("ap", float("nan"))
        print(f"{cell.key}: {ours:.3f}, {row['seconds']:.0f} s", file=sys.stderr)


def identity(row: dict) -> dict:
    return {name: row[name] for name in ("data", "noise", "regime", "seed")}


def read_rows(output: Path) -> list[dict]:
    """Return the finished cells."""
    if not output.exists():
        return []
    return [json.loads(line) for line in output.read_text().splitlines()]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--noise", nargs="+", default=NOISES, metavar="NAME[-PERCENT]")
    parser.add_argument("--regime", nargs="+", default=list(REGIMES), choices=REGIMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--peers", default="all", choices=PEERS)
    parser.add_argument("--quick", action="store_true", help="a few cells, minutes")
    parser.add_argument("--tables", action="store_true", help="print, measure nothing")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--evidence", type=Path, help="folder to keep evidence in")
    return parser.parse_args()


def main() -> None:
    options = parse()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if options.quick:
        options.output = OUTPUT.with_stem("detection_quick")
        options.data, options.noise, options.seeds = (*QUICK.values(), [0])
        options.regime = ["normal"]
    cells = iterate_cells(options.data, options.noise, options.regime, options.seeds)
    if not options.tables:
        run_cells(cells, options.output, options.peers, options.evidence)
    write_tables(
        "detection",
        "python benchmarks/detection.py" + " --quick" * options.quick,
        machine(),
        print_tables(read_rows(options.output)),
        keep=not options.quick,
    )


if __name__ == "__main__":
    main()
