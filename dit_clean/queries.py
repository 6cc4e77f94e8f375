"""Queries: the scalars of the parameters that influence is measured on."""

from dit_clean.influence.queries import BoundedError, ClassProbability, MeanLoss

__all__ = ["BoundedError", "ClassProbability", "MeanLoss"]
