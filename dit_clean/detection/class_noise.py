"""Labels that go wrong by class: rows of T are free where the labels speak for it."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from dit_clean.detection.evidence import TINY
from dit_clean.detection.latent_labels import INITIAL_RATE, Problem, normalized
from dit_clean.detection.noise_model import LabelNoiseModel, symmetric_transition
from dit_clean.detection.row_pooling import expected_counts, pool_rows

CONFUSION = 0.3
"""Weight of confusion where classes meet, beside the errors in T."""
CLEAR_LEAD = 0.008
"""Lead in the mean log-probability of the labels by which the second start is taken."""
MOST_EXCHANGED = 0.5
"""Shares of the labels of two classes, added, that may go to the other by mistake. Of
labels at random it is 1."""
N_ROUNDS, MAX_ITER = 3, 40
"""How often the pooled rate is estimated anew, and iterations of L-BFGS each time."""


def fit_class_noise(
    evidence: np.ndarray,
    labels: np.ndarray,
    *,
    known: Problem | None = None,
) -> LabelNoiseModel:
    """Fit how labels go wrong by class, from evidence that has not seen them.

    max(2, n_classes / 5) pseudo-samples pull each row of T towards symmetric noise at
    the pooled rate: classes with few rows keep to it. In the end rows that show no
    errors of their own are pooled, see `row_pooling`; weights and biases stay. If the
    fitted T would swap classes (evidence worse than chance), labels are taken for
    random. What two classes exchange explains their labels, but counts for no error
    (`without_exchange`).

    The likelihood has several optima. Networks predict errors that are frequent, and
    their outputs explain these as no errors at all; the last kind of evidence does so
    less. A second fit starts with most of the weight on it, and is taken if it explains
    the labels better by `CLEAR_LEAD`.

    Parameters
    ----------
    evidence : ndarray of shape (n_samples, n_classes, n_evidence)
        Kinds of evidence, each on the scale of centered log-probabilities; influence
        last, or else outputs from the turning point on.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    known : Problem, optional
        Samples whose labels are known to be right.

    Returns
    -------
    model : LabelNoiseModel
    """
    problem = Problem.of(evidence, labels, known)
    first = _fit_from(problem.start(), problem)
    if problem.n_evidence == 1:
        return first
    second = _fit_from(problem.start(on_last=True), problem)
    is_clear = second.log_likelihood > first.log_likelihood + CLEAR_LEAD
    return second if is_clear else first


def _fit_from(start: np.ndarray, problem: Problem) -> LabelNoiseModel:
    """Return the model of the optimum next to weights and biases."""
    n_classes = problem.n_classes
    strength = max(2.0, n_classes / 5)
    pooled = symmetric_transition(INITIAL_RATE, n_classes)
    flat = np.concatenate([start, np.log(pooled).ravel()])
    for _ in range(N_ROUNDS):
        flat = minimize(
            _objective,
            flat,
            (problem, pooled, strength),
            jac=True,
            method="L-BFGS-B",
            bounds=problem.bounds(len(flat)),
            options={"maxiter": MAX_ITER},
        ).x
        weights, biases, logits = problem.split(flat)
        transition = _transition(logits, n_classes)
        prior = problem.prior(weights, biases)
        posterior = normalized(problem.joint(prior, transition))
        wrong = 1 - posterior[problem.labels, problem.rows]
        pooled = symmetric_transition(float(wrong.mean()), n_classes)
    transition, charge = pool_rows(transition, prior, problem, strength)
    if np.trace(transition) < 1:  # that of labels at random
        transition, charge = symmetric_transition(1.0, n_classes), 0.0
    fit = problem.log_likelihood(weights, biases, transition)
    errors = without_exchange(transition)
    return LabelNoiseModel(weights, biases, errors, fit, charge, CONFUSION)


def without_exchange(transition: np.ndarray) -> np.ndarray:
    """Return T without what two of three classes or more exchange, if it is large.

    Counted is what is more than goes to the class that each is mistaken for least. Two
    classes that exchange most labels look like two that overlap, and evidence has one
    scale for all: where some classes are clear and two are not, an exchange explains
    the labels of these best, and most of a class may be suspected. Of two classes alone
    it is told by errors that are alike in all classes.

    Parameters
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Row = true label, column = given label.
    """
    n_classes = len(transition)
    if n_classes == 2:  # noqa: PLR2004
        return transition
    errors = transition.copy()
    np.fill_diagonal(errors, np.inf)
    more = errors - errors.min(axis=1, keepdims=True)
    np.fill_diagonal(more, 0.0)
    is_large = more + more.T > MOST_EXCHANGED
    exchange = np.where(is_large, np.minimum(more, more.T), 0.0)
    return transition - exchange + np.diag(exchange.sum(axis=1))


def _transition(logits: np.ndarray, n_classes: int) -> np.ndarray:
    return softmax(logits.reshape(n_classes, n_classes), axis=1)


def _objective(
    flat: np.ndarray, problem: Problem, pooled: np.ndarray, strength: float
) -> tuple[float, np.ndarray]:
    """Return the penalized negative log-likelihood per sample and its gradient."""
    n_samples = problem.n_samples
    weights, biases, logits = problem.split(flat)
    transition = _transition(logits, problem.n_classes)
    prior = problem.prior(weights, biases)
    joint = problem.joint(prior, transition)
    observed = np.maximum(joint.sum(axis=0), TINY)
    joint /= observed
    counts = expected_counts(joint, problem) + strength * pooled
    joint -= prior
    penalty, gradient = problem.penalty(weights, biases)
    log_transition = np.log(np.maximum(transition, TINY))
    value = (
        -np.log(observed).mean()
        - strength * (pooled * log_transition).sum() / n_samples
        + penalty
    )
    gradient -= problem.slope(joint) / n_samples
    by_logit = -(counts - transition * counts.sum(axis=1, keepdims=True)) / n_samples
    return float(value), np.concatenate([gradient, by_logit.ravel()])
