"""Where right regression targets scatter farther than elsewhere, by their inputs."""

import numpy as np
from scipy.stats import t as student
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from dit_clean.detection.spread import TAIL

N_FOLDS = 5
"""Folds in which spread is predicted from inputs."""
MIN_SAMPLES, MAX_COLUMNS = 100, 100
"""Rows from which on, and columns up to which, it is."""
LEAST = 0.1
"""Median residuals below which a residual is as good as none."""


def spread_by_inputs(
    residual: np.ndarray,
    prediction: np.ndarray,
    inputs: np.ndarray,
    groups: np.ndarray | None = None,
) -> np.ndarray | None:
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
    spread : ndarray of shape (n_samples,), or None
        None for fewer than `MIN_SAMPLES` rows, or more than `MAX_COLUMNS` columns.
    """
    n_samples, n_columns = inputs.shape
    if n_samples < MIN_SAMPLES or n_columns > MAX_COLUMNS:
        return None
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
