"""Training all folds under tracking, in parallel, with progress."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import joblib
import numpy as np
import torch
from skorch import NeuralNet
from tqdm.auto import tqdm

from dit_clean.crossfit.fold import Fold, FoldResult
from dit_clean.crossfit.watcher import EpochWatcher
from dit_clean.influence.queries import Query
from dit_clean.run import fit_tracked
from dit_clean.tracking import StateStore
from dit_clean.tracking.rows import Rows, subset_rows


@dataclass(frozen=True)
class CrossFit:
    """How to train and watch each fold.

    Attributes
    ----------
    net : NeuralNet
        Prototype; every fold trains a clone.
    make_query : callable
        ``make_query(fold)`` -> query that influence is measured on.
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
    make_query: Callable[[Fold], Query]
    is_classifier: bool
    storage: str
    max_bytes: int
    n_threads: int

    def run(
        self,
        X: Rows,
        y: torch.Tensor,
        folds: list[Fold],
        *,
        sample_weight: np.ndarray | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> list[FoldResult]:
        """Train all folds, in parallel with `n_jobs`, and show progress."""
        n_workers = joblib.effective_n_jobs(n_jobs)
        if n_workers == 1 or len(folds) == 1:
            with progress_bar(len(folds) * self.net.max_epochs, "epoch", verbose) as on:
                return [self.run_fold(X, y, fold, sample_weight, on) for fold in folds]
        parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator")
        jobs = (
            joblib.delayed(self.run_fold)(X, y, fold, sample_weight) for fold in folds
        )
        results = []
        with progress_bar(len(folds), "fold", verbose) as on:
            for result in parallel(jobs):
                results.append(result.with_data(X, y, sample_weight))
                on("folds trained and scored")
        return results

    def run_fold(
        self,
        X: Rows,
        y: torch.Tensor,
        fold: Fold,
        sample_weight: np.ndarray | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> FoldResult:
        """Train one fold; without `on_progress`, for a worker: leave out the data."""
        watcher = EpochWatcher(
            X,
            self.make_query(fold),
            is_classifier=self.is_classifier,
            keep_all=self.storage == "all",
            on_progress=on_progress,
        )
        weight = None if sample_weight is None else sample_weight[fold.train]
        rows = torch.as_tensor(fold.train)
        begin = time.perf_counter()
        with fixed_threads(self.n_threads):
            run = fit_tracked(
                self.net,
                subset_rows(X, rows),
                y[rows],
                store=StateStore(self.max_bytes),
                seed=fold.seed,
                sample_weight=weight,
                after_epoch=watcher,
            )
        if self.storage == "none":
            run.trajectory.store.keep_only(lambda t: False)
        total = time.perf_counter() - begin
        seconds = {"training": total - watcher.seconds, "influence": watcher.seconds}
        result = FoldResult(
            fold, run, watcher.stacked_outputs(), watcher.stacked_influence(), seconds
        )
        return result if on_progress is not None else result.without_data()


@contextmanager
def fixed_threads(n_threads: int) -> Iterator[None]:
    """Run torch with so many threads inside, and as before after."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def progress_bar(
    total: int, unit: str, verbose: int
) -> Iterator[Callable[[str], None]]:
    """Show a bar in terminal or notebook; yields the call that moves it by one."""
    with tqdm(total=total, unit=unit, disable=not verbose) as bar:

        def move(message: str) -> None:
            bar.set_postfix_str(message, refresh=False)
            bar.update()

        yield move
