"""`InfluenceCleaner` in one default configuration, and what else its run answers."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from _cells import Cell, Problem
from _nets import make_net
from _peers import Verdict
from sklearn.metrics import average_precision_score

from dit_clean import InfluenceCleaner
from dit_clean.crossfit import average_timeline, scheduled_epochs
from dit_clean.queries import MeanLoss
from dit_clean.tracking.rows import subset_rows

WINDOWS = ("convergence", "full", "early", "middle", "late")
SCORINGS = ("influence", "combined")


def make_cleaner(cell: Cell, problem: Problem) -> InfluenceCleaner:
    """Return the cleaner: defaults but for seed, regime and, for images, the CNN."""
    if problem.uses_cnn:
        return InfluenceCleaner(make_net(cell, problem), random_state=cell.seed)
    return InfluenceCleaner(max_epochs=cell.n_epochs, random_state=cell.seed)


def verdict_of(cleaner: InfluenceCleaner, seconds: float = 0.0) -> Verdict:
    """Return what a fitted cleaner says."""
    return Verdict(
        cleaner.suspicion_,
        ~cleaner.keep_mask_,
        cleaner.contamination_,
        cleaner.suggested_label_,
        seconds,
    )


def timed_fit(cell: Cell, problem: Problem) -> tuple[InfluenceCleaner, Verdict]:
    """Return the fitted default cleaner and its verdict with its CPU seconds."""
    begin = time.process_time()
    cleaner = make_cleaner(cell, problem).fit(problem.train.X, problem.given)
    return cleaner, verdict_of(cleaner, time.process_time() - begin)


def save_evidence(cleaner: InfluenceCleaner, problem: Problem, path: Path) -> None:
    """Keep what `judge_labels` judges by, with the true labels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    evidence = cleaner._findings.evidence
    epochs = scheduled_epochs(evidence.n_epochs)
    np.savez_compressed(
        path,
        true=problem.train.y,
        labels=evidence.labels,
        in_sample=evidence.in_sample.astype(np.float32),
        held_out=evidence.held_out.astype(np.float32),
        epochs=epochs,
        influence=cleaner._findings.by_epoch.at(epochs),
        n_folds=evidence.n_folds,
    )


def other_scorings(cleaner: InfluenceCleaner) -> Iterator[tuple[str, Verdict]]:
    """Yield verdicts on parts of the evidence; leaves the cleaner as it was."""
    for scoring in ("influence", "margin"):
        yield (
            f"ours, {scoring}",
            verdict_of(cleaner.set_params(scoring=scoring).rescore()),
        )
    cleaner.set_params(scoring="combined").rescore()


def window_precisions(cleaner: InfluenceCleaner, wrong: np.ndarray) -> dict[str, float]:
    """Return average precision by "scoring, window"; leaves the cleaner as it was."""
    found = {}
    for scoring in SCORINGS:
        for window in WINDOWS:
            cleaner.set_params(scoring=scoring, window=window).rescore()
            precision = average_precision_score(wrong, cleaner.suspicion_)
            found[f"{scoring}, {window}"] = float(precision)
    cleaner.set_params(scoring="combined", window="convergence").rescore()
    return found


def paper_query(cleaner: InfluenceCleaner) -> Verdict:
    """Return influence on the cross-entropy of the noisy held-out rows, as suspicion.

    The same runs, window and hold-out; only the query is the paper's.
    """
    begin = time.process_time()
    data = cleaner._findings.data.for_networks

    def make_query(fold):
        rows = fold.held_out
        return MeanLoss(subset_rows(data.X, rows), data.targets.encoded[rows])

    influence = average_timeline(
        cleaner._findings.recorded.ready, make_query, [cleaner.window_], "window"
    )
    return Verdict(-influence[-1, :, 0], seconds=time.process_time() - begin)


def with_clean_validation(cell: Cell, problem: Problem) -> Verdict:
    """Return the verdict of a cleaner that is given clean rows."""
    clean = problem.validation
    begin = time.process_time()
    cleaner = make_cleaner(cell, problem)
    cleaner.fit(problem.train.X, problem.given, X_val=clean.X, y_val=clean.y)
    return verdict_of(cleaner, time.process_time() - begin)
