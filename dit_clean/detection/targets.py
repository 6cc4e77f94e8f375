"""From evidence to judgements about regression targets."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from scipy.special import expit, logit
from scipy.stats import cauchy
from scipy.stats import t as student

from dit_clean.detection.evidence import mean_of_networks
from dit_clean.detection.judgement import Judgement

TAIL = 10
"""Degrees of freedom of the residuals of right targets: heavier tails than normal."""
LOCALITY = 0.25
"""How far the spread of residuals is that of similar predictions, not of all."""
N_NEIGHBORS = 150
"""Samples of similar prediction that the local spread of residuals is read off."""
SURE = 10.0
"""Log-odds from which on they grow slowly, so that the worst of sure errors can still
be told from the others: floats end at 1."""


@dataclass(frozen=True)
class TargetEvidence:
    """Per sample and epoch, averaged over the runs of the cross-fit.

    Attributes
    ----------
    targets : ndarray of shape (n_samples,)
        Given targets, scaled.
    in_sample, held_out : ndarray of shape (n_samples, n_epochs)
        Predictions by networks that train on the sample (as in `LabelEvidence`), and
        that never saw it.
    n_folds : int
        Networks of the cross-fit.
    """

    targets: np.ndarray
    in_sample: np.ndarray
    held_out: np.ndarray
    n_folds: int

    @property
    def n_epochs(self) -> int:
        """Epochs of training."""
        return self.held_out.shape[1]

    def held_out_loss(self) -> np.ndarray:
        """Return the median absolute held-out residual of each epoch, (n_epochs,)."""
        return np.median(np.abs(self.held_out - self.targets[:, None]), axis=0)

    def curves(self) -> dict[str, np.ndarray]:
        """Return minus the median absolute residual by epoch, (n_epochs,) each."""
        residual = np.abs(self.in_sample - self.targets[:, None])
        return {
            "in_sample": -np.median(residual, axis=0),
            "held_out": -self.held_out_loss(),
        }

    def prediction(self, window: slice) -> np.ndarray:
        """Return the mean prediction of all networks over a window, (n_samples,)."""
        inside = self.in_sample[:, window].mean(axis=1)
        outside = self.held_out[:, window].mean(axis=1)
        return mean_of_networks(outside, inside, self.n_folds)


def judge_targets(
    evidence: TargetEvidence, influence: np.ndarray, window: slice, scoring: str
) -> Judgement:
    """Return how likely each regression target is wrong, and what it would be.

    Parameters
    ----------
    evidence : TargetEvidence
        From cross-fitted training.
    influence : ndarray of shape (n_queries, n_samples, n_epochs)
        Influence on errors, of epochs of the window; negative = harmful.
    window : slice
        Epochs that count.
    scoring : {"combined", "influence", "margin"}
        Order of the samples: by residual, or with "influence" by influence, which
        ranks regression targets far worse (docs/benchmarks.md), so that "combined" is
        "margin".

    Returns
    -------
    judgement : Judgement
        Suspicion of the k-th sample in the order is the k-th largest probability that
        a residual is no right target's.
    """
    probability = wrong_target_probability(
        evidence.targets, evidence.prediction(window)
    )
    order = probability if scoring != "influence" else -influence[-1].sum(axis=1)
    suspicion = np.empty_like(probability)
    suspicion[np.argsort(order, kind="stable")] = np.sort(probability)
    return Judgement(
        given=evidence.targets,
        suspicion=suspicion,
        contamination=float(probability.mean()),
        alternative=evidence.held_out[:, window].mean(axis=1),
        is_classifier=False,
    )


def wrong_target_probability(
    targets: np.ndarray, prediction: np.ndarray, *, n_iter: int = 50
) -> np.ndarray:
    """Return the probability that each target is wrong, given a prediction.

    A mixture fitted by expectation-maximization: right targets lie around the
    prediction (Student's t, with the spread of samples of similar prediction); wrong
    ones lie anywhere (Cauchy, around the median of all targets).

    Parameters
    ----------
    targets, prediction : ndarray of shape (n_samples,)
        In the same unit.
    n_iter : int, default=50
        Steps of expectation-maximization.

    Returns
    -------
    probability : ndarray of shape (n_samples,)
    """
    residual = targets - prediction
    spread = local_spread(residual, prediction)
    low, center, high = np.percentile(targets, [25, 50, 75])
    anywhere = cauchy.logpdf(targets, center, max((high - low) / 2, spread.min()))
    rate, factor = 0.1, 1.0
    for _ in range(n_iter):
        right = student.logpdf(residual, TAIL, 0, factor * spread)
        log_odds = logit(rate) + anywhere - right
        above = np.maximum(log_odds - SURE, 0)
        probability = expit(np.minimum(log_odds, SURE) + np.log1p(above))
        rate = np.clip(probability.mean(), 1e-4, 0.5)
        pull = (TAIL + 1) / (TAIL + (residual / (factor * spread)) ** 2)
        square = (1 - probability) * pull * (residual / spread) ** 2
        factor = np.sqrt(square.sum() / max((1 - probability).sum(), 1.0))
        factor = max(factor, 1e-3)
    return probability


def local_spread(residual: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return the scale of residuals among samples of similar prediction.

    A geometric mean of their median absolute residual and that of all samples: a
    quarter of the way from one noise level for all to one for each neighborhood.
    """
    order = np.argsort(prediction, kind="stable")
    size = min(N_NEIGHBORS, len(residual))
    smoothed = median_filter(np.abs(residual)[order], size=size, mode="nearest")
    spread = np.empty_like(smoothed, dtype=np.float64)
    spread[order] = smoothed
    overall = np.median(np.abs(residual)) + np.finfo(np.float32).eps
    local = np.maximum(spread, 0.01 * overall) / overall
    return overall * local**LOCALITY / student.ppf(0.75, TAIL)
