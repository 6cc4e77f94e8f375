"""Keeping what a tracked run has shown, and the run, for the next fit on the data."""

import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import joblib

from dit_clean.crossfit.data import TrainingData
from dit_clean.crossfit.fingerprint import fingerprint
from dit_clean.crossfit.fold import Fold
from dit_clean.crossfit.hashing import hash_of
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.result import CrossFitResult, FoldRun
from dit_clean.detection import (
    Judgement,
    LabelEvidence,
    TargetEvidence,
    held_out_signal,
)
from dit_clean.influence import Window
from dit_clean.versions import library_versions

if TYPE_CHECKING:
    from dit_clean.crossfit.plan import CrossFit

Train = Callable[[], CrossFitResult]
Measure = Callable[[CrossFitResult], Measurements]
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
            plan.net,
            (plan.is_classifier, plan.storage, plan.max_bytes, plan.n_threads),
            library_versions(),
        ),
        hash_name="sha1",  # faster than joblib's default where the CPU knows it
    )


def kept_run(
    memory: joblib.Memory, key: str, train: Train, measure: Measure
) -> tuple[Measurements, Callable[[], list[FoldRun]]]:
    """Return the measurements of a run, and how to load its recorded runs.

    Both are kept in `memory`, apart: decisions need the small part only. Trains only
    if `memory` does not hold it.
    """
    measured = memory.cache(_measured, ignore=["train", "measure"])
    recorded = memory.cache(_recorded, ignore=["train"])
    trained: list[CrossFitResult] = []

    def train_now() -> CrossFitResult:
        trained.append(train())
        return trained[0]

    measurements = measured(key, train_now, measure).value
    if not trained:
        return measurements, lambda: recorded(key, train).value
    runs = recorded(key, lambda: trained[0]).value
    return measurements, lambda: runs


def _measured(key: str, train: Train, measure: Measure) -> "_Packed":
    measured = measure(train())
    arrays = [measured.in_sample, measured.held_out, *measured.influence.values()]
    return _Packed(measured, sum(array.nbytes for array in arrays))


def _recorded(key: str, train: Train) -> "_Packed":
    runs = [result.recorded for result in train().folds]
    return _Packed(runs, sum(run.run.trajectory.store.nbytes for run in runs))


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
        return pickle.dumps(vars(self), pickle.HIGHEST_PROTOCOL)

    def __setstate__(self, state: dict[str, Any] | bytes) -> None:
        vars(self).update(pickle.loads(state) if isinstance(state, bytes) else state)


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
