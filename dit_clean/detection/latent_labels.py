"""The true label behind a given one: evidence for it, and what it costs to be wrong.

What all models of label noise share, see `noise_model`: P(true label | sample) as a
softmax of weighted evidence, and how its weights and biases are fitted.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dit_clean.detection.evidence import TINY

MIN_WEIGHT = 0.2
"""No kind of evidence is dropped: the likelihood of given labels, wrong ones among
them, is no reason to bet on one kind alone."""
INITIAL_RATE = 0.3
"""Error rate to start from. High on purpose: of two explanations that fit alike, sharp
classes with wrong labels and blurred classes without, the first is reached from a high
rate."""
LAST_WEIGHT = 4.0
"""Of the last kind of evidence, where a fit starts from it."""
L2 = 1e-3
"""Pull of the weights towards 1 / n_evidence and of the biases towards 0."""


@dataclass(frozen=True)
class Problem:
    """Evidence and labels with classes first, so that sums over classes are fast.

    Attributes
    ----------
    evidence : ndarray of shape (n_evidence, n_classes, n_samples)
        Kinds of evidence.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    known : Problem or None
        Samples whose labels are known to be right.
    weight : float
        How much each sample counts, if these are the known ones: 1 / m where each is
        listed m times.
    """

    evidence: np.ndarray
    labels: np.ndarray
    known: "Problem | None" = None
    weight: float = 1.0

    @classmethod
    def of(
        cls,
        evidence: np.ndarray,
        labels: np.ndarray,
        known: "Problem | None" = None,
        weight: float = 1.0,
    ) -> "Problem":
        """Return the problem of evidence (n_samples, n_classes, n_evidence)."""
        return cls(np.ascontiguousarray(evidence.T), labels, known, weight)

    @property
    def n_evidence(self) -> int:
        """Kinds of evidence."""
        return self.evidence.shape[0]

    @property
    def n_classes(self) -> int:
        """Classes that a label can be."""
        return self.evidence.shape[1]

    @property
    def n_samples(self) -> int:
        """Samples with a given label."""
        return self.evidence.shape[2]

    @cached_property
    def rows(self) -> np.ndarray:
        """Row numbers, to pick each sample's own label."""
        return np.arange(self.n_samples)

    def start(self, *, on_last: bool = False) -> np.ndarray:
        """Return weights and biases to start a fit from, (n_evidence + n_classes,).

        All kinds of evidence alike, or nearly all weight on the last one.
        """
        weights = np.full(self.n_evidence, (1 + 2 * INITIAL_RATE) / self.n_evidence)
        if on_last:
            weights[:], weights[-1] = MIN_WEIGHT, LAST_WEIGHT
        return np.concatenate([weights, np.zeros(self.n_classes)])

    def bounds(self, n_parameters: int) -> list[tuple[float | None, None]]:
        """Return the bounds of a vector of parameters, weights first."""
        n_free = n_parameters - self.n_evidence
        return [(MIN_WEIGHT, None)] * self.n_evidence + [(None, None)] * n_free

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return weights, biases and what is left of a vector of parameters."""
        weights, rest = flat[: self.n_evidence], flat[self.n_evidence :]
        return weights, rest[: self.n_classes], rest[self.n_classes :]

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

    def penalty(
        self, weights: np.ndarray, biases: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Return what weights and biases cost beside the given labels; its gradient.

        The pull of `L2`, and the known labels that they miss.
        """
        away = weights - 1 / self.n_evidence
        value = L2 * (away @ away + biases @ biases)
        gradient = 2 * L2 * np.concatenate([away, biases])
        if self.known is not None:
            scale, known = self.known.weight / self.n_samples, self.known
            prior = known.prior(weights, biases)
            value -= scale * known.log_own(prior)
            gradient -= scale * known.slope(known.residual(prior))
        return float(value), gradient

    def log_likelihood(
        self, weights: np.ndarray, biases: np.ndarray, transition: np.ndarray
    ) -> float:
        """Return the log-probability of given and known labels, per given one."""
        joint = self.joint(self.prior(weights, biases), transition)
        value = mean_log_likelihood(joint)
        if self.known is not None:
            prior = self.known.prior(weights, biases)
            value += self.known.weight / self.n_samples * self.known.log_own(prior)
        return value

    def log_own(self, prior: np.ndarray) -> float:
        """Return the log-probability that all labels are the true ones."""
        own = prior[self.labels, self.rows]
        return float(np.log(np.maximum(own, TINY)).sum())

    def residual(self, prior: np.ndarray) -> np.ndarray:
        """Return the derivative of log P(true = given | i) by logits."""
        residual = -prior
        residual[self.labels, self.rows] += 1
        return residual

    def slope(self, residual: np.ndarray) -> np.ndarray:
        """Return the derivative by weights and biases from that by logits.

        Summed over samples, shape (n_evidence + n_classes,).
        """
        by_weight = self.evidence.reshape(self.n_evidence, -1) @ residual.ravel()
        return np.concatenate([by_weight, residual.sum(axis=1)])


def normalized(joint: np.ndarray) -> np.ndarray:
    """Return probabilities that sum to 1 over the first axis."""
    return joint / np.maximum(joint.sum(axis=0), TINY)


def mean_log_likelihood(joint: np.ndarray) -> float:
    """Return the mean log-probability of the given labels."""
    return float(np.log(np.maximum(joint.sum(axis=0), TINY)).mean())


def _softmax_in_place(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis, written over its argument."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    logits /= logits.sum(axis=0)
    return logits
