"""A higher learning rate, where networks still learn when training ends."""

from dataclasses import replace
from functools import partial

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
from dit_clean.detection import (
    STILL_FALLING,
    STILL_GAINING,
    LabelEvidence,
    TargetEvidence,
    late_fall,
    late_gain,
)

RAISES = (4.0, 2.0)
"""Factors that are tried; the first that is better is taken."""
GAIN = 0.1
"""By how much more of the loss a network has to explain for that."""
LEAST_FALL = 0.01
"""Fall of held-out loss, as a part of it, from which on higher rates are tried: less
than what counts elsewhere (see `late_fall`), since a trial costs nothing but time."""


def run_until_learned(
    plan: CrossFit, data: TrainingData, folds: list[Fold]
) -> tuple[Measurements, RecordedRuns, float]:
    """Run a cross-fit, and again if a higher learning rate is better.

    Parameters
    ----------
    plan : CrossFit
        With the learning rate to begin with.
    data, folds
        As `CrossFit.run` takes them.

    Returns
    -------
    measured : Measurements
        Of the last run; its seconds are those of all training.
    recorded : RecordedRuns
        Of the last run.
    lr : float
        Learning rate of the last run.
    """
    measured, recorded = plan.run(data, folds)
    key, first = recorded.key, measured.seconds
    find = partial(higher_lr, plan, data, folds, measured.evidence(data))
    part = ("learning rate", RAISES, GAIN, LEAST_FALL, STILL_FALLING, STILL_GAINING)
    lr, seconds = kept(plan.memory, key, part, find)
    seconds = _sum(first, seconds)
    if lr > plan.net.lr:
        del measured, recorded, find  # not two runs at a time
        try:
            measured, recorded = _with_lr(plan, lr).run(data, folds)
        except FloatingPointError:  # it diverges on another fold
            lr = plan.net.lr
            measured, recorded = plan.run(data, folds)
        else:
            seconds = _sum(seconds, measured.seconds)
    return replace(measured, seconds=seconds), recorded, lr


def higher_lr(
    plan: CrossFit,
    data: TrainingData,
    folds: list[Fold],
    evidence: LabelEvidence | TargetEvidence,
) -> tuple[float, dict[str, float]]:
    """Return the learning rate that the plan should use.

    Four times or twice its own, if more was learned when training ended than before
    (see `_still_learns`) and a network explains clearly more of held-out loss for that.
    What it explains is the loss of a guess without X less its own after its best epoch:
    the loss may rise again then, and detection gain all the same, since the convergence
    window ends soon after that epoch.

    Parameters
    ----------
    plan : CrossFit
        What has been run.
    data : TrainingData
        What it was run on.
    folds : list of Fold
        Its folds; on the one that holds out most rows, higher rates are tried.
    evidence : LabelEvidence or TargetEvidence
        What it has shown.

    Returns
    -------
    lr : float
        Learning rate.
    seconds : dict of str to float
        What it took to find, as in `Measurements`.
    """
    seconds = {"training": 0.0, "influence": 0.0}
    if not _still_learns(evidence):
        return plan.net.lr, seconds
    fold = max(folds, key=lambda fold: len(fold.held_out))
    rows = fold.held_out

    def explained(outputs: np.ndarray) -> float:
        return evidence.guess_loss(rows) - float(evidence.loss_of(outputs, rows).min())

    known = explained(evidence.held_out[rows])
    for factor in RAISES:
        raised = _with_lr(plan, factor * plan.net.lr)
        try:
            tried = _tried(raised, data, fold)
        except FloatingPointError:  # it diverges
            continue
        seconds = _sum(seconds, tried.seconds)
        outputs = np.stack([output[rows] for output in tried.outputs], axis=1)
        outputs = np.exp(outputs) if data.targets.is_classifier else outputs[:, :, 0]
        if explained(outputs) > max(0.0, known + GAIN * abs(known)):
            return raised.net.lr, seconds
    return plan.net.lr, seconds


def _still_learns(evidence: LabelEvidence | TargetEvidence) -> bool:
    """Tell whether more was learned when training ended than before."""
    fall = late_fall(evidence.held_out_loss(), LEAST_FALL)
    return fall >= STILL_FALLING or late_gain(evidence) >= STILL_GAINING


def _tried(plan: CrossFit, data: TrainingData, fold: Fold) -> FoldResult:
    """Train a fold, without asking about influence: as if nothing were held out."""
    lr, n_epochs = plan.net.lr, plan.net.max_epochs
    fold = replace(fold, held_out=fold.held_out[:0])
    with tqdm(
        desc=f"trying lr={lr:g}", total=n_epochs, unit="epoch", disable=not plan.verbose
    ) as bar:
        return plan.run_fold(data.for_networks, fold, n_epochs, bar.update)


def _with_lr(plan: CrossFit, lr: float) -> CrossFit:
    return replace(plan, net=clone(plan.net).set_params(lr=lr))


def _sum(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {part: seconds + other[part] for part, seconds in one.items()}
