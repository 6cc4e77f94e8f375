"""What cross-fitted training has shown of each labeled sample, as plain arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np

TINY = 1e-12
N_PARTS, LEAST_RISE = 3, 0.005
"""Parts of training, and the rise of the share of predicted held-out labels between the
last two of them above which labels are still being learned."""
PROBABILITY_FLOOR = 1e-4
"""Below it differences of probabilities say nothing about labels."""


@dataclass(frozen=True)
class CleanEvidence:
    """What the networks say of samples whose labels are known to be right.

    Attributes
    ----------
    labels : ndarray of int, shape (n_clean,)
        True class indices.
    outputs : ndarray of shape (n_networks, n_clean, n_epochs, n_classes)
        Class probabilities at each epoch's end, by each network of the cross-fit; none
        has trained on these samples.
    """

    labels: np.ndarray
    outputs: np.ndarray


@dataclass(frozen=True)
class LabelEvidence:
    """Per sample, epoch and class, averaged over the runs of the cross-fit.

    Attributes
    ----------
    labels : ndarray of int, shape (n_samples,)
        Given class indices.
    in_sample : ndarray of shape (n_samples, n_epochs, n_classes)
        Class probabilities at each epoch's end, by networks that train on the sample:
        those of the cross-fit, and one that trains on all samples and counts as much as
        they together.
    held_out : ndarray of shape (n_samples, n_epochs, n_classes)
        The same by networks that never saw the sample.
    n_folds : int
        Networks of the cross-fit.
    clean : CleanEvidence or None
        Samples whose labels are known to be right.
    """

    labels: np.ndarray
    in_sample: np.ndarray
    held_out: np.ndarray
    n_folds: int
    clean: CleanEvidence | None = None

    @property
    def n_epochs(self) -> int:
        """Epochs of training."""
        return self.held_out.shape[1]

    def held_out_loss(self) -> np.ndarray:
        """Return the mean held-out cross-entropy of each epoch, (n_epochs,)."""
        return self.loss_of(self.held_out)

    def loss_of(self, outputs: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """Return the mean cross-entropy of each epoch, (n_epochs,).

        Parameters
        ----------
        outputs : ndarray of shape (n_rows, n_epochs, n_classes)
            Class probabilities for some samples.
        rows : ndarray of int, shape (n_rows,), optional
            Which samples, by default all.
        """
        own = np.maximum(self._of_label(outputs, rows), 1e-6)
        return -np.log(own).mean(axis=0, dtype=np.float64)

    def guess_loss(self, rows: np.ndarray) -> float:
        """Return the cross-entropy of the shares of the classes, whatever X is."""
        shares = np.bincount(self.labels, minlength=self.held_out.shape[2])
        guess = np.tile(shares / shares.sum(), (len(rows), 1, 1))
        return float(self.loss_of(guess, rows)[0])

    def learns_late(self) -> bool:
        """Tell whether more labels were predicted at the end of training than before.

        By networks that never saw them. The loss may fall on for another reason: the
        networks grow surer of what they know.
        """
        if self.n_epochs < N_PARTS:
            return False
        predicted = self.held_out.argmax(axis=2) == self.labels[:, None]
        *_, second, last = np.array_split(predicted.mean(axis=0), N_PARTS)
        return bool(last.mean() - second.mean() > LEAST_RISE)

    def curves(self) -> dict[str, np.ndarray]:
        """Return the mean probability of the given label by epoch, (n_epochs,) each."""
        return {
            "in_sample": self._of_label(self.in_sample).mean(axis=0, dtype=np.float64),
            "held_out": self._of_label(self.held_out).mean(axis=0, dtype=np.float64),
        }

    def gains(self) -> tuple[np.ndarray, float]:
        """Return each label's held-out log-probability, as a gain over chance.

        Shape (n_samples,), and the standard error of their sum by chance: the labels
        permuted.
        """
        # Epoch by epoch: all at once would copy every output in double precision.
        epochs = range(self.n_epochs)
        logs = sum(centered_log(self.held_out[:, epoch]) for epoch in epochs)
        outputs, n_samples = np.asarray(logs) / self.n_epochs, len(self.labels)
        counts = np.bincount(self.labels, minlength=outputs.shape[1])
        excess = outputs - outputs.mean(axis=0)
        excess = excess - excess @ counts[:, None] / n_samples
        # The variance of the sum over all permutations of labels (Hoeffding 1951).
        variance = (excess**2 @ counts).sum() / (n_samples - 1)
        return excess[np.arange(n_samples), self.labels], float(np.sqrt(variance))

    def margin(self, window: slice) -> np.ndarray:
        """Return the held-out margin over a window of epochs, (n_samples,).

        The probability of the given label minus that of its strongest rival, by
        networks that never saw the sample: in [-1, 1]; negative = another label is
        preferred.
        """
        probability = self.held_out[:, window].mean(axis=1, dtype=np.float64)
        rows = np.arange(len(self.labels))
        given = probability[rows, self.labels]
        probability[rows, self.labels] = -np.inf
        return given - probability.max(axis=1)

    def outside(self, window: slice) -> np.ndarray:
        """Return centered log-probabilities by networks that never saw the sample."""
        return centered_log(self.held_out[:, window].mean(axis=1))

    def all_networks(self, window: slice) -> np.ndarray:
        """Return the same averaged over all networks, by how much each counts."""
        inside = centered_log(self.in_sample[:, window].mean(axis=1))
        return mean_of_networks(self.outside(window), inside, self.n_folds)

    def _of_label(self, values: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """Return values (n_rows, n_epochs, n_classes) of the given class."""
        labels = self.labels[rows]
        return values[np.arange(len(labels)), :, labels]


def mean_of_networks(
    outside: np.ndarray, inside: np.ndarray, n_folds: int
) -> np.ndarray:
    """Return the mean over all networks, by how much each counts.

    One holds the sample out, n_folds - 1 of the cross-fit train on it, and the one that
    trains on all samples counts as much as these.
    """
    weight = 2 * (n_folds - 1)
    return (outside + weight * inside) / (1 + weight)


def label_help(influence: np.ndarray) -> np.ndarray:
    """Return how much each label of a sample would help other samples.

    Parameters
    ----------
    influence : ndarray of shape (n_queries, n_samples, n_epochs, n_classes)
        Influence that the sample would have under label c on errors of other samples:
        error without the sample minus error with it. Negative = harmful.

    Returns
    -------
    help : ndarray of shape (n_queries, n_samples, n_classes)
        Summed over epochs, centered over classes, in units of its own spread.
    """
    total = influence.sum(axis=2, dtype=np.float64)
    total = total - total.mean(axis=2, keepdims=True)
    return total / (total.std(axis=(1, 2), keepdims=True) + TINY)


def influence_trust(labels: np.ndarray, n_folds: int) -> float:
    """Return how much of the fitted weight of influence to believe, in [0, 1].

    Networks whose influence is asked have trained on the sample's own label. With few
    held-out samples per class that label shines through, the likelihood likes it, and
    influence gets more weight than it deserves: none at 5 held-out samples per class,
    all of it at 25.
    """
    held_out = np.median(np.bincount(labels)) / n_folds
    return float(np.clip((held_out - 5) / 20, 0, 1))


def centered_log(probability: np.ndarray) -> np.ndarray:
    """Return log-probabilities with mean 0 over classes, the last axis."""
    logs = np.log(np.clip(probability, PROBABILITY_FLOOR, 1.0), dtype=np.float64)
    return logs - logs.mean(axis=-1, keepdims=True)
