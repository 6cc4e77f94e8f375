"""Whether what the networks have learned can tell which labels are wrong."""

import numpy as np

from dit_clean.detection.evidence import TINY, LabelEvidence
from dit_clean.detection.target_evidence import TargetEvidence
from dit_clean.warning import warn

MIN_Z = 2.0
"""Standard errors above chance from which on held-out labels count as predictable."""


class NoSignalWarning(UserWarning):
    """Held-out labels or targets are hardly predicted better than by chance."""


def held_out_signal(
    evidence: LabelEvidence | TargetEvidence, groups: np.ndarray | None = None
) -> float:
    """Return by how many standard errors held-out labels are predicted above chance.

    For labels: by the mean held-out log-probability of the given label over all epochs.
    For targets: by their rank correlation with the mean held-out prediction. Chance is
    what permuted labels would get, whatever the shares of the classes. Rows of a group
    tend to have one label: there the means of groups are tested, too, and the weaker
    of the two results counts: the lower one, unless both are worse than chance.

    Parameters
    ----------
    evidence : LabelEvidence or TargetEvidence
        From cross-fitted training.
    groups : ndarray of int, shape (n_samples,), optional
        Numbers of the groups that rows belong to, from 0.
    """
    gains, error = evidence.gains()
    signal = gains.sum() / (error + TINY)
    if groups is not None:
        means = np.bincount(groups, gains) / np.bincount(groups)
        error_of_means = means.std(ddof=1) * np.sqrt(len(means))
        signal_of_means = means.sum() / (error_of_means + TINY)
        low, high = sorted([signal, signal_of_means])
        signal = low if high > 0 else high
    return float(signal)


def warn_of_no_signal(signal: float) -> bool:
    """Warn if held-out labels or targets are hardly predicted better than by chance.

    Parameters
    ----------
    signal : float
        See `held_out_signal`.

    Returns
    -------
    has_warned : bool

    Warns
    -----
    NoSignalWarning
        Then neither outputs nor influence say anything of single labels.
    """
    if signal >= MIN_Z:
        return False
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
    return True
