"""What cross-fitted training has shown of each regression target, as plain arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from dit_clean.detection.evidence import TINY, mean_of_networks
from dit_clean.detection.spread import robust_spread


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
        """Return the loss of held-out samples by epoch (`loss_of`), (n_epochs,)."""
        return self.loss_of(self.held_out)

    def loss_of(self, outputs: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """Return the mean damped residual of each epoch, (n_epochs,).

        Of a residual of absolute value r, r / (1 + r / s) counts, with s the
        interquartile range of all targets: gross errors have little hold on it, and it
        jitters less than the median does.

        Parameters
        ----------
        outputs : ndarray of shape (n_rows, n_epochs)
            Predictions for some samples.
        rows : ndarray of int, shape (n_rows,), optional
            Which samples, by default all.
        """
        residual = np.abs(outputs - self.targets[rows, None])
        spread = robust_spread(self.targets) or 1.0  # all are equal
        return (residual / (1 + residual / spread)).mean(axis=0)

    def guess_loss(self, rows: np.ndarray) -> float:
        """Return the loss of the median, whatever X is."""
        guess = np.full((len(rows), 1), np.median(self.targets))
        return float(self.loss_of(guess, rows)[0])

    def learns_late(self) -> bool:
        """Return True: where the loss falls, residuals do."""
        return True

    def curves(self) -> dict[str, np.ndarray]:
        """Return minus the loss of each epoch (`loss_of`), (n_epochs,) each."""
        return {
            "in_sample": -self.loss_of(self.in_sample),
            "held_out": -self.held_out_loss(),
        }

    def margin(self, window: slice) -> np.ndarray:
        """Return the held-out margin over a window of epochs, (n_samples,).

        Minus the absolute residual of the mean prediction by networks that never saw
        the sample, in the unit of the targets; 0 = full agreement.
        """
        prediction = self.held_out[:, window].mean(axis=1, dtype=np.float64)
        return -np.abs(self.targets - prediction)

    def prediction(self, window: slice) -> np.ndarray:
        """Return the mean prediction of all networks over a window, (n_samples,)."""
        inside = self.in_sample[:, window].mean(axis=1)
        outside = self.held_out[:, window].mean(axis=1)
        return mean_of_networks(outside, inside, self.n_folds)

    def gains(self) -> tuple[np.ndarray, float]:
        """Return each sample's part of the rank correlation with held-out predictions.

        Shape (n_samples,), and the standard error of their sum by chance.
        """
        ranks = [rankdata(self.held_out.mean(axis=1)), rankdata(self.targets)]
        units = [(r - r.mean()) / (np.linalg.norm(r - r.mean()) + TINY) for r in ranks]
        return units[0] * units[1], float(1 / np.sqrt(len(self.targets) - 1))
