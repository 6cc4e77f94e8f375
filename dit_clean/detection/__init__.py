"""From evidence to decisions: arrays in, arrays out, no network in sight."""

from dit_clean.detection.convergence import convergence_window
from dit_clean.detection.decision import judge_labels, window_likelihood
from dit_clean.detection.doubts import doubts_about_labels, doubts_about_targets
from dit_clean.detection.evidence import CleanEvidence, LabelEvidence
from dit_clean.detection.judgement import Decision, Judgement
from dit_clean.detection.late_learning import (
    STILL_FALLING,
    STILL_GAINING,
    UnfinishedTrainingWarning,
    late_fall,
    late_gain,
    warn_of_unfinished_training,
)
from dit_clean.detection.replacement import nearest_target_rows, replacement_rows
from dit_clean.detection.signal import (
    NoSignalWarning,
    held_out_signal,
    warn_of_no_signal,
)
from dit_clean.detection.target_evidence import TargetEvidence
from dit_clean.detection.targets import judge_targets
from dit_clean.detection.weights import sample_weights

__all__ = [
    "STILL_FALLING",
    "STILL_GAINING",
    "CleanEvidence",
    "Decision",
    "Judgement",
    "LabelEvidence",
    "NoSignalWarning",
    "TargetEvidence",
    "UnfinishedTrainingWarning",
    "convergence_window",
    "doubts_about_labels",
    "doubts_about_targets",
    "held_out_signal",
    "judge_labels",
    "judge_targets",
    "late_fall",
    "late_gain",
    "nearest_target_rows",
    "replacement_rows",
    "sample_weights",
    "warn_of_no_signal",
    "warn_of_unfinished_training",
    "window_likelihood",
]
