"""Whether what the networks have learned can tell which labels are wrong."""

import numpy as np
from scipy.stats import spearmanr

from dit_clean.detection.evidence import TINY, LabelEvidence, centered_log
from dit_clean.detection.targets import TargetEvidence
from dit_clean.warning import warn

MIN_Z = 2.0
"""Standard errors above chance from which on held-out labels count as predictable."""
MANY_WRONG = 0.3
"""Estimated fraction of wrong regression targets from which on the estimate is the
likelier error."""
MANY_WRONG_LABELS = 0.45
"""The same for labels: higher, because up to 40 % wrong labels can still be found."""


STILL_FALLING = 0.27
"""Part of the fall of held-out loss at the end of training (see `late_fall`) from which
on more training pays."""


class NoSignalWarning(UserWarning):
    """Held-out labels or targets are hardly predicted better than by chance."""


class UnfinishedTrainingWarning(UserWarning):
    """Held-out loss was still falling when training ended."""


def held_out_signal(evidence: LabelEvidence | TargetEvidence) -> float:
    """Return by how many standard errors held-out labels are predicted above chance.

    Of the mean held-out log-probability of the given label, over all epochs, or of the
    rank correlation of targets and mean held-out predictions. Chance is what permuted
    labels would get, whatever the shares of the classes.

    Parameters
    ----------
    evidence : LabelEvidence or TargetEvidence
        From cross-fitted training.
    """
    if isinstance(evidence, TargetEvidence):
        return _target_signal(evidence)
    # Epoch by epoch: all at once would copy every output in double precision.
    epochs = range(evidence.n_epochs)
    logs = sum(centered_log(evidence.held_out[:, epoch]) for epoch in epochs)
    outputs = np.asarray(logs) / evidence.n_epochs
    labels, n_samples = evidence.labels, len(evidence.labels)
    counts = np.bincount(labels, minlength=outputs.shape[1])
    excess = outputs - outputs.mean(axis=0)
    gain = excess[np.arange(n_samples), labels].sum()
    # The variance of that sum over all permutations of the labels (Hoeffding 1951).
    excess = excess - excess @ counts[:, None] / n_samples
    variance = (excess**2 @ counts).sum() / (n_samples - 1)
    return float(gain / (np.sqrt(variance) + TINY))


def _target_signal(evidence: TargetEvidence) -> float:
    prediction = evidence.held_out.mean(axis=1)
    if np.ptp(prediction) == 0:
        return 0.0
    correlation = spearmanr(prediction, evidence.targets).statistic
    return float(correlation * np.sqrt(len(prediction) - 1))


def warn_of_many_wrong(contamination: float) -> None:
    """Warn if an implausible fraction of regression targets looks wrong.

    Parameters
    ----------
    contamination : float
        Estimated fraction of wrong targets.

    Warns
    -----
    UserWarning
        Right targets are assumed to lie around the prediction, closely and evenly.
    """
    if contamination < MANY_WRONG:
        return
    warn(
        f"{contamination:.0%} of the targets look wrong. More likely right targets are "
        "skewed, spread unevenly or hardly predictable here: take the logarithm of "
        "positive targets, give better features or another net, or set contamination "
        "to the fraction that you can look through. The order of suspicion_ may still "
        "be good, keep_mask_ and contamination_ are not."
    )


def warn_of_many_wrong_labels(
    contamination: float, classes: np.ndarray, signal: float
) -> None:
    """Warn if an implausible fraction of labels looks wrong.

    Parameters
    ----------
    contamination : float
        Estimated fraction of wrong labels.
    classes : ndarray of shape (n_classes,)
        Labels.
    signal : float
        See `held_out_signal`; without one, `warn_of_no_signal` has said enough.

    Warns
    -----
    UserWarning
        Labels are assumed to follow from X, but for the wrong ones.
    """
    if contamination < MANY_WRONG_LABELS or signal < MIN_Z:
        return
    measured = classes.dtype.kind in "iuf" and len(classes) > 2  # noqa: PLR2004
    advice = (
        ' If they measure something, set task="regression", or use CleanedRegressor '
        "in place of CleanedClassifier."
    )
    warn(
        f"{contamination:.0%} of the labels look wrong. More likely labels hardly "
        "follow from X here: give better features or another net, or set contamination "
        f"to the fraction that you can look through.{advice if measured else ''} The "
        "order of suspicion_ may still be good, keep_mask_, suggested_label_ and "
        "contamination_ are not."
    )


def warn_of_unfinished_training(late_fall: float, signal: float) -> None:
    """Warn if the networks had not learned yet what they can when training ended.

    Parameters
    ----------
    late_fall : float
        See `convergence.late_fall`.
    signal : float
        See `held_out_signal`; without one, `warn_of_no_signal` has said enough.

    Warns
    -----
    UnfinishedTrainingWarning
        Right labels that they have not learned yet look wrong.
    """
    if late_fall < STILL_FALLING or signal < MIN_Z:
        return
    warn(
        f"Held-out loss was still falling when training ended: {late_fall:.0%} of its "
        "fall from the first third of training to the last came after the second. "
        "Right labels that the networks have not learned yet look wrong. Raise "
        "max_epochs or lr, or lower batch_size.",
        UnfinishedTrainingWarning,
    )


def warn_of_no_signal(signal: float) -> None:
    """Warn if held-out labels or targets are hardly predicted better than by chance.

    Parameters
    ----------
    signal : float
        See `held_out_signal`.

    Warns
    -----
    NoSignalWarning
        Then neither outputs nor influence say anything of single labels.
    """
    if signal >= MIN_Z:
        return
    how_well = (
        f"only {signal:.1f} standard errors better"
        if signal >= 0
        else f"{-signal:.1f} standard errors worse"
    )
    warn(
        f"The networks hardly predict held-out labels or targets: {how_well} than "
        "chance. Which are wrong can then hardly be told, and suspicion, flags and "
        "estimated contamination are to be read with care. Check that X and y belong "
        "together, give better features or another net, train longer (max_epochs), or "
        "give more rows.",
        NoSignalWarning,
    )
