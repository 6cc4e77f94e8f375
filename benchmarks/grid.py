"""Cost of a grid search over windows: one training per outer fold.

A grid of 12 window x contamination candidates on 3 outer folds, with ``memory=``,
against the 3 trainings of a single candidate, in CPU seconds. The model after the
cleaner is a cheap one, so that cleaning is what is measured.
"""

import argparse
import tempfile
import time

import _data
import numpy as np
from _machine import machine, write_tables
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from dit_clean import InfluenceCleaner

LIMIT = 1.3
GRID = {
    "influencecleaner__window": [
        "convergence",
        "full",
        "early",
        "middle",
        "late",
        (0.2, 0.6),
    ],
    "influencecleaner__contamination": ["auto", 0.1],
}


def seconds_of(grid, X, y, memory):
    """CPU seconds of a search over `grid`, without the final refit."""
    model = make_pipeline(
        InfluenceCleaner(random_state=0, memory=memory), RidgeClassifier()
    )
    begin = time.process_time()
    GridSearchCV(model, grid, cv=3, refit=False).fit(X, y)
    return time.process_time() - begin


def measure(data, n_repeats):
    """Rows of the table for one data set."""
    rng = np.random.RandomState(0)
    y = np.asarray(data.y).copy()
    wrong = rng.choice(len(y), len(y) // 5, replace=False)
    y[wrong] = (y[wrong] + 1) % (y.max() + 1)
    seconds_of({}, data.X[:300], y[:300], None)  # imports and first calls
    pairs = []
    for _ in range(n_repeats):
        single = seconds_of({}, data.X, y, None)
        with tempfile.TemporaryDirectory() as folder:
            pairs.append((single, seconds_of(GRID, data.X, y, folder)))
    ratios = [whole / single for single, whole in pairs]
    single, whole = np.median(pairs, axis=0)
    met = "yes" if np.median(ratios) <= LIMIT else "NO"
    numbers = f"{min(ratios):.2f} | {np.median(ratios):.2f} | {max(ratios):.2f}"
    size = f"{len(y)} x {data.X.shape[1]}, {y.max() + 1} classes"
    return f"| {data.name} | {size} | {single:.1f} | {whole:.1f} | {numbers} | {met} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repeat")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    problems = [_data.digits(classes=None)]
    problems += _data.load_available(["adult"], adult={"n_rows": 6000})
    header = [
        "| data | size | one candidate, s | 12 candidates, s | min | median ratio | "
        f"max | <= {LIMIT} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    n_repeats = 1 if arguments.quick else arguments.repeats
    rows = [measure(problem, n_repeats) for problem in problems]
    command = f"OMP_NUM_THREADS=1 python benchmarks/grid.py --repeats {n_repeats}"
    table = "\n".join(header + rows)
    write_tables("grid", command, machine(), [table], keep=not arguments.quick)


if __name__ == "__main__":
    main()
