"""Keeping what a tracked run has shown, and the run, for the next fit on the data."""

import io
import pickle
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import FunctionType
from typing import Any, TypeVar

import joblib

from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.result import FoldResult, FoldRun
from dit_clean.memory import as_memory

Train = Callable[[], Generator[FoldResult]]
Measure = Callable[[Iterator[FoldResult]], Measurements]
Value = TypeVar("Value")
MAX_PIECE = 64 * 2**20
"""Bytes of what is kept up to which it is stored in one piece."""


def kept(memory: Any, key: str | None, part: Any, make: Callable[[], Value]) -> Value:
    """Return a part of a run from `memory`; make and keep it if it is not there.

    Parameters
    ----------
    memory : str, path, joblib.Memory or None
        None, or one without a location, keeps nothing.
    key : str or None
        Of the run, see `CrossFit.key`; None where nothing is kept.
    part : hashable by joblib
        What of the run. Not its networks: see `KeptNetworks`.
    make : callable
        ``make()`` -> the value.
    """
    if key is None:
        return make()
    return as_memory(memory).cache(_finding, ignore=["make"])(key, part, make)


def _finding(key: str, part: Any, make: Callable[[], Value]) -> Value:
    return make()


def kept_run(
    memory: joblib.Memory, key: str | None, train: Train, measure: Measure
) -> tuple[Measurements, Callable[[], list[FoldRun]]]:
    """Return the measurements of a run, and how to load its recorded runs.

    Measurements are kept apart, since decisions need no more. Trains only if `memory`
    does not hold them; `train` itself takes from there what `KeptNetworks` hold.
    """
    trained: list[FoldRun] = []

    def train_now() -> Generator[FoldResult]:
        with closing(train()) as results:
            for result in results:
                if result.fold.holds_out:
                    trained.append(result.recorded)
                yield result
                del result  # its outputs are large

    def measure_now() -> _Packed:
        with closing(train_now()) as results:  # an interrupt stops the workers
            measured = measure(results)
        arrays = [measured.in_sample, measured.held_out, *measured.influence.values()]
        arrays += [] if measured.clean is None else [measured.clean]
        return _Packed(measured, sum(array.nbytes for array in arrays))

    measurements = kept(memory, key, "measurements", measure_now).value

    def load() -> list[FoldRun]:
        return trained or [r.recorded for r in train() if r.fold.holds_out]

    return measurements, load


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
    # A folder of their own on the disk, since they are many times the size of all else.
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
