"""What is believed of each sample, and what is decided from it."""

from dataclasses import dataclass

import numpy as np

from dit_clean.detection.cutoff import (
    best_f1_threshold,
    flag_above,
    fraction_threshold,
)


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
    noise_matrix : ndarray of shape (n_classes, n_classes) or None
        See `Judgement`.
    """

    suspicion: np.ndarray
    flagged: np.ndarray
    threshold: float
    contamination: float
    suggestion: np.ndarray
    noise_matrix: np.ndarray | None = None


@dataclass(frozen=True)
class Judgement:
    """What is believed of each sample, before anything is cut off.

    Attributes
    ----------
    given : ndarray of shape (n_samples,)
        Given class indices, or regression targets.
    suspicion : ndarray of shape (n_samples,)
        In [0, 1], higher = more likely wrong.
    contamination : float
        Estimated fraction of wrong samples.
    alternative : ndarray of shape (n_samples,)
        What the label or target would be if the given one is wrong.
    noise_matrix : ndarray of shape (n_classes, n_classes) or None
        P(given class | true class), rows = true. None for regression targets.
    """

    given: np.ndarray
    suspicion: np.ndarray
    contamination: float
    alternative: np.ndarray
    noise_matrix: np.ndarray | None = None

    @property
    def is_classifier(self) -> bool:
        """Whether the given values are classes, none of which may be emptied."""
        return self.noise_matrix is not None

    def decide(self, contamination: str | float = "auto") -> Decision:
        """Return the decision.

        Parameters
        ----------
        contamination : "auto" or float, default="auto"
            Fraction to flag; "auto" cuts where the expected F1 is highest.
        """
        if contamination == "auto":
            threshold = best_f1_threshold(self.suspicion)
        else:
            threshold = fraction_threshold(self.suspicion, float(contamination))
        one_group = np.zeros(len(self.given), dtype=int)
        groups = self.given if self.is_classifier else one_group
        flagged = flag_above(self.suspicion, groups, threshold)
        return Decision(
            suspicion=self.suspicion,
            flagged=flagged,
            threshold=threshold,
            contamination=self.contamination,
            suggestion=np.where(flagged, self.alternative, self.given),
            noise_matrix=self.noise_matrix,
        )
