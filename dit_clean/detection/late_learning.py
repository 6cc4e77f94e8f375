"""Whether networks were still learning when training ended."""

import numpy as np

from dit_clean.detection.decision import window_likelihood
from dit_clean.detection.evidence import N_PARTS, TINY, LabelEvidence
from dit_clean.detection.target_evidence import TargetEvidence
from dit_clean.warning import warn

LEAST_FALL = 0.04
"""Fall of held-out loss, as a part of it, below which it may be jitter."""
STILL_FALLING = 0.27
"""Part of the fall of held-out loss at the end of training (see `late_fall`) from which
on more training pays."""
STILL_GAINING = 0.1
"""And of what is explained of the labels (see `late_gain`)."""


class UnfinishedTrainingWarning(UserWarning):
    """Networks were still learning when training ended."""


def late_fall(held_out_loss: np.ndarray, least: float = LEAST_FALL) -> float:
    """Return how much of the fall of held-out loss came at the end of training.

    Of the fall from the first third of training to the last one, the part from the
    second on: means over thirds, since single epochs jitter.

    Parameters
    ----------
    held_out_loss : ndarray of shape (n_epochs,)
        Mean loss of held-out samples at the end of each epoch.
    least : float, default=0.04
        Fall, as a part of the loss, below which it may be jitter.

    Returns
    -------
    share : float
        At most 1, negative where the loss rises again; 0 where it hardly falls at all,
        or there are fewer than three epochs.

    Examples
    --------
    >>> round(late_fall(np.array([2.0, 1.0, 0.6, 0.5, 0.5, 0.5])), 2)
    0.05
    >>> late_fall(np.array([2.0, 1.75, 1.5, 1.25, 1.0, 0.75]))
    0.5
    """
    if len(held_out_loss) < N_PARTS:
        return 0.0
    thirds = np.array_split(held_out_loss, N_PARTS)
    first, second, last = (float(third.mean()) for third in thirds)
    if first <= last or first - last < least * last:
        return 0.0
    return min(1.0, (second - last) / (first - last))


def late_gain(evidence: LabelEvidence | TargetEvidence) -> float:
    """Return how much more of the labels was explained at the end of training.

    Beyond a guess, by the last third of training than by the second. The held-out loss
    may rise for labels that are far from learned while others begin to be.

    Returns
    -------
    gain : float
        As a part of what the second third explains; 0 of regression targets, or if
        there are fewer than three epochs.
    """
    if isinstance(evidence, TargetEvidence) or evidence.n_epochs < N_PARTS:
        return 0.0
    guess = evidence.guess_loss(np.arange(len(evidence.labels)))
    _, second, last = np.array_split(np.arange(evidence.n_epochs), N_PARTS)
    before, after = (
        guess + window_likelihood(evidence, slice(int(part[0]), int(part[-1]) + 1))
        for part in (second, last)
    )
    return (after - before) / (abs(before) + TINY)


def warn_of_unfinished_training(
    evidence: LabelEvidence | TargetEvidence, remedy: str
) -> None:
    """Warn if the networks had not learned yet what they can when training ended.

    Parameters
    ----------
    evidence : LabelEvidence or TargetEvidence
        From cross-fitted training.
    remedy : str
        How these networks are trained more.

    Warns
    -----
    UnfinishedTrainingWarning
        Right labels that they have not learned yet look wrong.
    """
    fall = late_fall(evidence.held_out_loss())
    if fall >= STILL_FALLING and evidence.learns_late():
        sign = (
            f"{fall:.0%} of the fall of held-out loss from the first third of it to "
            "the last came after the second"
        )
    elif (gain := late_gain(evidence)) >= STILL_GAINING:
        sign = f"its last third explained {gain:.0%} more of the labels than the second"
    else:
        return
    warn(
        f"Networks were still learning when training ended: {sign}. Right labels that "
        f"they have not learned yet look wrong. {remedy}",
        UnfinishedTrainingWarning,
    )
