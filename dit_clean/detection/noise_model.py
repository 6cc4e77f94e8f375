"""Who is mislabeled: a true label behind every given one.

The model of sample i with given label g_i, for classes c, t:

    u_i[c]   = sum_k weight_k evidence_k[i, c] + bias_c     evidence for true label c
    P(c | i) = softmax(u_i)[c]                              label of the sample
    T[t, g]  = P(given g | true t)                          how labels go wrong
    P(g_i | i) = sum_t P(t | i) T[t, g_i]                   all that is ever observed

Weights, biases and T maximize the likelihood of the given labels: `fit_class_noise`
with every entry of T free, before it looks which rows need to be (`row_pooling`),
`fit_uniform_noise` with one rate for all. The evidence must therefore not have seen a
sample's own label. Samples whose labels are known to be right add log P(c | i) of those
labels: they tell what the evidence is worth, and where one class ends and the next
begins, without the detour over T.

Bayes' rule then gives P(true label | sample, given label); suspicion is the probability
that the given label is not the true one.
"""

from dataclasses import dataclass

import numpy as np

from dit_clean.detection.latent_labels import Problem, normalized


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
        Log-probability of the given labels and of known ones, per given label, with
        what classes exchange.
    charge : float
        What T is charged for what it leaves open, see `row_pooling`; 0 where errors are
        alike in all classes.
    confusion : float
        Weight of errors where two classes meet, beside those in T; see
        `true_label_posterior`.
    """

    weights: np.ndarray
    biases: np.ndarray
    transition: np.ndarray
    log_likelihood: float
    charge: float
    confusion: float

    @property
    def worth(self) -> float:
        """How well it explains the given labels, log-probability per sample."""
        return self.log_likelihood - self.charge

    @property
    def errors_alike(self) -> bool:
        """Whether errors are alike in all classes."""
        return self.charge == 0


def true_label_posterior(
    model: LabelNoiseModel, evidence: np.ndarray, labels: np.ndarray
) -> np.ndarray:
    """Return P(true label | sample, given label), shape (n_samples, n_classes).

    Beside the errors in T, a label is confused with its strongest rival. For given
    label g and rival r, P(true r, given g | i) grows by

        confusion P(g | i) (1 + P(r | i) - P(g | i)) / 2,

    which is confusion P(g | i) P(r | i) of two classes. Of two classes such errors, as
    frequent in both directions, leave the distribution of given labels as it is:
    nothing in the data tells them from classes that overlap. Hence confusion is
    assumed and not fitted, and a weight rather than a probability.

    Parameters
    ----------
    model : LabelNoiseModel
        Fitted on evidence that has not seen the labels.
    evidence : ndarray of shape (n_samples, n_classes, n_evidence)
        May be better evidence than the model was fitted on: outputs of networks that
        train on the sample may join in here.
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    """
    rows, problem = np.arange(len(labels)), Problem.of(evidence, labels)
    prior = problem.prior(model.weights, model.biases)
    joint = problem.joint(prior, model.transition)
    own = prior[labels, rows]
    prior[labels, rows] = -1
    rival = prior.argmax(axis=0)
    ahead = (1 + prior[rival, rows] - own) / 2
    joint[rival, rows] += model.confusion * own * ahead
    return normalized(joint).T


def symmetric_transition(rate: float, n_classes: int) -> np.ndarray:
    """Return T of noise that hits all classes alike, shape (n_classes, n_classes).

    At most that of labels at random.
    """
    rate = float(np.clip(rate, 1e-3, 1 - 1 / n_classes))
    transition = np.full((n_classes, n_classes), rate / (n_classes - 1))
    np.fill_diagonal(transition, 1 - rate)
    return transition
