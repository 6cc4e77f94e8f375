"""How each training sample moved the network: exact first-order influence."""

from dit_clean.influence.derivative_check import check_differentiable
from dit_clean.influence.groups import (
    GroupInfluence,
    TopSamples,
    group_influence,
    top_samples,
)
from dit_clean.influence.leave_one_out import leave_out
from dit_clean.influence.network_queries import (
    FeatureImportance,
    Parameter,
    Prediction,
)
from dit_clean.influence.patterns import (
    influence_patterns,
    pattern_correlation,
    pattern_counts,
    pattern_examples,
    stage_correlation,
    stage_slices,
)
from dit_clean.influence.queries import (
    BoundedError,
    ClassProbability,
    LabelError,
    MeanLoss,
    SampleLosses,
)
from dit_clean.influence.removal import Removal, random_groups
from dit_clean.influence.replay_check import check_replay
from dit_clean.influence.scores import (
    InfluenceScores,
    influence_scores,
    influence_timeline,
    label_influence,
)
from dit_clean.influence.update_rules import UPDATE_RULES, update_rule_of
from dit_clean.influence.windows import Steps, Window, resolve_window

__all__ = [
    "UPDATE_RULES",
    "BoundedError",
    "ClassProbability",
    "FeatureImportance",
    "GroupInfluence",
    "InfluenceScores",
    "LabelError",
    "MeanLoss",
    "Parameter",
    "Prediction",
    "Removal",
    "SampleLosses",
    "Steps",
    "TopSamples",
    "Window",
    "check_differentiable",
    "check_replay",
    "group_influence",
    "influence_patterns",
    "influence_scores",
    "influence_timeline",
    "label_influence",
    "leave_out",
    "pattern_correlation",
    "pattern_counts",
    "pattern_examples",
    "random_groups",
    "resolve_window",
    "stage_correlation",
    "stage_slices",
    "top_samples",
    "update_rule_of",
]
