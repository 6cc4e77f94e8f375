"""A higher learning rate, where held-out loss still falls when training ends."""

from dataclasses import replace
from functools import partial
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from tqdm.auto import tqdm

from dit_clean.crossfit.cache import kept
from dit_clean.crossfit.data import TrainingData
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.plan import CrossFit
from dit_clean.crossfit.recorded import RecordedRuns
from dit_clean.crossfit.result import FoldResult
from dit_clean.detection import LabelEvidence, TargetEvidence
from dit_clean.detection.convergence import STILL_FALLING, late_fall

RAISES = (4.0, 2.0)
"""Factors that are tried, the first that is better is taken."""
GAIN = 0.05
"""By how much more of the loss a network explains, if it is to be better."""
LEAST_FALL = 0.01
"""Fall of held-out loss, as a part of it, from which on higher rates are tried: less
than what counts elsewhere (see `late_fall`), since a trial costs nothing but time."""


def run_until_learned(
    plan: CrossFit,
    data: TrainingData,
    folds: list[Fold],
    *,
    memory: joblib.Memory,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> tuple[Measurements, RecordedRuns, float]:
    """Run a cross-fit, and again if a higher learning rate is better.

    Returns
    -------
    measured : Measurements
        Of the last run; its seconds are those of all training.
    recorded : RecordedRuns
        Of the last run.
    lr : float
        Learning rate of the last run.
    """
    options: dict[str, Any] = {"n_jobs": n_jobs, "verbose": verbose}
    measured, recorded = plan.run(data, folds, memory=memory, **options)
    evidence = measured.evidence(data)
    find = partial(higher_lr, plan, data, folds[0], evidence, verbose=verbose)
    lr, seconds = kept(memory, recorded.key, "learning rate", find)
    total = _sum(measured.seconds, seconds)
    if lr > plan.net.lr:
        try:
            faster = _with_lr(plan, lr)
            measured, recorded = faster.run(data, folds, memory=memory, **options)
            total = _sum(total, measured.seconds)
        except FloatingPointError:  # diverges on another fold
            lr = plan.net.lr
    return replace(measured, seconds=total), recorded, lr


def higher_lr(
    plan: CrossFit,
    data: TrainingData,
    fold: Fold,
    evidence: LabelEvidence | TargetEvidence,
    *,
    verbose: int = 0,
) -> tuple[float, dict[str, float]]:
    """Find the learning rate that a plan had better be run with.

    Four times or twice its own, if held-out loss was still falling at the end of
    training (see `late_fall`) and the networks explain clearly more of it for that.
    What they explain is the loss of a guess without X less their own at the end.

    Parameters
    ----------
    plan : CrossFit
        What has been run.
    data : TrainingData
        What it was run on.
    fold : Fold
        One of its folds, which higher rates are tried on.
    evidence : LabelEvidence or TargetEvidence
        What it has shown.
    verbose : int, default=0
        1 shows progress.

    Returns
    -------
    lr : float
        Learning rate.
    seconds : dict of str to float
        What it took to find, as in `Measurements`.
    """
    seconds, rows = {"training": 0.0, "influence": 0.0}, fold.held_out
    if late_fall(evidence.held_out_loss(), LEAST_FALL) < STILL_FALLING:
        return plan.net.lr, seconds

    def explained(outputs: np.ndarray) -> float:
        return evidence.guess_loss(rows) - evidence.loss_of(outputs, rows)[-1]

    known = explained(evidence.held_out[rows])
    for factor in RAISES:
        raised = _with_lr(plan, factor * plan.net.lr)
        try:
            tried = _tried(raised, data, fold, verbose)
        except FloatingPointError:  # it diverges
            continue
        seconds = _sum(seconds, tried.seconds)
        outputs = np.stack([output[rows] for output in tried.outputs], axis=1)
        outputs = np.exp(outputs) if plan.is_classifier else outputs[:, :, 0]
        if explained(outputs) > known + GAIN * abs(known):
            return raised.net.lr, seconds
    return plan.net.lr, seconds


def _tried(plan: CrossFit, data: TrainingData, fold: Fold, verbose: int) -> FoldResult:
    """Train a fold, without asking about influence: as if nothing were held out."""
    lr, n_epochs = plan.net.lr, plan.net.max_epochs
    fold = replace(fold, held_out=fold.held_out[:0])
    with tqdm(
        desc=f"trying lr={lr:g}", total=n_epochs, unit="epoch", disable=not verbose
    ) as bar:
        return plan.run_fold(data.sample_weight, fold, n_epochs, bar.update)


def _with_lr(plan: CrossFit, lr: float) -> CrossFit:
    return replace(plan, net=clone(plan.net).set_params(lr=lr))


def _sum(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {part: seconds + other[part] for part, seconds in one.items()}
