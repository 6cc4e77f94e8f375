"""What is to be expected of rows by their inputs, as trees have seen it in others."""

from functools import partial

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold, KFold

from dit_clean.detection.spread import Expect

N_FOLDS = 5
"""Folds; trees that have learned from the others predict each."""
MIN_ROWS, MAX_COLUMNS = 100, 100
"""Rows from which on, and columns up to which, inputs are read."""
MAX_TRAINED = 20_000
"""Rows that the trees of a fold are trained on, at most."""


def expectation_by(
    inputs: np.ndarray | None, groups: np.ndarray | None = None
) -> Expect | None:
    """Return a function that tells what values are to be expected by the inputs.

    Parameters
    ----------
    inputs : ndarray of shape (n_samples, n_columns) or None
        Table.
    groups : ndarray of int, shape (n_samples,), optional
        Numbers of the groups that rows belong to, which are held out together.

    Returns
    -------
    expect : callable or None
        ``expect(values, prediction, counts)`` -> what boosted trees that have not seen
        a row expect of its value, (n_samples,), by its inputs and its prediction; they
        are trained on rows of which ``counts`` is True. None for fewer than `MIN_ROWS`
        rows, more than `MAX_COLUMNS` columns, or no table.

    Notes
    -----
    Cost of a question: five times 40 small trees, on 20,000 rows at most.
    """
    if inputs is None or len(inputs) < MIN_ROWS or inputs.shape[1] > MAX_COLUMNS:
        return None
    return partial(_expected, inputs, groups)


def _expected(
    inputs: np.ndarray,
    groups: np.ndarray | None,
    values: np.ndarray,
    prediction: np.ndarray,
    counts: np.ndarray,
) -> np.ndarray:
    table, random = np.column_stack([inputs, prediction]), np.random.default_rng(0)
    folds = KFold(N_FOLDS, shuffle=True, random_state=0)
    if groups is not None:
        folds = GroupKFold(min(N_FOLDS, groups.max() + 1))
    expected = np.empty(len(values))
    for train, held_out in folds.split(table, groups=groups):
        # Trees that are given weights take ten times as long to find their bins.
        counting = train[counts[train]]
        few = len(counting) < len(train) / N_FOLDS  # of one group, perhaps
        rows = random.permutation(train if few else counting)[:MAX_TRAINED]
        trees = HistGradientBoostingRegressor(
            max_iter=40,
            max_leaf_nodes=8,
            min_samples_leaf=30,
            early_stopping=False,
            random_state=0,
        )
        trees.fit(table[rows], values[rows])
        expected[held_out] = trees.predict(table[held_out])
    return expected
