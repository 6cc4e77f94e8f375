"""Influence epoch by epoch: measured during training, or when first asked for."""

from collections.abc import Callable, Iterable

import numpy as np

from dit_clean.crossfit.fold import Fold, FoldResult
from dit_clean.influence import Window, influence_scores, label_influence
from dit_clean.influence.queries import Query
from dit_clean.tracking import Trajectory

N_SCHEDULED = 6
"""Epochs measured during training; six rank as well as all (docs/benchmarks.md)."""


def scheduled_epochs(n_epochs: int) -> list[int]:
    """Return the epochs whose influence is measured while the network trains.

    Evenly spaced on a logarithmic scale: much happens early, little late.

    Examples
    --------
    >>> scheduled_epochs(30)
    [0, 1, 3, 7, 14, 29]
    """
    counts = np.geomspace(1, n_epochs, min(N_SCHEDULED, n_epochs))
    return sorted({int(count) - 1 for count in np.round(counts)})


def decision_epochs(window: Window, n_epochs: int) -> list[int]:
    """Return the epochs whose influence stands for a window: never none."""
    inside = [epoch for epoch in scheduled_epochs(n_epochs) if epoch in window]
    return inside or [window.stop - 1]


def epoch_influence(
    trajectory: Trajectory, query: Query, epoch: int, *, each_label: bool
) -> np.ndarray:
    """Return the influence of an epoch on a query at the epoch's end.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run.
    query : callable
        One value per query.
    epoch : int
        Epoch of the run.
    each_label : bool
        Whether to ask what each sample would have done under each label.

    Returns
    -------
    values : ndarray of shape (n_queries, n_train[, n_classes]), float32
    """
    window = Window(epoch, epoch + 1).in_steps(trajectory)
    if each_label:
        values = label_influence(trajectory, query, window)
    else:
        values = influence_scores(trajectory, query, window, history="window").values
    return values.astype(np.float32)


class EpochInfluence:
    """Influence of each epoch, averaged over the runs that train on each sample.

    Epochs that were not measured during training are replayed when asked for, once.

    Parameters
    ----------
    results : list of FoldResult
        Runs with their data.
    make_query : callable
        ``make_query(fold)`` -> the query of a fold's run.
    each_label : bool
        Whether influence is asked for each label.
    """

    def __init__(
        self,
        results: list[FoldResult],
        make_query: Callable[[Fold], Query],
        *,
        each_label: bool,
    ):
        self.results, self.make_query = results, make_query
        self.each_label = each_label
        self._values: dict[int, np.ndarray] = {}

    def at(self, epochs: Iterable[int]) -> np.ndarray:
        """Return influence, (n_queries, n_samples, n_epochs[, n_classes])."""
        return np.stack([self._measured(epoch) for epoch in epochs], axis=2)

    def _measured(self, epoch: int) -> np.ndarray:
        if epoch not in self._values:
            reached = [r for r in self.results if r.run.n_epochs > epoch]
            parts = [self._of_run(result, epoch) for result in reached]
            self._values[epoch] = average_over_runs(reached, parts)
        return self._values[epoch]

    def _of_run(self, result: FoldResult, epoch: int) -> np.ndarray:
        if epoch in result.influence:
            return result.influence[epoch]
        return epoch_influence(
            result.run.trajectory,
            self.make_query(result.fold),
            epoch,
            each_label=self.each_label,
        )


def average_over_runs(
    results: list[FoldResult],
    parts: list[np.ndarray],
    reached: list[np.ndarray] | None = None,
) -> np.ndarray:
    """Return the mean over the runs that train on each sample.

    Parameters
    ----------
    results : list of FoldResult
        The runs.
    parts : list of ndarray of shape (n_queries, n_train, ...)
        A value for each trained sample of each run.
    reached : list of ndarray of bool, shape (n_windows,), optional
        For parts (n_queries, n_train, n_windows): the windows that each run reached
        before it stopped; the others do not count.

    Returns
    -------
    mean : ndarray of shape (n_queries, n_samples, ...)
        0 where no run counts.
    """
    n_samples, rest = len(results[0].outputs), parts[0].shape[2:]
    total = np.zeros((len(parts[0]), n_samples, *rest), dtype=parts[0].dtype)
    windows = (1,) * len(rest) if reached is None else rest
    count = np.zeros((n_samples, *windows), dtype=parts[0].dtype)
    for i, (result, part) in enumerate(zip(results, parts, strict=True)):
        counts = 1 if reached is None else reached[i]
        total[:, result.fold.train] += part * counts
        count[result.fold.train] += counts
    return total / np.maximum(count, 1)
