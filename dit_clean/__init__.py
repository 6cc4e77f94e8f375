"""Finding the training samples that are wrong, by watching a network learn."""

from importlib.metadata import version

from dit_clean import exceptions, queries
from dit_clean.cleaner import InfluenceCleaner
from dit_clean.influence import Steps, Window
from dit_clean.meta import CleanedClassifier, CleanedRegressor
from dit_clean.run import TrackedRun, track
from dit_clean.sampler import InfluenceSampler
from dit_clean.scoring import TrustedScorer

__version__ = version("dit-clean")

__all__ = [
    "CleanedClassifier",
    "CleanedRegressor",
    "InfluenceCleaner",
    "InfluenceSampler",
    "Steps",
    "TrackedRun",
    "TrustedScorer",
    "Window",
    "exceptions",
    "queries",
    "track",
]
