"""Watching a network learn: what each optimizer update did, and how to repeat it."""

from dit_clean.tracking.callback import TrajectoryRecorder
from dit_clean.tracking.criterion import SampleLoss
from dit_clean.tracking.layout import ParameterLayout
from dit_clean.tracking.loader import IndexedBatch, IndexedLoader
from dit_clean.tracking.model import TrackedModel
from dit_clean.tracking.recorder import StepRecorder
from dit_clean.tracking.records import StepRecord
from dit_clean.tracking.storage import StateStore, TrainingState
from dit_clean.tracking.trajectory import Trajectory

__all__ = [
    "IndexedBatch",
    "IndexedLoader",
    "ParameterLayout",
    "SampleLoss",
    "StateStore",
    "StepRecord",
    "StepRecorder",
    "TrackedModel",
    "TrainingState",
    "Trajectory",
    "TrajectoryRecorder",
]
