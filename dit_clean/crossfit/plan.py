"""Training the networks of a cross-fit under tracking, in parallel, with progress."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import joblib
import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from tqdm.auto import tqdm

from dit_clean.crossfit.cache import KeptNetworks, kept_run, run_key
from dit_clean.crossfit.data import QueryMaker, TrainingData
from dit_clean.crossfit.epochs import scheduled_epochs
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.recorded import RecordedRuns
from dit_clean.crossfit.result import CrossFitResult, FoldResult, FoldRun
from dit_clean.crossfit.watcher import EpochWatcher
from dit_clean.prototype import can_be_kept
from dit_clean.run import fit_tracked
from dit_clean.tracking import StateStore
from dit_clean.tracking.exclusive import borrowed_generators, fixed_threads
from dit_clean.tracking.networks import cuda_devices
from dit_clean.tracking.rows import Rows, cast_floats, subset_rows


@dataclass(frozen=True)
class CrossFit:
    """How to train and watch each fold.

    Attributes
    ----------
    net : NeuralNet
        Prototype; every fold trains a clone.
    make_query : QueryMaker
        Gives each fold the query that influence is measured on.
    is_classifier : bool
        Whether outputs are class scores.
    storage : {"auto", "all", "none"}
        States kept: those at the start of each epoch, all, or none after training.
    max_bytes : int
        Bound on the memory of the states kept by each fold.
    n_threads : int
        Torch's threads in each fold, whatever the number of workers, so that the
        results have the same bits.
    """

    net: NeuralNet
    make_query: QueryMaker
    is_classifier: bool
    storage: str
    max_bytes: int
    n_threads: int

    @property
    def has_callbacks(self) -> bool:
        """Whether the net brings callbacks of its own."""
        return bool(self.net.callbacks) and self.net.callbacks != "disable"

    def run(
        self,
        data: TrainingData,
        folds: list[Fold],
        *,
        memory: joblib.Memory | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> tuple[Measurements, RecordedRuns]:
        """Train a network on all rows and one for each fold, in parallel with `n_jobs`.

        With `memory`, what networks of the same plan on the same data, folds and seeds
        have shown is taken from there, and their recorded runs if they are asked for.
        """
        train = partial(self.train, data, folds, n_jobs, verbose)
        if memory is None:
            trained = train(KeptNetworks(joblib.Memory(None), ""))
            runs = [result.recorded for result in trained.folds]
            return self.measure(trained), RecordedRuns(lambda: runs, data)
        key = run_key(self, data, folds)

        def train_and_keep() -> CrossFitResult:
            networks = memory if can_be_kept(self.net) else joblib.Memory(None)
            return train(KeptNetworks(networks, key))

        measurements, load = kept_run(memory, key, train_and_keep, self.measure)
        return measurements, RecordedRuns(load, data, key)

    def measure(self, trained: CrossFitResult) -> Measurements:
        """Return what the networks have shown, averaged."""
        return Measurements.of(trained, is_classifier=self.is_classifier)

    def train(
        self,
        data: TrainingData,
        folds: list[Fold],
        n_jobs: int | None,
        verbose: int,
        kept: KeptNetworks,
    ) -> CrossFitResult:
        """Return the results of all networks, without the data.

        Callbacks may stop a network early by its held-out rows, and the one on all rows
        has none: it trains as long as most of the others, after them. Without callbacks
        it comes first, since it takes longest.
        """
        everything, n_epochs = Fold.of_all_rows(folds), self.net.max_epochs
        bar = tqdm(
            desc="training and reverse pass",
            total=(len(folds) + 1) * n_epochs,
            unit="epoch",
            disable=not verbose,
        )
        rows = data.rows, data.targets.encoded, data.sample_weight
        run_all = partial(_run_all, partial(self.run_fold, *rows), kept, n_jobs, bar)
        with bar:
            if not self.has_callbacks:
                whole, *results = run_all([everything, *folds], n_epochs)
                return CrossFitResult(results, whole)
            results = run_all(folds, n_epochs)
            n_epochs = round(np.median([result.n_epochs for result in results]))
            return CrossFitResult(results, *run_all([everything], n_epochs))

    def run_fold(
        self,
        X: Rows,
        y: torch.Tensor,
        sample_weight: np.ndarray | None,
        fold: Fold,
        n_epochs: int,
        on_epoch: Callable[[], object] | None = None,
    ) -> FoldResult:
        """Train one fold for so many epochs at most.

        The result leaves out the data, to be light to send. Where nothing is held out
        there is no influence to ask about, now or later.
        """
        validation = self.make_query.validation
        storage = self.storage if fold.holds_out else "none"
        watcher = EpochWatcher(
            X,
            self.make_query(fold),
            is_classifier=self.is_classifier,
            epochs=scheduled_epochs(n_epochs) if fold.holds_out else (),
            keep_all=storage == "all",
            clean=None if validation is None else validation[0],
            on_epoch=on_epoch,
        )
        weight = None if sample_weight is None else sample_weight[fold.train]
        rows = torch.as_tensor(fold.train)
        begin = time.perf_counter()
        with fixed_threads(self.n_threads):
            run = fit_tracked(
                self._net_of_fold(X, y, fold).set_params(max_epochs=n_epochs),
                subset_rows(X, rows),
                y[rows],
                store=StateStore(self.max_bytes),
                seed=fold.seed,
                sample_weight=weight,
                after_epoch=watcher,
                epochs=None if storage == "all" else watcher.epochs,
            )
        if storage == "none":
            run.trajectory.store.keep_only(lambda t: False)
        total = time.perf_counter() - begin
        seconds = {"training": total - watcher.seconds, "influence": watcher.seconds}
        return FoldResult(
            FoldRun(fold, run).without_data(),
            np.stack(watcher.outputs, axis=1),
            watcher.influence,
            seconds,
            np.stack(watcher.clean_outputs, axis=1) if validation else None,
        )

    def _net_of_fold(self, X: Rows, y: torch.Tensor, fold: Fold) -> NeuralNet:
        """Return the net with the held-out fold as skorch's validation set.

        Whatever its own split, which would keep rows from every network. Nets without
        callbacks need no validation. Where nothing is held out, callbacks see the
        trained rows.
        """
        if not self.has_callbacks:
            return clone(self.net).set_params(train_split=None)
        rows = torch.as_tensor(fold.held_out if fold.holds_out else fold.train)
        with borrowed_generators(cuda_devices(self.net)):
            dtype = next(clone(self.net).initialize().module_.parameters()).dtype
        held_out = cast_floats(subset_rows(X, rows), dtype)
        validation = Dataset(held_out, y[rows])
        return clone(self.net).set_params(train_split=predefined_split(validation))


def _run_all(
    run: Callable[..., FoldResult],
    kept: KeptNetworks,
    n_jobs: int | None,
    bar: tqdm,
    folds: list[Fold],
    n_epochs: int,
) -> list[FoldResult]:
    """Return the results of all folds, in their order; the bar counts their epochs."""
    if joblib.effective_n_jobs(n_jobs) == 1 or len(folds) == 1:
        return [
            kept.get(fold, n_epochs, partial(run, fold, n_epochs, bar.update))
            for fold in folds
        ]
    results: dict[int, FoldResult] = {}

    def take(number: int, train: Callable[[], FoldResult]) -> None:
        results[number] = kept.get(folds[number], n_epochs, train)
        bar.update(results[number].n_epochs)

    missing = [n for n, fold in enumerate(folds) if not kept.holds(fold, n_epochs)]
    if missing:
        # Processes whatever the surrounding backend: torch's random numbers are global,
        # so that threads would draw each other's.
        parallel = joblib.Parallel(
            n_jobs, backend="loky", return_as="generator_unordered"
        )
        tasks = (joblib.delayed(_numbered)(n, run, folds[n], n_epochs) for n in missing)
        with closing(parallel(tasks)) as trained:  # an interrupt stops the workers
            for number, result in trained:
                take(number, partial(_same, result))  # kept as soon as it is there
    for number, fold in enumerate(folds):
        if number not in results:
            take(number, partial(run, fold, n_epochs))
    return [results[number] for number in range(len(folds))]


def _numbered(
    number: int, run: Callable[..., FoldResult], fold: Fold, n_epochs: int
) -> tuple[int, FoldResult]:
    return number, run(fold, n_epochs)


def _same(result: FoldResult) -> FoldResult:
    return result
