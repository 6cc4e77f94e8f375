"""Finding the training samples that are wrong, by watching a network learn."""

from dit_clean import queries
from dit_clean.run import TrackedRun, track

__version__ = "0.1.0"

__all__ = ["TrackedRun", "queries", "track"]
