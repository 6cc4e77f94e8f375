"""Training the networks of a cross-fit under tracking, in parallel, with progress."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial

import joblib
import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from tqdm.auto import tqdm

from dit_clean.crossfit.cache import KeptNetworks, kept_run
from dit_clean.crossfit.data import NetworkData, TrainingData
from dit_clean.crossfit.epochs import scheduled_epochs
from dit_clean.crossfit.fingerprint import fingerprint, parameter_order
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.hashing import hash_of
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.prototype import can_be_kept, network_dtype
from dit_clean.crossfit.recorded import RecordedRuns
from dit_clean.crossfit.result import FoldResult, FoldRun, extended
from dit_clean.crossfit.watcher import EpochWatcher
from dit_clean.influence.batch_norm import unfollowed_buffers
from dit_clean.runs.track import fit_tracked
from dit_clean.tracking import StateStore
from dit_clean.tracking.exclusive import TorchSettings
from dit_clean.tracking.rows import cast_floats, cast_targets, skorch_rows, subset_rows
from dit_clean.tracking.trajectory import FORMAT
from dit_clean.versions import library_versions


@dataclass(frozen=True)
class CrossFit:
    """How to train and watch each fold.

    Attributes
    ----------
    net : NeuralNet
        Prototype; every fold trains a clone.
    storage : {"auto", "all", "none"}
        States kept: those at the start of each epoch, all, or none after training.
    max_bytes : int
        Bound on the memory of the states kept by each fold.
    settings : TorchSettings
        In force in each fold, whatever process trains it, so that the results have the
        same bits.
    memory : joblib.Memory
        Where runs are kept; one without a location keeps nothing.
    n_jobs : int or None, default=None
        Networks trained at the same time.
    verbose : int, default=0
        1 shows progress.
    """

    net: NeuralNet
    storage: str
    max_bytes: int
    settings: TorchSettings
    memory: joblib.Memory
    n_jobs: int | None = None
    verbose: int = 0

    @property
    def has_callbacks(self) -> bool:
        """Whether the net brings callbacks of its own."""
        return bool(self.net.callbacks) and self.net.callbacks != "disable"

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision that the net computes in."""
        return network_dtype(self.net)

    def run(
        self, data: TrainingData, folds: list[Fold]
    ) -> tuple[Measurements, RecordedRuns]:
        """Train a network on all rows and one for each fold, in parallel with `n_jobs`.

        What networks of the same plan on the same data, folds and seeds have shown is
        taken from `memory`, if it has a location, and their recorded runs if they are
        asked for.
        """
        keeps = self.memory.store_backend is not None
        key = self.key(data, folds) if keeps else None
        is_classifier = data.targets.is_classifier
        measure = partial(
            Measurements.of, n_folds=len(folds), is_classifier=is_classifier
        )

        def train() -> Generator[FoldResult]:
            keeps_nets = keeps and can_be_kept(self.net)
            kept = KeptNetworks(self.memory if keeps_nets else joblib.Memory(None), key)
            yield from self.train(data.for_networks, folds, kept)

        measurements, load = kept_run(self.memory, key, train, measure)
        return measurements, RecordedRuns(load, data, key)

    def key(self, data: TrainingData, folds: list[Fold]) -> str:
        """Return the key of everything that a run depends on.

        Data, network with its parameters and code, query, folds, seeds, weights,
        storage, settings of torch and the versions of the libraries; not what the run
        is used for.

        Raises
        ------
        ValueError
            If the network cannot be kept: names the class or function, and the remedy.
        """
        arrays = (data.rows, data.targets.encoded, data.sample_weight, data.validation)
        return hash_of(
            (
                arrays,
                folds,
                fingerprint(self.net),
                parameter_order(self.net),
                self.net,
                (data.targets.is_classifier, self.storage, self.max_bytes),
                self.settings,
                (FORMAT, library_versions()),
            ),
            hash_name="sha1",  # faster than joblib's default where the CPU knows it
        )

    def train(
        self, data: NetworkData, folds: list[Fold], kept: KeptNetworks
    ) -> Generator[FoldResult]:
        """Yield the results of all networks, without the data.

        The network on all rows comes first, with outputs for each epoch that counts;
        then the folds, in their order. Callbacks may stop a network early by its
        held-out rows, and the one on all rows has none: it trains as long as most of
        the others, after them. Only epochs that at least two folds have reached count:
        beyond them one network is left, and none has trained on the rows it holds out.
        Without callbacks the network on all rows is trained first, since it takes
        longest, and each result is released when the next one is requested.
        """
        everything, n_epochs = Fold.of_all_rows(folds), self.net.max_epochs
        bar = tqdm(
            desc="training and reverse pass",
            total=(len(folds) + 1) * n_epochs,
            unit="epoch",
            disable=not self.verbose,
        )
        run_all = partial(self._run_all, data, kept, bar)
        with bar:
            if not self.has_callbacks:
                yield from run_all([everything, *folds], n_epochs)
                return
            results = list(run_all(folds, n_epochs))
            counts = [result.n_epochs for result in results]
            (whole,) = run_all([everything], round(np.median(counts)))
            outputs = extended(whole.outputs, sorted(counts)[-2])
            results.insert(0, replace(whole, outputs=outputs))
            del whole, outputs
            while results:
                yield results.pop(0)

    def run_fold(
        self,
        data: NetworkData,
        fold: Fold,
        n_epochs: int,
        on_epoch: Callable[[], object] | None = None,
    ) -> FoldResult:
        """Train one fold for so many epochs at most.

        The result leaves out the data, to be light to send. Where nothing is held out
        there is no influence to ask about, now or later.
        """
        X, y, validation = data.X, data.targets.encoded, data.validation
        storage = self.storage if fold.holds_out else "none"
        watcher = EpochWatcher(
            X,
            data.query(fold),
            is_classifier=data.targets.is_classifier,
            epochs=scheduled_epochs(n_epochs) if fold.holds_out else (),
            keep_all=storage == "all",
            clean=validation[0] if validation and fold.holds_out else None,
            on_epoch=on_epoch,
        )
        weight = data.sample_weight
        rows = torch.as_tensor(fold.train)
        begin = time.perf_counter()
        with self.settings.in_force():
            run = fit_tracked(
                self._net_of_fold(data, fold).set_params(max_epochs=n_epochs),
                subset_rows(X, rows),
                y[rows],
                store=StateStore(self.max_bytes),
                seed=fold.seed,
                sample_weight=None if weight is None else weight[fold.train],
                after_epoch=watcher,
                epochs=None if storage == "all" else watcher.epochs,
            )
            unfollowed = unfollowed_buffers(run.trajectory)
        if storage == "none":
            run.trajectory.store.keep_only(lambda t: False)
        total = time.perf_counter() - begin
        seconds = {"training": total - watcher.seconds, "influence": watcher.seconds}
        return FoldResult(
            FoldRun(fold, run).without_data(),
            watcher.outputs,
            watcher.influence,
            seconds,
            watcher.clean_outputs,
            np.delete(fold.train, run.trajectory.seen_samples),
            unfollowed,
        )

    def _net_of_fold(self, data: NetworkData, fold: Fold) -> NeuralNet:
        """Return the net with the held-out fold as skorch's validation set.

        Whatever its own split, which would keep rows from every network. Nets without
        callbacks need no validation. Where nothing is held out, callbacks see the
        trained rows.
        """
        if not self.has_callbacks:
            return clone(self.net).set_params(train_split=None)
        rows = torch.as_tensor(fold.held_out if fold.holds_out else fold.train)
        held_out = cast_floats(subset_rows(data.X, rows), self.dtype)
        y = cast_targets(data.targets.encoded[rows], self.dtype)
        validation = Dataset(skorch_rows(held_out), y)
        return clone(self.net).set_params(train_split=predefined_split(validation))

    def _run_all(
        self,
        data: NetworkData,
        kept: KeptNetworks,
        bar: tqdm,
        folds: list[Fold],
        n_epochs: int,
    ) -> Iterator[FoldResult]:
        """Yield the results of all folds, in their order; the bar counts epochs."""
        run = partial(self.run_fold, data)
        missing = [n for n, fold in enumerate(folds) if not kept.holds(fold, n_epochs)]
        early: dict[int, FoldResult] = {}
        with closing(self._trained(run, bar, folds, n_epochs, missing)) as trained:
            for number, fold in enumerate(folds):
                if number not in missing:
                    again = partial(run, fold, n_epochs)
                    early[number] = kept.get(fold, n_epochs, again)
                    bar.update(early[number].n_epochs)
                while number not in early:
                    done, result = next(trained)
                    # Kept as soon as it is there, whether it is its turn or not.
                    early[done] = kept.put(folds[done], n_epochs, result)
                    del result
                yield early.pop(number)

    def _trained(
        self,
        run: Callable[..., FoldResult],
        bar: tqdm,
        folds: list[Fold],
        n_epochs: int,
        missing: list[int],
    ) -> Generator[tuple[int, FoldResult]]:
        """Yield numbers and results of missing folds, in the order they are done."""
        if joblib.effective_n_jobs(self.n_jobs) == 1 or len(folds) == 1:
            for n in missing:
                yield n, run(folds[n], n_epochs, bar.update)
            return
        if not missing:
            return
        # Processes whatever the surrounding backend: torch's random numbers are global,
        # so that threads would draw each other's.
        parallel = joblib.Parallel(
            self.n_jobs, backend="loky", return_as="generator_unordered"
        )
        tasks = (joblib.delayed(_numbered)(n, run, folds[n], n_epochs) for n in missing)
        with closing(parallel(tasks)) as trained:  # an interrupt stops the workers
            for n, result in trained:
                bar.update(result.n_epochs)
                yield n, result
                del result


def _numbered(
    number: int, run: Callable[..., FoldResult], fold: Fold, n_epochs: int
) -> tuple[int, FoldResult]:
    return number, run(fold, n_epochs)
