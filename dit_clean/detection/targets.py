"""From evidence to judgements about regression targets."""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, logsumexp, softmax
from scipy.stats import t as student

from dit_clean.detection.judgement import Judgement
from dit_clean.detection.spread import (
    N_NEIGHBORS,
    TAIL,
    Expect,
    expected_spread,
    local_spread,
    robust_spread,
    rounding_spread,
)
from dit_clean.detection.target_evidence import TargetEvidence

GROSS = 5.0
"""Spreads from which on a residual may be a gross error, of whatever size."""
EDGE = 6.0
"""Power of the size by which gross errors set in around `GROSS`."""
MIN_RATE, MAX_RATE = 1e-4, 0.5
"""Bounds on the rate of each kind of wrong target, and on their sum. The lower keeps
each kind in the ranking; above the upper, wrong targets would be no exception."""
N_ITER = 100
"""Steps of expectation-maximization."""
LOCALITIES = (0.25, 0.75)
"""How far the spread of residuals is that of similar predictions, not of all: the
second only where it explains targets better for what it spends."""
N_SPREADS = 2
"""Times that the spread by inputs is read off those that are right by the last one."""
SURE = 10.0
"""Log-odds from which on they grow slowly, so that the worst of sure errors can still
be told from the others: floats end at 1."""


def judge_targets(
    evidence: TargetEvidence,
    window: slice,
    influence: np.ndarray | None = None,
    expect: Expect | None = None,
) -> Judgement:
    """Return how likely each regression target is wrong, and what it would be.

    Parameters
    ----------
    evidence : TargetEvidence
        From cross-fitted training.
    window : slice
        Epochs that count.
    influence : ndarray of shape (n_queries, n_samples, n_epochs), optional
        Influence on errors, of epochs of the window; negative = harmful. Samples are
        then ordered by it in place of their residuals. It ranks regression targets far
        worse (docs/benchmarks.md), so that all but ``scoring="influence"`` leave it
        out.
    expect : callable, optional
        See `wrong_target_probability`.

    Returns
    -------
    judgement : Judgement
        Suspicion of the k-th sample in the order is the k-th largest probability that
        a residual is no right target's.
    """
    probability = wrong_target_probability(
        evidence.targets, evidence.prediction(window), expect
    )
    order = probability if influence is None else -influence[-1].sum(axis=1)
    suspicion = np.empty_like(probability)
    suspicion[np.argsort(order, kind="stable")] = np.sort(probability)
    return Judgement(
        given=evidence.targets,
        suspicion=suspicion,
        contamination=float(probability.mean()),
        alternative=evidence.held_out[:, window].mean(axis=1),
    )


def wrong_target_probability(
    targets: np.ndarray, prediction: np.ndarray, expect: Expect | None = None
) -> np.ndarray:
    """Return the probability that each target is wrong, given a prediction.

    By a mixture: right targets lie around the prediction (Student's t, with the spread
    of samples of similar prediction). Wrong ones are gross errors, of any size from
    some spreads on to the largest residual, each order of magnitude as likely as
    another; or those of other samples (Student's t around the median of all targets).
    The latter count for more than the order only where they explain targets better than
    chance does (Schwarz's criterion), and better than without any prediction: where
    predictions say nothing, right targets look like those of other samples. The same
    criterion tells how much samples of other predictions, or of other inputs, have to
    say on the spread: to have its own takes two numbers of each neighborhood, its noise
    and where it ends. Where inputs tell large residuals, right targets may be spread by
    them, or wrong ones more frequent: what explains targets better counts.

    Parameters
    ----------
    targets, prediction : ndarray of shape (n_samples,)
        In the same unit.
    expect : callable, optional
        ``expect(values, prediction, counts)`` -> what other rows that count lead to
        expect of each value, by the inputs.

    Returns
    -------
    probability : ndarray of shape (n_samples,)
    """
    residual, n_samples = targets - prediction, len(targets)
    spent = np.log(n_samples) * max(n_samples / N_NEIGHBORS, 1)
    found, finer = (
        _explained(targets, prediction, local_spread(residual, prediction, share))
        for share in LOCALITIES
    )
    if finer.log_likelihood > found.log_likelihood + spent:
        found = finer
    if expect is not None:
        finest = _spread_by_inputs(targets, prediction, found, expect)
        gain = finest.log_likelihood - found.log_likelihood
        if gain > spent and gain > _gain_by_rate(found, prediction, expect):
            found = finest
    above = np.maximum(found.log_odds - SURE, 0)
    return expit(np.minimum(found.log_odds, SURE) + np.log1p(above))


