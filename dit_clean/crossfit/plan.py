"""Training all folds under tracking, in parallel, with progress."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import joblib
import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from tqdm.auto import tqdm

from dit_clean.crossfit.cache import kept_run, run_key
from dit_clean.crossfit.data import QueryMaker, TrainingData
from dit_clean.crossfit.epochs import scheduled_epochs
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.recorded import RecordedRuns
from dit_clean.crossfit.result import CrossFitResult, FoldResult, FoldRun
from dit_clean.crossfit.watcher import EpochWatcher
from dit_clean.run import fit_tracked
from dit_clean.tracking import StateStore
from dit_clean.tracking.exclusive import fixed_threads
from dit_clean.tracking.rows import Rows, subset_rows


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

    def run(
        self,
        data: TrainingData,
        folds: list[Fold],
        *,
        memory: joblib.Memory | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> tuple[Measurements, RecordedRuns]:
        """Train all folds, in parallel with `n_jobs`, then one network on all rows.

        With `memory`, what a run of the same plan on the same data, folds and seeds has
        shown is taken from there, and its recorded runs if they are asked for.
        """
        X, y, weight = data.rows, data.targets.encoded, data.sample_weight
        train = partial(self.train, X, y, folds, weight, n_jobs, verbose)
        if memory is None:
            trained = train()
            runs = [result.recorded for result in trained.folds]
            return self.measure(trained), RecordedRuns(lambda: runs, data)
        key = run_key(self, data, folds)
        measurements, load = kept_run(memory, key, train, self.measure)
        return measurements, RecordedRuns(load, data, key)

    def measure(self, trained: CrossFitResult) -> Measurements:
        """Return what the networks have shown, averaged."""
        return Measurements.of(trained, is_classifier=self.is_classifier)

    def train(
        self,
        X: Rows,
        y: torch.Tensor,
        folds: list[Fold],
        sample_weight: np.ndarray | None,
        n_jobs: int | None,
        verbose: int,
    ) -> CrossFitResult:
        """Return the results of all networks, without the data.

        The one on all rows comes last: it trains as long as the longest of the others,
        which callbacks may have stopped early.
        """
        n_epochs = self.net.max_epochs
        total = (len(folds) + 1) * n_epochs
        with tqdm(total=total, unit="epoch", disable=not verbose) as bar:
            train = partial(self.run_fold, X, y, sample_weight)
            if joblib.effective_n_jobs(n_jobs) > 1 and len(folds) > 1:
                results = _in_parallel(train, folds, n_jobs, n_epochs, bar)
            else:
                results = _in_turn(train, folds, bar)
            bar.set_postfix_str("training on all rows")
            n_epochs = max(result.n_epochs for result in results)
            net = clone(self.net).set_params(max_epochs=n_epochs)
            train = partial(replace(self, net=net).run_fold, X, y, sample_weight)
            whole = train(Fold.of_all_rows(folds), bar.update)
        return CrossFitResult(results, whole)

    def run_fold(
        self,
        X: Rows,
        y: torch.Tensor,
        sample_weight: np.ndarray | None,
        fold: Fold,
        on_epoch: Callable[[], object] | None = None,
    ) -> FoldResult:
        """Train one fold; the result leaves out the data, to be light to send.

        Influence is asked, and states are kept for later questions, where there are
        held-out rows to ask about.
        """
        asks = fold.holds_out
        validation = self.make_query.validation if asks else None
        keep_all = asks and self.storage == "all"
        watcher = EpochWatcher(
            X,
            self.make_query(fold) if asks else None,
            is_classifier=self.is_classifier,
            epochs=scheduled_epochs(self.net.max_epochs) if asks else (),
            keep_all=keep_all,
            clean=None if validation is None else validation[0],
            on_epoch=on_epoch,
        )
        weight = None if sample_weight is None else sample_weight[fold.train]
        rows = torch.as_tensor(fold.train)
        begin = time.perf_counter()
        with fixed_threads(self.n_threads):
            run = fit_tracked(
                self._net_of_fold(X, y, fold),
                subset_rows(X, rows),
                y[rows],
                store=StateStore(self.max_bytes),
                seed=fold.seed,
                sample_weight=weight,
                after_epoch=watcher,
                epochs=None if keep_all else watcher.epochs,
            )
        if self.storage == "none" or not asks:
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

        skorch's own split would keep rows from every network. Nets without callbacks
        need no validation. Where nothing is held out, callbacks see the trained rows.
        """
        if not self.net.train_split:
            return self.net
        if not self.net.callbacks or self.net.callbacks == "disable":
            return clone(self.net).set_params(train_split=None)
        rows = torch.as_tensor(fold.held_out if fold.holds_out else fold.train)
        validation = Dataset(subset_rows(X, rows), y[rows])
        return clone(self.net).set_params(train_split=predefined_split(validation))


def _in_turn(
    train: Callable[..., FoldResult], folds: list[Fold], bar: tqdm
) -> list[FoldResult]:
    results = []
    for number, fold in enumerate(folds, start=1):
        bar.set_postfix_str(f"training and reverse pass, fold {number}")
        results.append(train(fold, bar.update))
    return results


def _in_parallel(
    train: Callable[..., FoldResult],
    folds: list[Fold],
    n_jobs: int | None,
    n_epochs: int,
    bar: tqdm,
) -> list[FoldResult]:
    # Processes whatever the surrounding backend: torch's random numbers are global, so
    # that threads would draw each other's.
    parallel = joblib.Parallel(n_jobs, backend="loky", return_as="generator")
    bar.set_postfix_str("training and reverse pass, folds in parallel")
    results = []
    for result in parallel(joblib.delayed(train)(fold) for fold in folds):
        bar.update(n_epochs)
        results.append(result)
    return results
