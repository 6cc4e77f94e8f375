"""Cross-fitting: every sample is judged by networks that never saw it, too."""

from dit_clean.crossfit.epochs import (
    EpochInfluence,
    decision_epochs,
    scheduled_epochs,
)
from dit_clean.crossfit.fold import Fold, FoldResult, make_folds
from dit_clean.crossfit.gather import (
    QueryMaker,
    average_influence,
    average_timeline,
    gather_evidence,
    predict_together,
)
from dit_clean.crossfit.plan import CrossFit

__all__ = [
    "CrossFit",
    "EpochInfluence",
    "Fold",
    "FoldResult",
    "QueryMaker",
    "average_influence",
    "average_timeline",
    "decision_epochs",
    "gather_evidence",
    "make_folds",
    "predict_together",
    "scheduled_epochs",
]
