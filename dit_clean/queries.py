"""Queries: the scalars of the parameters that influence is measured on."""

from dit_clean.influence.network_queries import FeatureImportance, Parameter, Prediction
from dit_clean.influence.queries import (
    BoundedError,
    ClassProbability,
    LabelError,
    MeanLoss,
    SampleLosses,
    Several,
)

__all__ = [
    "BoundedError",
    "ClassProbability",
    "FeatureImportance",
    "LabelError",
    "MeanLoss",
    "Parameter",
    "Prediction",
    "SampleLosses",
    "Several",
]
