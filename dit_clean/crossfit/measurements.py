"""What all folds have shown while they trained, one row per sample."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from dit_clean.crossfit.data import TrainingData
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.result import FoldResult, extended
from dit_clean.detection import CleanEvidence, LabelEvidence, TargetEvidence

Read = Callable[[np.ndarray], np.ndarray]
"""What is averaged of a network's outputs."""


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
    unseen : ndarray of int
        Rows that a network was to train on, and that were in none of its batches.
    unfollowed : list of str
        Buffers that training has changed and that influence does not follow.
    """

    in_sample: np.ndarray
    held_out: np.ndarray
    influence: dict[int, np.ndarray]
    seconds: dict[str, float]
    n_folds: int
    clean: np.ndarray | None
    unseen: np.ndarray
    unfollowed: list[str]

    @classmethod
    def of(
        cls, results: Iterator[FoldResult], *, n_folds: int, is_classifier: bool
    ) -> "Measurements":
        """Return the averages; runs that stopped early keep their last outputs.

        Of epochs that count, see `CrossFit.train`.

        Parameters
        ----------
        results : iterator of FoldResult
            Of the network on all rows, which has as many epochs as count, and of the
            folds. Each is released before the next is requested: its outputs take
            rows x epochs x classes values.
        n_folds : int
            Networks of the cross-fit.
        is_classifier : bool
            Whether outputs are log class probabilities.
        """
        read = np.exp if is_classifier else np.asarray
        whole = next(results)
        n_epochs, seconds = whole.n_epochs, whole.seconds
        unseen, unfollowed = [whole.unseen], whole.unfollowed
        in_sample = _stacked(whole.outputs, n_epochs, read)
        del whole
        in_sample *= n_folds - 1
        held_out = np.empty_like(in_sample)
        influence, clean = [], []
        for result in results:
            _add(result, in_sample, held_out, read)
            measured = {e: v for e, v in result.influence.items() if e < n_epochs}
            influence.append((result.fold, measured))
            unseen.append(result.unseen)
            if result.clean_outputs:
                clean.append(_stacked(result.clean_outputs, n_epochs, read))
            seconds = {part: seconds[part] + result.seconds[part] for part in seconds}
            del result
        in_sample /= 2 * (n_folds - 1)
        return cls(
            in_sample=in_sample,
            held_out=held_out,
            influence=_average_influence(influence),
            seconds=seconds,
            n_folds=n_folds,
            clean=np.stack(clean) if clean else None,
            unseen=np.unique(np.concatenate(unseen)),
            unfollowed=unfollowed,
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


def _average_influence(
    measured: list[tuple[Fold, dict[int, np.ndarray]]],
) -> dict[int, np.ndarray]:
    """Return influence by epoch, of the runs that reached it."""
    averages = {}
    for epoch in sorted({epoch for _, influence in measured for epoch in influence}):
        reached = [(fold, values) for fold, values in measured if epoch in values]
        averages[epoch] = average_over_folds(
            [fold for fold, _ in reached], [values[epoch] for _, values in reached]
        )
    return averages


def _stacked(outputs: list[np.ndarray], n_epochs: int, read: Read) -> np.ndarray:
    """Return what is read of outputs, (n_rows, n_epochs, n_outputs)."""
    n_rows, n_outputs = outputs[0].shape
    values = np.empty((n_rows, n_epochs, n_outputs), outputs[0].dtype)
    for epoch, output in enumerate(extended(outputs, n_epochs)):
        values[:, epoch] = read(output)
    return values


def _add(
    result: FoldResult, in_sample: np.ndarray, held_out: np.ndarray, read: Read
) -> None:
    """Add a fold's outputs to sums, epoch by epoch: no copy of all of them is made."""
    train, held = result.fold.train, result.fold.held_out
    for epoch, output in enumerate(extended(result.outputs, held_out.shape[1])):
        values = read(output)
        held_out[held, epoch] = values[held]
        in_sample[train, epoch] += values[train]
