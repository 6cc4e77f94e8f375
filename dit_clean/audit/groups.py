"""The table of groups: whose samples harm, whose help."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.extras import require
from dit_clean.audit.samples import cells, column_names, own_columns
from dit_clean.influence.groups import group_influence, sorted_groups
from dit_clean.inputs import warn_of_other_order

LABELS = "label"


def group_names(data: AuditData, groups: Any) -> np.ndarray:
    """Return each sample's group, shape (n_samples,).

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    groups : str or array-like of shape (n_samples,)
        "label", the name of a column of X, or one name per sample.

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
    if isinstance(groups, str) and groups == LABELS:
        _check_is_no_column(data, groups)
        return data.labels
    values = cells(_column(data, groups) if isinstance(groups, str) else groups)
    has_texts = any(isinstance(value, str) for value in values)
    return np.array(values, dtype=object if has_texts else None)


def _check_is_no_column(data: AuditData, name: str) -> None:
    if name in column_names(data.X):
        raise ValueError(
            f"{name!r} means the given labels, and X has a column of this name. Give "
            "the values themselves: group_influence(y) or "
            f"group_influence(X[{name!r}])."
        )


def _column(data: AuditData, name: str) -> Any:
    names = column_names(data.X)
    if name not in names:
        known = ", ".join(names[:20]) or "none, since X is no table"
        raise ValueError(
            f"X has no column {name!r}. Its columns: {known}. Groups that are not in X "
            "are given as an array: one name per sample."
        )
    return own_columns(data.X, name, data.n_samples)[name]


def group_table(data: AuditData, groups: Any, measure: Callable[[], np.ndarray]) -> Any:
    """Return one row per group, the most harmful first, as a pandas frame.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    groups : str or array-like of shape (n_samples,)
        As in `group_names`.
    measure : callable
        Returns the influence of each sample, (n_samples,). It may take long, and is
        called once `groups` have been found to fit.
    """
    pandas = require("pandas", "The table of groups")
    names = group_names(data, groups)
    _, place, _ = sorted_groups(names, data.n_samples)
    found = group_influence(measure(), names)

    def share(values: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=values) / found.sizes

    columns = {
        "n_samples": found.sizes,
        "influence": found.totals,
        "mean_influence": found.totals / found.sizes,
        "harmful": found.harmful,
        "flagged": share(data.flagged),
        "suspicion": share(data.suspicion),
    }
    index = pandas.Index(found.names, name=groups if isinstance(groups, str) else None)
    return pandas.DataFrame(columns, index=index).sort_values("influence")