class _Fit(NamedTuple):
    """Log-odds that targets are wrong, (n_samples,), and how well all is explained."""

    log_odds: np.ndarray
    log_likelihood: float


def _spread_by_inputs(
    targets: np.ndarray, prediction: np.ndarray, fit: _Fit, expect: Expect
) -> _Fit:
    """Fit the mixture with the spread of those that are right, by `fit`, by inputs."""
    for _ in range(N_SPREADS):
        is_right = fit.log_odds < 0
        spread = expected_spread(targets - prediction, prediction, expect, is_right)
        fit = _explained(targets, prediction, spread)
    return fit


def _gain_by_rate(fit: _Fit, prediction: np.ndarray, expect: Expect) -> float:
    """Return what a fit's log-likelihood gains by a rate of wrong targets by inputs."""
    is_wrong = expit(fit.log_odds)
    mean = np.clip(is_wrong.mean(), MIN_RATE, 1 - MIN_RATE)
    rate = expect(is_wrong, prediction, np.ones(len(is_wrong), bool))
    rate = np.clip(rate, MIN_RATE, 1 - MIN_RATE)
    ratio = fit.log_odds - logit(mean)  # of the densities, wrong to right
    same, own = (np.logaddexp(np.log1p(-r), np.log(r) + ratio) for r in (mean, rate))
    return float((own - same).sum())


def _explained(targets: np.ndarray, prediction: np.ndarray, spread: np.ndarray) -> _Fit:
    """Fit the mixture, with targets of other samples where they count."""
    residual = targets - prediction
    spread = np.maximum(spread, rounding_spread(targets))
    of_others = _log_density(targets, prediction, spread.min())
    few = _fitted(residual, spread, of_others, MIN_RATE)
    many = _fitted(residual, spread, of_others, MAX_RATE)
    least = max(few.log_likelihood, of_others.sum()) + np.log(len(targets)) / 2
    return many if many.log_likelihood > least else few


def _fitted(
    residual: np.ndarray, spread: np.ndarray, of_others: np.ndarray, most: float
) -> _Fit:
    """Fit the mixture by expectation-maximization.

    Parameters
    ----------
    residual, spread : ndarray of shape (n_samples,)
        Of right targets.
    of_others : ndarray of shape (n_samples,)
        Log-density of targets of other samples.
    most : float
        Highest rate of these.
    """
    rates, factor = np.array([0.05, min(0.05, most)]), 1.0
    for _ in range(N_ITER):
        scale = factor * spread
        right = student.logpdf(residual, TAIL, 0, scale)
        logs = np.stack([right, _gross_log_density(residual, scale), of_others])
        logs += np.log([1 - rates.sum(), *rates])[:, None]
        is_right, *is_wrong = softmax(logs, axis=0)
        rates = np.clip(np.mean(is_wrong, axis=1), MIN_RATE, [MAX_RATE, most])
        rates *= min(1.0, MAX_RATE / rates.sum())
        pull = (TAIL + 1) / (TAIL + (residual / scale) ** 2)
        square = is_right * pull * (residual / spread) ** 2
        factor = max(np.sqrt(square.sum() / max(is_right.sum(), 1.0)), 1e-3)
    return _Fit(
        logsumexp(logs[1:], axis=0) - logs[0], float(logsumexp(logs, axis=0).sum())
    )


def _log_density(
    targets: np.ndarray, prediction: np.ndarray, least_spread: float
) -> np.ndarray:
    """Return the log-density of targets among all targets.

    They are spread at least as far as predictions: where most are (nearly) equal,
    their quartiles do not tell.
    """
    center = np.median(targets)
    scale = robust_spread(targets) / (2 * student.ppf(0.75, TAIL))
    deviation = np.abs(prediction - np.median(prediction)).mean()
    return student.logpdf(targets, TAIL, center, max(scale, deviation, least_spread))


def _gross_log_density(residual: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the log-density of gross errors: even in the log of their size."""
    size = np.maximum(np.abs(residual) / scale, np.finfo(np.float64).tiny)
    decades = np.log(max(size.max() / GROSS, 2.0))
    edge = np.logaddexp(0, -EDGE * np.log(size / GROSS))
    return -np.log(2 * scale) - np.log(size) - np.log(decades) - edge
