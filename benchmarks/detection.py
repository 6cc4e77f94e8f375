"""Finding wrong labels: `InfluenceCleaner` against its peers, without clean data.

Each cell is a data set whose training labels were corrupted (or hold real annotator
errors), beside clean test rows that no method sees. `InfluenceCleaner` runs in its one
default configuration; peers get the same network, or models of their own. The half
"dev" of the data served to choose defaults, the half "confirm" did not.

    OMP_NUM_THREADS=1 python benchmarks/detection.py [--data digits adult]
        [--noise symmetric pair] [--regime normal] [--seeds 0 1 2] [--parts ours]
        [--quick] [--tables] [--evidence FOLDER]

Finished parts of cells are kept in outputs/detection.jsonl: call it again to go on.
Peers do not depend on our defaults; to measure new defaults, delete the lines of the
part "ours". Seconds are CPU seconds.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from functools import partial
from itertools import product
from pathlib import Path

import torch
from _cells import DATA, REGIMES, SPECS, Cell, Problem, iterate_cells, make_problem
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
N_DEEPER = 1
"""Noises of each data set that clean rows, windows and the paper's query are tried
on."""
QUICK = {"data": ["digits", "breast_cancer"], "noise": ["symmetric-30", "one-class"]}


def measure_ours(cell: Cell, evidence: Path | None = None) -> dict:
    """Return the figures of `InfluenceCleaner`, and of cleanlab at the same network.

    The cross-validation of cleanlab's probabilities is what our cost is measured
    against, so the two are timed side by side.
    """
    problem = make_problem(cell)
    cleaner, ours = timed_fit(cell, problem)
    if evidence is not None:
        save_evidence(cleaner, problem, evidence / f"{cell.key}.npz")
    begin = time.process_time()
    probabilities = cross_validated(cell, problem)
    seconds = time.process_time() - begin
    verdicts = {"ours": ours}
    verdicts |= cleanlab_verdicts(problem, probabilities, seconds)
    after, given = Downstream(problem, cell.seed), problem.given
    row = {
        "window": [cleaner.window_.start, cleaner.window_.stop],
        "cost": {"ours": ours.seconds, "cross-validation": seconds},
        "accuracy": {
            "ours, filter": after.accuracy(given, cleaner.keep_mask_),
            "ours, weight": after.accuracy(given, weight=cleaner.sample_weight_),
            "ours, relabel": after.accuracy(cleaner.suggested_label_),
            "cleanlab, filter": filtered(after, verdicts["self-confidence"]),
        },
    }
    verdicts |= other_scorings(cleaner)
    if problem.wrong.any() and cell.noise in SPECS[cell.data].noises[:N_DEEPER]:
        row["windows"] = window_precisions(cleaner, problem.wrong)
        verdicts["paper's query"] = paper_query(cleaner)
    return row | {"methods": judge_all(verdicts, problem)}


def measure_peers(cell: Cell) -> dict:
    """Return the figures of the peers that our defaults have no part in."""
    problem = make_problem(cell)
    verdicts = dict(run_peers(cell, problem))
    if cell.regime == "normal":
        verdicts |= netless_peers(cell, problem)
    after, given = Downstream(problem, cell.seed), problem.given
    return {
        "half": SPECS[cell.data].half,
        "n_rows": len(given),
        "n_columns": problem.train.n_features,
        "n_classes": problem.n_classes,
        "rate": float(problem.wrong.mean()),
        "accuracy": {
            "all rows": after.accuracy(given),
            "oracle": after.accuracy(given, ~problem.wrong),
            "AUM, filter": filtered(after, verdicts["AUM"]),
        },
        "methods": judge_all(verdicts, problem),
    }


def measure_clean(cell: Cell) -> dict:
    """Return the figures of `InfluenceCleaner` when it is given some clean rows."""
    if cell.regime != "normal" or cell.noise == "none":
        return {}
    problem = make_problem(cell)
    verdict = with_clean_validation(cell, problem)
    return {"methods": {"ours, clean 5 %": judge(verdict, problem)}}


def filtered(after: Downstream, verdict: Verdict) -> dict[str, float]:
    """Return clean-test accuracy by model without the rows that a method flags."""
    kept = keep_mask(verdict.flagged, after.problem)
    return after.accuracy(after.problem.given, kept)


def judge_all(verdicts: dict[str, Verdict], problem: Problem) -> dict[str, dict]:
    """Return the figures of each method."""
    return {name: judge(found, problem) for name, found in verdicts.items()}


PARTS = {"peers": measure_peers, "ours": measure_ours, "clean": measure_clean}


def run_cells(
    cells: Iterable[Cell], parts: Mapping[str, Callable[[Cell], dict]], output: Path
) -> None:
    """Measure the parts of cells that `output` lacks, and append them one line each."""
    output.parent.mkdir(exist_ok=True)
    done = {(row["part"], cell_of(row).key) for row in read_lines(output)}
    for cell, (part, measure) in product(cells, parts.items()):
        if (part, cell.key) in done:
            continue
        begin = time.process_time()
        try:
            row = asdict(cell) | {"part": part} | measure(cell)
        except DataMissing as missing:
            print(f"skipped {cell.data}: {missing}", file=sys.stderr)
            continue
        row["seconds"] = time.process_time() - begin
        with output.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{cell.key}, {part}: {row['seconds']:.0f} s", file=sys.stderr)


def cell_of(row: dict) -> Cell:
    """Return the cell that a line belongs to."""
    return Cell(*(row[field.name] for field in fields(Cell)))


def read_lines(output: Path) -> list[dict]:
    """Return the measured parts."""
    if not output.exists():
        return []
    return [json.loads(line) for line in output.read_text().splitlines()]


def read_cells(output: Path) -> list[dict]:
    """Return the cells whose parts have all been measured, each as one row."""
    found: dict[str, dict[str, dict]] = {}
    for row in read_lines(output):
        found.setdefault(cell_of(row).key, {})[row["part"]] = row
    whole = [parts for parts in found.values() if parts.keys() == PARTS.keys()]
    return [merged([parts[name] for name in PARTS]) for parts in whole]


def merged(parts: list[dict]) -> dict:
    """Return the parts of a cell as one row."""
    row: dict = {"seconds": sum(part["seconds"] for part in parts)}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                row[name] = row.get(name, {}) | value
            else:
                row.setdefault(name, value)
    return row


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--noise", nargs="+", default=NOISES, metavar="NAME[-PERCENT]")
    parser.add_argument("--regime", nargs="+", default=list(REGIMES), choices=REGIMES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
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
        measures = PARTS | {"ours": partial(measure_ours, evidence=options.evidence)}
        chosen = {part: measures[part] for part in options.parts}
        run_cells(cells, chosen, options.output)
    write_tables(
        "detection",
        "python benchmarks/detection.py" + " --quick" * options.quick,
        machine(),
        print_tables(read_cells(options.output)),
        keep=not options.quick,
    )


if __name__ == "__main__":
    main()
