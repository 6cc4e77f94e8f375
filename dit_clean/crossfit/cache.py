"""Keeping what a tracked run has shown, and the run, for the next fit on the data."""

import io
import pickle
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import FunctionType
from typing import TYPE_CHECKING, Any

import joblib

from dit_clean.crossfit.data import TrainingData
from dit_clean.crossfit.fingerprint import fingerprint, parameter_order
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.hashing import hash_of
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.result import FoldResult, FoldRun
from dit_clean.detection import (
    Judgement,
    LabelEvidence,
    TargetEvidence,
    held_out_signal,
)
from dit_clean.influence import Window
from dit_clean.tracking.trajectory import FORMAT
from dit_clean.versions import library_versions

if TYPE_CHECKING:
    from dit_clean.crossfit.plan import CrossFit

Train = Callable[[], Generator[FoldResult]]
Measure = Callable[[Iterator[FoldResult]], Measurements]
Judge = Callable[[], Judgement]
MAX_PIECE = 64 * 2**20
"""Bytes of what is kept up to which it is stored in one piece."""


def run_key(plan: "CrossFit", data: TrainingData, folds: list[Fold]) -> str:
    """Return the key of everything that a run depends on.

    Data, network with its parameters and code, query, folds, seeds, weights, storage
    and the versions of the libraries; not what the run is used for.

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
            fingerprint(plan.net),
            parameter_order(plan.net),
            plan.net,
            (plan.is_classifier, plan.storage, plan.max_bytes, plan.n_threads),
            (FORMAT, library_versions()),
        ),
        hash_name="sha1",  # faster than joblib's default where the CPU knows it
    )


def kept_run(
    memory: joblib.Memory, key: str | None, train: Train, measure: Measure
) -> tuple[Measurements, Callable[[], list[FoldRun]]]:
    """Return the measurements of a run, and how to load its recorded runs.

    Measurements are kept apart, since decisions need no more. Trains only if `memory`
    does not hold them; `train` itself takes from there what `KeptNetworks` hold.
    """
    measured = memory.cache(_measured, ignore=["train", "measure"])
    trained: list[FoldRun] = []

    def train_now() -> Generator[FoldResult]:
        with closing(train()) as results:
            for result in results:
                if result.fold.holds_out:
                    trained.append(result.recorded)
                yield result
                del result  # its outputs are large

    measurements = measured(key, train_now, measure).value

    def load() -> list[FoldRun]:
        return trained or [r.recorded for r in train() if r.fold.holds_out]

    return measurements, load


def _measured(key: str | None, train: Train, measure: Measure) -> "_Packed":
    with closing(train()) as results:  # an interrupt stops the workers
        measured = measure(results)
    arrays = [measured.in_sample, measured.held_out, *measured.influence.values()]
    arrays += [] if measured.clean is None else [measured.clean]
    return _Packed(measured, sum(array.nbytes for array in arrays))


class KeptNetworks:
    """Results of single networks: an interrupt loses those in training alone.

    Asked and written by the process that the cleaner is in: another one may have the
    user's classes under other names.

    Parameters
    ----------
    memory : joblib.Memory
        Where they are kept; one without a location keeps nothing.
    key : str or None
        Of the whole run, None where nothing is kept.
    """

    def __init__(self, memory: joblib.Memory, key: str | None):
        self.kept, self.key = memory.cache(_network, ignore=["train"]), key

    def holds(self, fold: Fold, n_epochs: int) -> bool:
        """Tell whether there is a result; the seed tells folds apart."""
        return self.kept.check_call_in_cache(self.key, fold.seed, n_epochs, None)

    def get(
        self, fold: Fold, n_epochs: int, train: Callable[[], FoldResult]
    ) -> FoldResult:
        """Return the result of ``train()``, which is called only if it is not kept."""
        return self.kept(self.key, fold.seed, n_epochs, train).value

    def put(self, fold: Fold, n_epochs: int, result: FoldResult) -> FoldResult:
        """Keep a result that has just been made, and return it."""
        return self.get(fold, n_epochs, lambda: result)


def _network(
    key: str | None, seed: int, n_epochs: int, train: Callable[[], FoldResult]
) -> "_Packed":
    result = train()
    outputs = [*result.outputs, *result.clean_outputs]
    nbytes = sum(output.nbytes for output in outputs)
    return _Packed(result, result.recorded.run.trajectory.store.nbytes + nbytes)


class _Packed:
    """A value that is pickled in one piece, if that is small.

    joblib writes and reads the parts of a value one by one, in Python: slow where they
    are thousands of small ones. One piece takes the memory twice meanwhile.
    """

    def __init__(self, value: Any, nbytes: int):
        self.value, self.nbytes = value, nbytes

    def __getstate__(self) -> dict[str, Any] | bytes:
        if self.nbytes > MAX_PIECE:
            return vars(self)
        written = io.BytesIO()
        _ByName(written, pickle.HIGHEST_PROTOCOL).dump(vars(self))
        return written.getvalue()

    def __setstate__(self, state: dict[str, Any] | bytes) -> None:
        vars(self).update(pickle.loads(state) if isinstance(state, bytes) else state)


class _ByName(pickle.Pickler):
    """Pickles a function that a worker has sent back as the script's own, by name.

    It is a copy, since a worker does not have the script, and pickle refuses copies.
    """

    def reducer_override(self, value: Any) -> Any:
        """Return how to find the original of a copy; leave all else as it is."""
        if isinstance(value, FunctionType):
            where = value.__module__, value.__qualname__
            own = _find(*where)
            is_copied = isinstance(own, FunctionType) and own is not value
            if is_copied and own.__code__ == value.__code__:
                return _find, where
        return NotImplemented


def _find(module: str, name: str) -> Any:
    """Return what a module has under a name, None if it has nothing."""
    return getattr(sys.modules.get(module), name, None)


def kept_judgement(
    memory: joblib.Memory, key: str | None, window: Window, scoring: str, judge: Judge
) -> Judgement:
    """Return what a run's evidence says of each sample: judges it only once.

    Candidates of a search that differ in `contamination` alone share it.
    """
    return memory.cache(_judged, ignore=["judge"])(key, window, scoring, judge)


def _judged(key: str | None, window: Window, scoring: str, judge: Judge) -> Judgement:
    return judge()


def kept_signal(
    memory: joblib.Memory, key: str | None, evidence: LabelEvidence | TargetEvidence
) -> float:
    """Return how well a run predicts held-out labels or targets: tests it only once."""
    return memory.cache(_signal, ignore=["evidence"])(key, evidence)


def _signal(key: str | None, evidence: LabelEvidence | TargetEvidence) -> float:
    return held_out_signal(evidence)
