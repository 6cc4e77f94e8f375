"""Keeping the results of tracked runs for the next fit on the same data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import torch

from dit_clean.crossfit.fold import Fold, FoldResult
from dit_clean.tracking.rows import Rows

if TYPE_CHECKING:
    from dit_clean.crossfit.plan import CrossFit


def cached_results(
    memory: joblib.Memory,
    plan: "CrossFit",
    X: Rows,
    y: torch.Tensor,
    folds: list[Fold],
    sample_weight: np.ndarray | None,
    n_jobs: int | None,
    verbose: int,
) -> list[FoldResult]:
    """Return the results of all folds, trained only if `memory` does not hold them.

    The key is made of everything that the results depend on: data, network and its
    parameters, query, folds, seeds, weights and storage; not of how they are used.
    """
    key = joblib.hash(
        (
            as_arrays((X, y, sample_weight, plan.make_query.validation)),
            folds,
            plan.net,
            (plan.is_classifier, plan.storage, plan.max_bytes, plan.n_threads),
        )
    )

    def train(key: str) -> list[FoldResult]:
        return plan.train_folds(X, y, folds, sample_weight, n_jobs, verbose)

    return memory.cache(train)(key)


def as_arrays(value: Any) -> Any:
    """Return nested data with tensors as arrays, whose hash depends on values alone."""
    if isinstance(value, torch.Tensor):
        return value.numpy()
    if isinstance(value, Mapping):
        return {key: as_arrays(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return tuple(as_arrays(part) for part in value)
    return value
