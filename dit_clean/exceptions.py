"""The package's own warnings, to be silenced or to be turned into errors by class."""

from dit_clean.detection import NoSignalWarning
from dit_clean.texts import (
    DatesAsTextWarning,
    ManyTextsWarning,
    RareCategoriesWarning,
)

__all__ = [
    "DatesAsTextWarning",
    "ManyTextsWarning",
    "NoSignalWarning",
    "RareCategoriesWarning",
]
