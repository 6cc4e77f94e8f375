"""Labels that go wrong alike in all classes: T has one rate."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from dit_clean.detection.evidence import TINY
from dit_clean.detection.latent_labels import INITIAL_RATE, Problem
from dit_clean.detection.noise_model import LabelNoiseModel, symmetric_transition

CONFUSION = 1.0
"""Weight of confusion where classes meet. Higher than beside errors by class: errors
that do not depend on the class depend on the sample."""
MAX_ITER = 100
"""Iterations of L-BFGS; it converges in about twenty."""


def fit_uniform_noise(
    evidence: np.ndarray, labels: np.ndarray, *, known: Problem | None = None
) -> LabelNoiseModel:
    """Fit one error rate of all classes, from evidence that has not seen the labels.

    Parameters
    ----------
    evidence, labels, known
        As of `fit_class_noise`.

    Returns
    -------
    model : LabelNoiseModel
    """
    problem = Problem.of(evidence, labels, known)
    flat = np.append(problem.start(), logit(INITIAL_RATE))
    at_random = logit(1 - 1 / problem.n_classes)
    flat = minimize(
        _objective,
        flat,
        (problem,),
        jac=True,
        method="L-BFGS-B",
        bounds=[*problem.bounds(len(flat) - 1), (None, at_random)],
        options={"maxiter": MAX_ITER},
    ).x
    weights, biases, (log_odds,) = problem.split(flat)
    transition = symmetric_transition(expit(log_odds), problem.n_classes)
    fit = problem.log_likelihood(weights, biases, transition)
    return LabelNoiseModel(weights, biases, transition, fit, 0.0, CONFUSION)


def _objective(flat: np.ndarray, problem: Problem) -> tuple[float, np.ndarray]:
    """Return the penalized negative log-likelihood per sample and its gradient."""
    weights, biases, (log_odds,) = problem.split(flat)
    rate, n_others = expit(log_odds), problem.n_classes - 1
    prior = problem.prior(weights, biases)
    own = prior[problem.labels, problem.rows]
    observed = np.maximum(own * (1 - rate) + (1 - own) * rate / n_others, TINY)
    residual = problem.residual(prior)
    residual *= own * (1 - rate - rate / n_others) / observed
    penalty, gradient = problem.penalty(weights, biases)
    gradient -= problem.slope(residual) / problem.n_samples
    by_rate = (((1 - own) / n_others - own) / observed).mean()
    value = -np.log(observed).mean() + penalty
    return float(value), np.append(gradient, -by_rate * rate * (1 - rate))
