"""Influence epoch by epoch: measured during training, or when first asked for."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from tqdm.auto import tqdm

from dit_clean.crossfit.measurements import average_over_folds
from dit_clean.crossfit.recorded import RecordedRuns
from dit_clean.crossfit.result import FoldRun
from dit_clean.influence import Window, influence_scores, label_influence
from dit_clean.influence.queries import Query
from dit_clean.tracking import Trajectory

N_SCHEDULED = 6
"""Epochs whose influence is measured during training, at most."""


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


def epoch_influence(
    trajectory: Trajectory, query: Query, epoch: int, *, each_label: bool
) -> np.ndarray:
    """Return the influence of an epoch on a query at the epoch's end.

    With sample weights: per unit of weight, because a sample that hardly counts in
    training would otherwise look right. Without `each_label`, samples of weight 0 get
    0.

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
        weight = trajectory.model.sample_weight
        if weight is not None:
            values = values / np.where(weight > 0, weight, 1)
    return values.astype(np.float32)


class EpochInfluence:
    """Influence of each epoch, averaged over the networks that train on each sample.

    Per unit of sample weight, see `epoch_influence`.

    Epochs that were not measured during training are replayed when asked for, once.

    Parameters
    ----------
    measured : dict of int to ndarray of shape (n_queries, n_samples[, n_classes])
        Influence by epoch, as far as known.
    runs : RecordedRuns
        To replay the others.
    n_epochs : int
        Epochs that networks were to train for; some may have stopped earlier.
    """

    def __init__(
        self, measured: Mapping[int, np.ndarray], runs: RecordedRuns, n_epochs: int
    ):
        self.runs, self.n_epochs = runs, n_epochs
        self._values = dict(measured)

    def epochs_for(self, window: Window) -> list[int]:
        """Return the epochs whose influence stands for a window: never none.

        Of those whose influence is measured during training.
        """
        inside = [epoch for epoch in scheduled_epochs(self.n_epochs) if epoch in window]
        return inside or [window.stop - 1]

    def measure(self, epochs: Iterable[int], *, verbose: int = 0) -> None:
        """Replay those epochs that are not known yet."""
        new = [epoch for epoch in epochs if epoch not in self._values]
        if not new:
            return
        total = sum(len(self._reached(epoch)) for epoch in new)
        with tqdm(desc="replay", total=total, unit="epoch", disable=not verbose) as bar:
            for epoch in new:
                self._values[epoch] = self._replayed(epoch, bar.update)

    def at(self, epochs: Iterable[int], *, verbose: int = 0) -> np.ndarray:
        """Return influence, (n_queries, n_samples, n_epochs[, n_classes])."""
        epochs = list(epochs)
        self.measure(epochs, verbose=verbose)
        return np.stack([self._values[epoch] for epoch in epochs], axis=2)

    def _reached(self, epoch: int) -> list[FoldRun]:
        return [run for run in self.runs.ready if run.run.n_epochs > epoch]

    def _replayed(self, epoch: int, on_network: Callable[[], object]) -> np.ndarray:
        data, reached, parts = self.runs.data, self._reached(epoch), []
        for recorded in reached:
            parts.append(
                epoch_influence(
                    recorded.run.trajectory,
                    data.for_networks.query(recorded.fold),
                    epoch,
                    each_label=data.targets.is_classifier,
                )
            )
            on_network()
        return average_over_folds([recorded.fold for recorded in reached], parts)
