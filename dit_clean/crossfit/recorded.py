"""The recorded runs of all folds, at hand when a question is asked."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from dit_clean.crossfit.data import TrainingData
from dit_clean.crossfit.result import FoldRun


@dataclass(eq=False, repr=False)
class RecordedRuns:
    """Runs that are loaded, and given their data, when first asked for.

    Decisions need the measurements alone; runs are many times their size.

    Attributes
    ----------
    load : callable
        ``load()`` -> the runs without data, a list of FoldRun.
    data : TrainingData
        What they were trained on.
    key : str or None
        Of the runs in `memory`; None once unpickled.
    """

    load: Callable[[], list[FoldRun]]
    data: TrainingData
    key: str | None = None

    @cached_property
    def bare(self) -> list[FoldRun]:
        """The runs without data."""
        return self.load()

    @cached_property
    def ready(self) -> list[FoldRun]:
        """The runs with their data, to be asked."""
        data = self.data
        rows, y, weight = data.rows, data.targets.encoded, data.sample_weight
        return [run.with_data(rows, y, weight) for run in self.bare]

    def __getstate__(self) -> dict[str, Any]:
        return {"bare": self.bare, "data": self.data}
