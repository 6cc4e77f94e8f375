"""How each training sample moved the network: exact first-order influence."""

from dit_clean.influence.leave_one_out import leave_one_out
from dit_clean.influence.queries import (
    BoundedError,
    ClassProbability,
    LabelError,
    MeanLoss,
    SampleLosses,
)
from dit_clean.influence.replay_check import check_differentiable, check_replay
from dit_clean.influence.scores import (
    InfluenceScores,
    influence_scores,
    influence_timeline,
    label_influence,
)
from dit_clean.influence.update_rules import UPDATE_RULES, update_rule_of
from dit_clean.influence.windows import Window, resolve_window

__all__ = [
    "UPDATE_RULES",
    "BoundedError",
    "ClassProbability",
    "InfluenceScores",
    "LabelError",
    "MeanLoss",
    "SampleLosses",
    "Window",
    "check_differentiable",
    "check_replay",
    "influence_scores",
    "influence_timeline",
    "label_influence",
    "leave_one_out",
    "resolve_window",
    "update_rule_of",
]
