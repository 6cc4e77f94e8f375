"""The package's own warnings, to be silenced or to be turned into errors by class."""

from dit_clean.data.given_labels import LabelAmongInputsWarning, LikeLabelsWarning
from dit_clean.data.texts import (
    DatesAsTextWarning,
    ManyColumnsWarning,
    ManyTextsWarning,
    NumbersAsTextWarning,
    RareCategoriesWarning,
)
from dit_clean.detection import NoSignalWarning, UnfinishedTrainingWarning
from dit_clean.estimators.copied_rows import CopiedRowsWarning

__all__ = [
    "CopiedRowsWarning",
    "DatesAsTextWarning",
    "LabelAmongInputsWarning",
    "LikeLabelsWarning",
    "ManyColumnsWarning",
    "ManyTextsWarning",
    "NoSignalWarning",
    "NumbersAsTextWarning",
    "RareCategoriesWarning",
    "UnfinishedTrainingWarning",
]
