"""How far right regression targets scatter around the prediction, and where farther."""

import numpy as np
from scipy.ndimage import median_filter
from scipy.stats import t as student
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

TAIL = 6
"""Degrees of freedom of the residuals of right targets: heavier tails than normal."""
N_NEIGHBORS = 150
"""Samples of similar prediction that the local spread of residuals is read off."""
N_FOLDS = 5
"""Folds in which spread is predicted from inputs."""
MIN_SAMPLES, MAX_COLUMNS = 100, 100
"""Rows from which on, and columns up to which, it is."""
LEAST = 0.1
"""Median residuals below which a residual is as good as none."""


def local_spread(
    residual: np.ndarray, prediction: np.ndarray, locality: float
) -> np.ndarray:
    """Return the scale of residuals among samples of similar prediction.

    A geometric mean of their median absolute residual and that of all samples: from
    one noise level for all (locality 0) to one for each neighborhood (1).
    """
    order = np.argsort(prediction, kind="stable")
    unit = np.abs(residual).mean() or 1.0
    size, n_neighbors = np.abs(residual) / unit, min(N_NEIGHBORS, len(residual))
    smoothed = median_filter(size[order], size=n_neighbors, mode="nearest")
    spread = np.empty_like(smoothed, dtype=np.float64)
    spread[order] = smoothed
    overall = np.median(size) + np.finfo(np.float32).eps  # half of them may be 0
    local = np.maximum(spread, 0.01 * overall) / overall
    return unit * overall * local**locality / student.ppf(0.75, TAIL)


def spread_by_inputs(
    residual: np.ndarray,
    prediction: np.ndarray,
    inputs: np.ndarray,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Return the scale of residuals among samples of similar inputs.

    What boosted trees that have not seen a sample expect the logarithm of its residual
    to be: a few gross errors do not move it.

    Parameters
    ----------
    residual, prediction : ndarray of shape (n_samples,)
        Of the targets.
    inputs : ndarray of shape (n_samples, n_columns)
        What the spread may depend on, besides the prediction.
    groups : ndarray of int, shape (n_samples,), optional
        Numbers of the groups that rows belong to, which are left out together.

    Returns
    -------
    spread : ndarray of shape (n_samples,)
    """
    size = np.abs(residual)
    unit = np.median(size) or size.mean() or 1.0
    logs = np.log(np.maximum(size / unit, LEAST))
    trees = HistGradientBoostingRegressor(
        max_iter=40,
        max_leaf_nodes=8,
        min_samples_leaf=30,
        early_stopping=False,
        random_state=0,
    )
    folds = KFold(N_FOLDS, shuffle=True, random_state=0)
    if groups is not None:
        folds = GroupKFold(min(N_FOLDS, groups.max() + 1))
    table = np.column_stack([inputs, prediction])
    expected = cross_val_predict(trees, table, logs, groups=groups, cv=folds)
    local = np.exp(expected - np.median(expected))
    return unit * local / student.ppf(0.75, TAIL)
