"""Who is mislabeled: a true label behind every given one.

The model of sample i with given label g_i, for classes c, t:

    u_i[c]   = sum_k weight_k evidence_k[i, c] + bias_c     evidence for true label c
    P(c | i) = softmax(u_i)[c]                              label of the sample
    T[t, g]  = P(given g | true t)                          how labels go wrong
    P(g_i | i) = sum_t P(t | i) T[t, g_i]                   all that is ever observed

Weights, biases and T maximize the likelihood of the given labels, so the evidence must
not have seen a sample's own label. Bayes' rule then gives P(true label | sample, given
label); suspicion is the probability that the given label is not the true one.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from dit_clean.detection.evidence import TINY


@dataclass(frozen=True)
class LabelNoiseModel:
    """How given labels arise from true ones.

    Attributes
    ----------
    weights : ndarray of shape (n_evidence,)
        How much each kind of evidence counts, at least 0.
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
    strength : float, default=max(20, n_classes)
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
    strength = max(20.0, n_classes) if strength is None else strength
    sizes = [n_evidence, n_evidence + n_classes]
    pooled = symmetric_transition(initial_rate, n_classes)
    weights = np.full(n_evidence, (1 + 2 * initial_rate) / n_evidence)
    flat = np.concatenate([weights, np.zeros(n_classes), np.log(pooled).ravel()])
    bounds = [(0, None)] * n_evidence + [(None, None)] * (n_classes + n_classes**2)
    for _ in range(n_rounds):
        flat = minimize(
            _objective,
            flat,
            (evidence, labels, pooled, strength, l2),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": max_iter},
        ).x
        weights, biases, logits = np.split(flat, sizes)
        transition = softmax(logits.reshape(n_classes, n_classes))
        joint, _ = _joint(evidence, labels, weights, biases, transition)
        wrong = 1 - _normalized(joint)[np.arange(len(labels)), labels]
        pooled = symmetric_transition(float(wrong.mean()), n_classes)
    likelihood = np.log(np.maximum(joint.sum(axis=1), TINY)).mean()
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
    rows = np.arange(len(labels))
    joint, prior = _joint(
        evidence, labels, model.weights, model.biases, model.transition
    )
    confused = joint + confusion * prior * prior[rows, labels][:, None]
    confused[rows, labels] = joint[rows, labels]
    return _normalized(confused)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities along the last axis."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def symmetric_transition(rate: float, n_classes: int) -> np.ndarray:
    """Return T of noise that hits all classes alike, shape (n_classes, n_classes)."""
    rate = float(np.clip(rate, 1e-3, 0.9))
    transition = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition


def _joint(
    evidence: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    biases: np.ndarray,
    transition: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return P(true, given = observed | i) and P(true | i), (n_samples, n_classes)."""
    prior = softmax(evidence @ weights + biases)
    return prior * transition[:, labels].T, prior


def _normalized(joint: np.ndarray) -> np.ndarray:
    return joint / np.maximum(joint.sum(axis=1, keepdims=True), TINY)


def _objective(
    flat: np.ndarray,
    evidence: np.ndarray,
    labels: np.ndarray,
    pooled: np.ndarray,
    strength: float,
    l2: float,
) -> tuple[float, np.ndarray]:
    """Return the penalized negative log-likelihood per sample and its gradient."""
    n_samples, n_classes, n_evidence = evidence.shape
    weights, biases, logits = np.split(flat, [n_evidence, n_evidence + n_classes])
    transition = softmax(logits.reshape(n_classes, n_classes))
    joint, prior = _joint(evidence, labels, weights, biases, transition)
    posterior = _normalized(joint)
    counts = strength * pooled
    np.add.at(counts.T, labels, posterior)
    residual = posterior - prior
    away = weights - 1 / n_evidence
    log_transition = np.log(np.maximum(transition, TINY))
    value = (
        -np.log(np.maximum(joint.sum(axis=1), TINY)).mean()
        - strength * (pooled * log_transition).sum() / n_samples
        + l2 * (away @ away + biases @ biases)
    )
    by_weight = -np.einsum("nc,nck->k", residual, evidence) / n_samples + 2 * l2 * away
    by_bias = -residual.mean(axis=0) + 2 * l2 * biases
    by_logit = -(counts - transition * counts.sum(axis=1, keepdims=True)) / n_samples
    return float(value), np.concatenate([by_weight, by_bias, by_logit.ravel()])
