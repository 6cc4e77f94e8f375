"""The package's own warnings, to be silenced or to be turned into errors by class."""

from dit_clean.copied_rows import CopiedRowsWarning
from dit_clean.detection import NoSignalWarning, UnfinishedTrainingWarning
from dit_clean.given_labels import LabelAmongInputsWarning, LikeLabelsWarning
from dit_clean.texts import (
    DatesAsTextWarning,
    ManyTextsWarning,
    NumbersAsTextWarning,
    RareCategoriesWarning,
)

__all__ = [
    "CopiedRowsWarning",
    "DatesAsTextWarning",
    "LabelAmongInputsWarning",
    "LikeLabelsWarning",
    "ManyTextsWarning",
    "NoSignalWarning",
    "NumbersAsTextWarning",
    "RareCategoriesWarning",
    "UnfinishedTrainingWarning",
]
