"""Weights to train with, from suspicion and flags."""

import numpy as np


def sample_weights(
    suspicion: np.ndarray,
    flagged: np.ndarray,
    classes: np.ndarray | None = None,
    *,
    soft: bool = False,
) -> np.ndarray:
    """Return a weight in [0, 1] for each sample.

    1 - suspicion, the probability of being right; 0 for flagged samples unless `soft`.
    With `classes`, the weights of each class are raised by one factor, so that classes
    keep their shares of the total (cleanlab's per-class 1/p correction), and all are
    scaled to a maximum of 1. A class whose weights are all 0 stays without.

    Parameters
    ----------
    suspicion : ndarray of shape (n_samples,)
        Probability of being wrong.
    flagged : ndarray of bool, shape (n_samples,)
        Samples to leave out.
    classes : ndarray of int, shape (n_samples,), optional
        Given class indices, to keep the classes' shares.
    soft : bool, default=False
        Whether flagged samples keep their probability of being right.

    Returns
    -------
    weights : ndarray of shape (n_samples,)

    Examples
    --------
    >>> suspicion, flagged = np.array([0.0, 0.5, 0.0]), np.array([False, True, False])
    >>> sample_weights(suspicion, flagged).tolist()
    [1.0, 0.0, 1.0]
    >>> sample_weights(suspicion, flagged, np.array([0, 0, 1])).tolist()
    [1.0, 0.0, 0.5]
    """
    weights = 1 - suspicion if soft else np.where(flagged, 0.0, 1 - suspicion)
    if classes is None:
        return weights
    totals = np.bincount(classes, weights)
    counts = np.bincount(classes)
    factors = np.divide(counts, totals, out=np.zeros(len(totals)), where=totals > 0)
    weights = weights * factors[classes]
    return weights / (weights.max() or 1.0)
