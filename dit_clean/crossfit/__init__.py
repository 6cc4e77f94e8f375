"""Cross-fitting: every sample is judged by networks that never saw it, too."""

from dit_clean.crossfit.averages import (
    average_timeline,
    predict_together,
    steps_to_go_back,
)
from dit_clean.crossfit.cache import kept
from dit_clean.crossfit.data import TrainingData
from dit_clean.crossfit.epochs import EpochInfluence, scheduled_epochs
from dit_clean.crossfit.fold import Fold, make_folds
from dit_clean.crossfit.learning_rate import run_until_learned
from dit_clean.crossfit.measurements import Measurements
from dit_clean.crossfit.plan import CrossFit
from dit_clean.crossfit.recorded import RecordedRuns
from dit_clean.crossfit.result import FoldResult

__all__ = [
    "CrossFit",
    "EpochInfluence",
    "Fold",
    "FoldResult",
    "Measurements",
    "RecordedRuns",
    "TrainingData",
    "average_timeline",
    "kept",
    "make_folds",
    "predict_together",
    "run_until_learned",
    "scheduled_epochs",
    "steps_to_go_back",
]
