"""Finding the training samples that are wrong, by watching a network learn."""

from importlib.metadata import version

from dit_clean import queries
from dit_clean.cleaner import InfluenceCleaner
from dit_clean.run import TrackedRun, track

__version__ = version("dit-clean")

__all__ = ["InfluenceCleaner", "TrackedRun", "queries", "track"]
