"""Finding training samples with wrong labels or targets by watching networks learn."""

from importlib.metadata import version

from dit_clean import exceptions, queries
from dit_clean.estimators.cleaner import InfluenceCleaner
from dit_clean.estimators.meta import CleanedClassifier, CleanedRegressor
from dit_clean.estimators.sampler import InfluenceSampler
from dit_clean.estimators.scoring import TrustedScorer
from dit_clean.influence import Steps, Window
from dit_clean.runs.track import TrackedRun, track

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
