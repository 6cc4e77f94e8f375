"""The table of groups: whose samples harm, whose help."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.extras import require
from dit_clean.audit.samples import as_name, column_names, named_column
from dit_clean.data.inputs import warn_of_other_order
from dit_clean.influence.groups import numbered_groups

LABELS = "label"
AS_ARRAY = "Groups that are not in X are given as an array: one name per sample."


def group_column(data: AuditData, groups: Any) -> Any:
    """Return each sample's group: an array, series or list of n_samples entries.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    groups : str, int, tuple or array-like of shape (n_samples,)
        "label", the name of a column of X, or one entry per sample.

    Raises
    ------
    ValueError
        If X has no column of this name, or one named "label".

    Warns
    -----
    UserWarning
        If a series has the index labels of X in another order.
    """
    warn_of_other_order(data.X, groups, ("X", "groups"))
    groups = as_name(data.X, groups)
    if not isinstance(groups, str):
        return groups
    if groups == LABELS:
        _check_is_no_column(data, groups)
        return data.labels
    return named_column(data.X, groups, AS_ARRAY)


def _check_is_no_column(data: AuditData, name: str) -> None:
    if name in column_names(data.X):
        raise ValueError(
            f"{name!r} means the given labels, and X has a column of this name. Give "
            "the values themselves: group_influence(y) or "
            f"group_influence(X[{name!r}])."
        )


def group_table(data: AuditData, groups: Any, measure: Callable[[], np.ndarray]) -> Any:
    """Return one row per group, the most harmful first, as a pandas frame.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    groups : str or array-like of shape (n_samples,)
        As in `group_column`.
    measure : callable
        Returns the influence of each sample, (n_samples,). It may take long, and is
        called once `groups` have been found to fit.
    """
    pandas = require("pandas", "The table of groups")
    names, numbers = numbered_groups(group_column(data, groups), data.n_samples)
    influence, sizes = measure(), np.bincount(numbers)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(numbers, weights=values) / sizes

    columns = {
        "n_samples": sizes,
        "influence": np.bincount(numbers, weights=influence),
        "mean_influence": mean(influence),
        "harmful": mean(influence < 0),
        "flagged": mean(data.flagged),
        "suspicion": mean(data.suspicion),
    }
    name = groups if isinstance(groups, str) else None
    index = pandas.Index(names, name=name, tupleize_cols=False)
    return pandas.DataFrame(columns, index=index).sort_values("influence")
