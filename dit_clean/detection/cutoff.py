"""Where to cut: from probabilities of being wrong to flags that spare every class."""

import numpy as np

from dit_clean.detection.evidence import TINY

MIN_SUSPICION = 0.2
"""No sample is flagged below this probability of being wrong, unless asked for."""
MIN_KEPT = 0.1
"""Fraction of each class that stays in any case, rounded up."""


def best_f1_threshold(suspicion: np.ndarray) -> float:
    """Return the cut with the highest expected F1, taking suspicion as probability.

    Flagging the k most suspicious samples has expected F1
    2 (sum of their suspicion) / (k + sum of all suspicion). No more samples are flagged
    than are expected to be wrong, but for those that tie with the last one: where
    nothing can be told apart, expected F1 alone would flag nearly everything.

    Parameters
    ----------
    suspicion : ndarray of shape (n_samples,)
        Probability of being wrong.

    Returns
    -------
    threshold : float
        Flag where suspicion >= threshold; at least `MIN_SUSPICION`.
    """
    ordered = np.sort(suspicion)[::-1]
    n_flagged = np.arange(1, len(ordered) + 1)
    expected = 2 * np.cumsum(ordered) / (n_flagged + ordered.sum() + TINY)
    n_wrong = max(1, int(np.ceil(ordered.sum())))
    return float(max(ordered[np.argmax(expected[:n_wrong])], MIN_SUSPICION))


def fraction_threshold(suspicion: np.ndarray, fraction: float) -> float:
    """Return the cut that flags the given fraction of samples, one at least.

    Samples that are as suspicious as the first one beyond it are kept with that one, so
    that fewer are flagged. If none is more suspicious all of these are flagged, or none
    where all samples are alike.
    """
    n_flagged = max(1, round(fraction * len(suspicion)))
    ordered = np.sort(suspicion)[::-1]
    above = ordered[ordered > ordered[min(n_flagged, len(ordered) - 1)]]
    if len(above):
        return float(above[-1])
    beyond = np.nextafter(ordered[0], np.inf)
    return float(beyond if ordered[0] == ordered[-1] else ordered[0])


def flag_above(
    suspicion: np.ndarray, labels: np.ndarray, threshold: float
) -> np.ndarray:
    """Return which samples to flag; `MIN_KEPT` of every class stays, the calmest.

    Parameters
    ----------
    suspicion : ndarray of shape (n_samples,)
        Higher = more likely wrong.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    threshold : float
        Flag where suspicion >= threshold.

    Returns
    -------
    flagged : ndarray of bool, shape (n_samples,)
    """
    flagged = suspicion >= threshold
    for label in np.unique(labels[flagged]):
        rows = np.flatnonzero(labels == label)
        n_kept = int(np.ceil(MIN_KEPT * len(rows)))
        calmest = rows[np.argsort(suspicion[rows], kind="stable")[:n_kept]]
        flagged[calmest] = False
    return flagged
