"""From evidence to decisions about labels."""

from dataclasses import dataclass

import numpy as np

from dit_clean.detection.cutoff import (
    best_f1_threshold,
    flag_above,
    fraction_threshold,
)
from dit_clean.detection.evidence import LabelEvidence
from dit_clean.detection.noise_model import fit_label_noise, true_label_posterior


@dataclass(frozen=True)
class Decision:
    """What is decided about each sample.

    Attributes
    ----------
    suspicion : ndarray of shape (n_samples,)
        In [0, 1], higher = more likely wrong.
    flagged : ndarray of bool, shape (n_samples,)
        True = to be removed.
    threshold : float
        Suspicion from which on a sample is flagged.
    contamination : float
        Estimated fraction of wrong samples.
    suggestion : ndarray of shape (n_samples,)
        Most likely class index, or regression target.
    weight : ndarray of shape (n_samples,)
        Weights in [0, 1] to train with: 0 for flagged samples, else 1 - suspicion.
    """

    suspicion: np.ndarray
    flagged: np.ndarray
    threshold: float
    contamination: float
    suggestion: np.ndarray
    weight: np.ndarray


def decide_labels(
    evidence: LabelEvidence,
    window: slice,
    *,
    scoring: str = "combined",
    contamination: str | float = "auto",
) -> Decision:
    """Decide which labels are wrong.

    Parameters
    ----------
    evidence : LabelEvidence
        From cross-fitted training.
    window : slice
        Epochs that count.
    scoring : {"combined", "influence", "margin"}, default="combined"
        Evidence used: outputs and influence, influence alone, or outputs alone.
    contamination : "auto" or float, default="auto"
        Fraction to flag; "auto" cuts where the expected F1 is highest.

    Returns
    -------
    decision : Decision
        Suspicion is the posterior probability that the given label is wrong.
    """
    rows, labels = np.arange(len(evidence.labels)), evidence.labels
    blind, full = _stacked(evidence, window, scoring)
    model = fit_label_noise(blind, labels)
    posterior = true_label_posterior(model, full, labels)
    suspicion = np.clip(1 - posterior[rows, labels], 0, 1)
    threshold = (
        best_f1_threshold(suspicion)
        if contamination == "auto"
        else fraction_threshold(suspicion, float(contamination))
    )
    flagged = flag_above(suspicion, labels, threshold)
    posterior[rows[flagged], labels[flagged]] = 0
    return Decision(
        suspicion=suspicion,
        flagged=flagged,
        threshold=threshold,
        contamination=float(suspicion.mean()),
        suggestion=np.where(flagged, posterior.argmax(axis=1), labels),
        weight=np.where(flagged, 0.0, 1 - suspicion),
    )


def _stacked(
    evidence: LabelEvidence, window: slice, scoring: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return evidence blind to the sample's own label, and all evidence.

    Each of shape (n_samples, n_classes, n_evidence).
    """
    blind, full = [], []
    if scoring != "influence":
        blind.append(evidence.outside(window))
        full.append(evidence.all_networks(window))
    if scoring != "margin":
        influence = list(evidence.label_influence(window))
        blind += influence
        full += influence
    return np.stack(blind, axis=-1), np.stack(full, axis=-1)
