"""What all folds have shown while they trained, one row per sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dit_clean.crossfit.data import TrainingData
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.result import CrossFitResult, FoldResult
from dit_clean.detection import CleanEvidence, LabelEvidence, TargetEvidence


@dataclass(frozen=True)
class Measurements:
    """Averages over the networks of the cross-fit, in the row order of X.

    All that decisions are made from: small beside the recorded runs, which only
    further questions need.

    Attributes
    ----------
    in_sample : ndarray of shape (n_samples, n_epochs, n_outputs)
        Class probabilities, or predictions, at each epoch's end by networks that train
        on the sample: the mean of those of the cross-fit and of the one that trains on
        all rows, which counts as much as they together.
    held_out : ndarray of shape (n_samples, n_epochs, n_outputs)
        The same by the network that never saw it.
    influence : dict of int to ndarray of shape (n_queries, n_samples[, n_classes])
        By epoch, of those measured during training.
    seconds : dict of str to float
        "training" and "influence", summed over networks.
    n_folds : int
        Networks of the cross-fit.
    clean : ndarray of shape (n_folds, n_clean, n_epochs, n_outputs) or None
        Outputs of each network for the clean validation samples.
    """

    in_sample: np.ndarray
    held_out: np.ndarray
    influence: dict[int, np.ndarray]
    seconds: dict[str, float]
    n_folds: int
    clean: np.ndarray | None = None

    @classmethod
    def of(cls, trained: CrossFitResult, *, is_classifier: bool) -> "Measurements":
        """Return the averages; runs that stopped early keep their last outputs."""
        results = trained.folds

        def read(outputs: np.ndarray) -> np.ndarray:
            extended = _extended(outputs, trained.n_epochs)
            return np.exp(extended) if is_classifier else extended.copy()

        given = [result.clean_outputs for result in results]
        clean = [read(outputs) for outputs in given if outputs is not None]
        # In place: outputs take rows x epochs x classes values.
        in_sample = read(trained.whole.outputs)
        in_sample *= len(results) - 1
        held_out = np.empty_like(in_sample)
        for result in results:
            fold, output = result.fold, read(result.outputs)
            held_out[fold.held_out] = output[fold.held_out]
            in_sample[fold.train] += output[fold.train]
        in_sample /= 2 * (len(results) - 1)
        return cls(
            in_sample=in_sample,
            held_out=held_out,
            influence=_average_influence(results),
            seconds=trained.seconds,
            n_folds=len(results),
            clean=np.stack(clean) if clean else None,
        )

    def evidence(self, data: TrainingData) -> LabelEvidence | TargetEvidence:
        """Return what has been seen of each sample's given label or target."""
        targets = data.targets
        if not targets.is_classifier:
            y = targets.encoded.numpy()[:, 0]
            outputs = (self.in_sample[:, :, 0], self.held_out[:, :, 0])
            return TargetEvidence(y, *outputs, self.n_folds)
        clean = None
        if data.validation is not None and self.clean is not None:
            clean = CleanEvidence(data.validation[1].numpy(), self.clean)
        return LabelEvidence(
            targets.codes, self.in_sample, self.held_out, self.n_folds, clean
        )


def average_over_folds(
    folds: Sequence[Fold],
    parts: Sequence[np.ndarray],
    reached: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """Return the mean over the folds that train on each sample.

    Parameters
    ----------
    folds : sequence of Fold
        The folds that have something to say.
    parts : sequence of ndarray of shape (n_queries, n_train, ...)
        A value for each trained sample of each fold.
    reached : sequence of ndarray of bool, shape (n_windows,), optional
        For parts (n_queries, n_train, n_windows): the windows that each fold's run
        reached before it stopped; the others do not count.

    Returns
    -------
    mean : ndarray of shape (n_queries, n_samples, ...)
        0 where no fold counts.
    """
    n_samples, rest = folds[0].n_samples, parts[0].shape[2:]
    total = np.zeros((len(parts[0]), n_samples, *rest), dtype=parts[0].dtype)
    windows = (1,) * len(rest) if reached is None else rest
    count = np.zeros((n_samples, *windows), dtype=parts[0].dtype)
    for i, (fold, part) in enumerate(zip(folds, parts, strict=True)):
        counts = 1 if reached is None else reached[i]
        total[:, fold.train] += part * counts
        count[fold.train] += counts
    return total / np.maximum(count, 1)


def _average_influence(results: list[FoldResult]) -> dict[int, np.ndarray]:
    """Return influence by epoch, of the runs that reached it."""
    averages = {}
    for epoch in sorted({epoch for result in results for epoch in result.influence}):
        reached = [result for result in results if epoch in result.influence]
        averages[epoch] = average_over_folds(
            [result.fold for result in reached],
            [result.influence[epoch] for result in reached],
        )
    return averages


def _extended(outputs: np.ndarray, n_epochs: int) -> np.ndarray:
    missing = n_epochs - outputs.shape[1]
    if missing == 0:
        return outputs
    return np.pad(outputs, ((0, 0), (0, missing), (0, 0)), mode="edge")
