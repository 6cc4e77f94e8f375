"""Looking at what was found: table, summary, pictures, report, review.

Knows plain arrays only (`AuditData`), which a fitted cleaner hands over.
"""

from dit_clean.audit.data import AuditData
from dit_clean.audit.displays import (
    GalleryDisplay,
    LabelsDisplay,
    StagesDisplay,
    SuspicionDisplay,
    TargetsDisplay,
    TimelineDisplay,
    TrainingDisplay,
)
from dit_clean.audit.mixin import AuditMixin
from dit_clean.audit.report import write_report
from dit_clean.audit.review import corrected_labels
from dit_clean.audit.summary import summarize
from dit_clean.audit.table import audit_table

__all__ = [
    "AuditData",
    "AuditMixin",
    "GalleryDisplay",
    "LabelsDisplay",
    "StagesDisplay",
    "SuspicionDisplay",
    "TargetsDisplay",
    "TimelineDisplay",
    "TrainingDisplay",
    "audit_table",
    "corrected_labels",
    "summarize",
    "write_report",
]
