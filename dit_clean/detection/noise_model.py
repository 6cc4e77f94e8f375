"""Who is mislabeled: a true label behind every given one.

The model of sample i with given label g_i, for classes c, t:

    u_i[c]   = sum_k weight_k evidence_k[i, c] + bias_c     evidence for true label c
    P(c | i) = softmax(u_i)[c]                              label of the sample
    T[t, g]  = P(given g | true t)                          how labels go wrong
    P(g_i | i) = sum_t P(t | i) T[t, g_i]                   all that is ever observed

Weights, biases and T maximize the likelihood of the given labels, so the evidence must
not have seen a sample's own label. Samples whose labels are known to be right add
log P(c | i) of those labels: they tell what the evidence is worth, and where one class
ends and the next begins, without the detour over T.

Bayes' rule then gives P(true label | sample, given label); suspicion is the probability
that the given label is not the true one.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from dit_clean.detection.evidence import TINY

MIN_WEIGHT = 0.2
"""No kind of evidence is dropped: the likelihood of given labels, wrong ones among
them, is no reason to bet on one kind alone."""


@dataclass(frozen=True)
class KnownLabels:
    """Samples whose labels are known to be right.

    Attributes
    ----------
    evidence : ndarray of shape (n_known, n_classes, n_evidence)
        As of the samples in question.
    labels : ndarray of int, shape (n_known,)
        True class indices.
    weight : float
        How much each counts: 1 / m for a sample that is listed m times.
    """

    evidence: np.ndarray
    labels: np.ndarray
    weight: float = 1.0


@dataclass(frozen=True)
class LabelNoiseModel:
    """How given labels arise from true ones.

    Attributes
    ----------
    weights : ndarray of shape (n_evidence,)
        How much each kind of evidence counts.
    biases : ndarray of shape (n_classes,)
        Offset of each class.
    transition : ndarray of shape (n_classes, n_classes)
        Row = true label, column = given label; rows sum to 1.
    log_likelihood : float
        Mean log-probability of the given labels.
    """

    weights: np.ndarray
    biases: np.ndarray
    transition: np.ndarray
    log_likelihood: float


def fit_label_noise(
    evidence: np.ndarray,
    labels: np.ndarray,
    *,
    known: KnownLabels | None = None,
    strength: float | None = None,
    initial_rate: float = 0.3,
    n_rounds: int = 3,
    max_iter: int = 40,
    l2: float = 1e-3,
) -> LabelNoiseModel:
    """Fit how labels go wrong, from evidence that has not seen them.

    Parameters
    ----------
    evidence : ndarray of shape (n_samples, n_classes, n_evidence)
        Kinds of evidence, each on the scale of centered log-probabilities.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    known : KnownLabels, optional
        Samples whose labels are known to be right.
    strength : float, default=max(2, n_classes / 5)
        Pseudo-samples that pull each row of T towards symmetric noise at the pooled
        rate: classes with few rows keep to it.
    initial_rate : float, default=0.3
        Error rate to start from. High on purpose: of two explanations that fit
        alike, sharp classes with wrong labels and blurred classes without, the first
        is reached from a high rate.
    n_rounds : int, default=3
        How often the pooled rate is estimated anew.
    max_iter : int, default=40
        L-BFGS iterations a round.
    l2 : float, default=1e-3
        Pull of the weights towards 1 / n_evidence and of the biases towards 0.

    Returns
    -------
    model : LabelNoiseModel
    """
    n_classes, n_evidence = evidence.shape[1:]
    problem = _Problem.of(evidence, labels)
    sure = None
    if known is not None:
        sure = _Problem.of(known.evidence, known.labels, known.weight)
    strength = max(2.0, n_classes / 5) if strength is None else strength
    pooled = symmetric_transition(initial_rate, n_classes)
    weights = np.full(n_evidence, (1 + 2 * initial_rate) / n_evidence)
    flat = np.concatenate([weights, np.zeros(n_classes), np.log(pooled).ravel()])
    bounds = [(MIN_WEIGHT, None)] * n_evidence + [(None, None)] * (
        n_classes + n_classes**2
    )
    for _ in range(n_rounds):
        flat = minimize(
            _objective,
            flat,
            (problem, pooled, strength, l2, sure),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": max_iter},
        ).x
        weights, biases, transition = problem.split(flat)
        joint = problem.joint(problem.prior(weights, biases), transition)
        wrong = 1 - _normalized(joint)[labels, np.arange(len(labels))]
        pooled = symmetric_transition(float(wrong.mean()), n_classes)
    likelihood = np.log(np.maximum(joint.sum(axis=0), TINY)).mean()
    return LabelNoiseModel(weights, biases, transition, float(likelihood))


def true_label_posterior(
    model: LabelNoiseModel,
    evidence: np.ndarray,
    labels: np.ndarray,
    *,
    confusion: float = 0.3,
) -> np.ndarray:
    """Return P(true label | sample, given label), shape (n_samples, n_classes).

    Parameters
    ----------
    model : LabelNoiseModel
        Fitted on evidence that has not seen the labels.
    evidence : ndarray of shape (n_samples, n_classes, n_evidence)
        May be better evidence than the model was fitted on: outputs of networks that
        train on the sample may join in here.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    confusion : float, default=0.3
        Noise that T cannot express: annotators confuse classes where the given label
        is itself plausible. The chance of "t seen as g" grows by confusion P(g | i).
    """
    rows, problem = np.arange(len(labels)), _Problem.of(evidence, labels)
    prior = problem.prior(model.weights, model.biases)
    joint = problem.joint(prior, model.transition)
    confused = joint + confusion * prior * prior[labels, rows]
    confused[labels, rows] = joint[labels, rows]
    return _normalized(confused).T


def softmax(logits: np.ndarray, axis: int = -1) -> np.ndarray:
    """Return probabilities along an axis."""
    shifted = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def symmetric_transition(rate: float, n_classes: int) -> np.ndarray:
    """Return T of noise that hits all classes alike, shape (n_classes, n_classes)."""
    rate = float(np.clip(rate, 1e-3, 0.9))
    transition = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition


@dataclass(frozen=True)
class _Problem:
    """Evidence and labels with classes first, so that sums over classes are fast.

    Attributes
    ----------
    evidence : ndarray of shape (n_evidence, n_classes, n_samples)
        Kinds of evidence.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    weight : float
        How much each sample counts.
    """

    evidence: np.ndarray
    labels: np.ndarray
    weight: float

    @classmethod
    def of(
        cls, evidence: np.ndarray, labels: np.ndarray, weight: float = 1.0
    ) -> "_Problem":
        return cls(np.ascontiguousarray(evidence.T), labels, weight)

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weights, biases and transition matrix of a parameter vector."""
        n_evidence, n_classes, _ = self.evidence.shape
        weights, rest = flat[:n_evidence], flat[n_evidence:]
        biases, logits = rest[:n_classes], rest[n_classes:]
        return weights, biases, softmax(logits.reshape(n_classes, n_classes))

    def prior(self, weights: np.ndarray, biases: np.ndarray) -> np.ndarray:
        """Return P(true | i), (n_classes, n_samples)."""
        n_evidence, *shape = self.evidence.shape
        logits = (weights @ self.evidence.reshape(n_evidence, -1)).reshape(shape)
        logits += biases[:, None]
        return _softmax_in_place(logits)

    def joint(self, prior: np.ndarray, transition: np.ndarray) -> np.ndarray:
        """Return P(true, given = observed | i), (n_classes, n_samples)."""
        joint = np.take(transition, self.labels, axis=1)
        joint *= prior
        return joint

    def counts(self, posterior: np.ndarray) -> np.ndarray:
        """Return expected numbers of samples by true and given label."""
        n_classes = len(posterior)
        return np.array([np.bincount(self.labels, p, n_classes) for p in posterior])

    def pull(self, residual: np.ndarray) -> np.ndarray:
        """Return the inner product of each kind of evidence with a residual."""
        return self.evidence.reshape(len(self.evidence), -1) @ residual.ravel()


