"""Whether the networks have learned anything that held-out labels agree with."""

import warnings

import numpy as np

from dit_clean.detection.evidence import TINY, LabelEvidence, centered_log

MIN_Z = 2.0
"""Standard errors above chance from which on held-out labels count as predictable."""


class NoSignalWarning(UserWarning):
    """Held-out labels are hardly predicted better than by chance."""


def held_out_signal(evidence: LabelEvidence) -> float:
    """Return by how many standard errors held-out labels are predicted above chance.

    Of the mean held-out log-probability of the given label, over all epochs. Chance is
    what permuted labels would get, whatever the shares of the classes.

    Parameters
    ----------
    evidence : LabelEvidence
        From cross-fitted training.
    """
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


def warn_of_no_signal(signal: float) -> None:
    """Warn if held-out labels are hardly predicted better than by chance.

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
    warnings.warn(
        "The networks hardly predict held-out labels: only "
        f"{signal:.1f} standard errors better than chance. Which labels are wrong can "
        "then hardly be told, and suspicion_, keep_mask_ and contamination_ are to be "
        "read with care. Check that X and y belong together, give better features or "
        "another net, train longer (max_epochs, lr), or give more rows.",
        NoSignalWarning,
        stacklevel=3,
    )
