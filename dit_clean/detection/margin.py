"""How far networks that never saw a sample agree with its given label or target."""

import numpy as np

from dit_clean.detection.evidence import LabelEvidence
from dit_clean.detection.targets import TargetEvidence


def held_out_margin(
    evidence: LabelEvidence | TargetEvidence, window: slice
) -> np.ndarray:
    """Return the margin of each sample over a window of epochs, (n_samples,)."""
    held_out = evidence.held_out[:, window]
    if isinstance(evidence, LabelEvidence):
        return label_margin(held_out, evidence.labels)
    return target_margin(held_out, evidence.targets)


def label_margin(held_out: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the probability of the given label minus that of its strongest rival.

    Parameters
    ----------
    held_out : ndarray of shape (n_samples, n_epochs, n_classes)
        Class probabilities by networks that never saw the sample.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.

    Returns
    -------
    margin : ndarray of shape (n_samples,)
        Mean over the epochs, in [-1, 1]; negative = another label is preferred.

    Examples
    --------
    >>> held_out = np.array([[[0.9, 0.1]], [[0.8, 0.2]]])
    >>> label_margin(held_out, np.array([0, 1])).round(2).tolist()
    [0.8, -0.6]
    """
    probability = held_out.mean(axis=1, dtype=np.float64)
    rows = np.arange(len(labels))
    given = probability[rows, labels]
    probability[rows, labels] = -np.inf
    return given - probability.max(axis=1)


def target_margin(held_out: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return minus the absolute residual of the mean held-out prediction.

    Parameters
    ----------
    held_out : ndarray of shape (n_samples, n_epochs)
        Predictions by networks that never saw the sample.
    targets : ndarray of shape (n_samples,)
        Given targets, in the same unit.

    Returns
    -------
    margin : ndarray of shape (n_samples,)
        In the unit of the targets; 0 = full agreement.
    """
    return -np.abs(targets - held_out.mean(axis=1, dtype=np.float64))