def _softmax_in_place(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis, written over its argument."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits


def _normalized(joint: np.ndarray) -> np.ndarray:
    return joint / np.maximum(joint.sum(axis=0), TINY)


def _objective(
    flat: np.ndarray,
    problem: _Problem,
    pooled: np.ndarray,
    strength: float,
    l2: float,
    sure: _Problem | None = None,
) -> tuple[float, np.ndarray]:
    """Return the penalized negative log-likelihood per sample and its gradient."""
    n_evidence, _, n_samples = problem.evidence.shape
    weights, biases, transition = problem.split(flat)
    prior = problem.prior(weights, biases)
    joint = problem.joint(prior, transition)
    observed = np.maximum(joint.sum(axis=0), TINY)
    joint /= observed
    counts = problem.counts(joint) + strength * pooled
    joint -= prior
    residual = joint
    away = weights - 1 / n_evidence
    log_transition = np.log(np.maximum(transition, TINY))
    value = (
        -np.log(observed).mean()
        - strength * (pooled * log_transition).sum() / n_samples
        + l2 * (away @ away + biases @ biases)
    )
    by_weight = -problem.pull(residual) / n_samples + 2 * l2 * away
    by_bias = -residual.mean(axis=1) + 2 * l2 * biases
    by_logit = -(counts - transition * counts.sum(axis=1, keepdims=True)) / n_samples
    if sure is not None:
        scale, rows = sure.weight / n_samples, np.arange(len(sure.labels))
        prior = sure.prior(weights, biases)
        own = prior[sure.labels, rows]
        value -= scale * np.log(np.maximum(own, TINY)).sum()
        residual = -prior
        residual[sure.labels, rows] += 1
        by_weight -= scale * sure.pull(residual)
        by_bias -= scale * residual.sum(axis=1)
    return float(value), np.concatenate([by_weight, by_bias, by_logit.ravel()])
