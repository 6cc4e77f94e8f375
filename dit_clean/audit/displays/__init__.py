"""Pictures of an audit, in the manner of scikit-learn's Display classes."""

from dit_clean.audit.displays.gallery import GalleryDisplay
from dit_clean.audit.displays.labels import LabelsDisplay, TargetsDisplay
from dit_clean.audit.displays.stages import StagesDisplay
from dit_clean.audit.displays.suspicion import SuspicionDisplay
from dit_clean.audit.displays.timeline import TimelineDisplay
from dit_clean.audit.displays.training import TrainingDisplay

__all__ = [
    "GalleryDisplay",
    "LabelsDisplay",
    "StagesDisplay",
    "SuspicionDisplay",
    "TargetsDisplay",
    "TimelineDisplay",
    "TrainingDisplay",
]
