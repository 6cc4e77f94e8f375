"""Warnings about rows that are copies of others."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dit_clean import InfluenceCleaner
from dit_clean.copied_rows import CopiedRowsWarning, warn_of_copied_rows
from dit_clean.crossfit import TrainingData
from dit_clean.tables import TableEncoder
from dit_clean.targets import encode_targets

N_ROWS = 60
AGAIN = np.r_[np.arange(N_ROWS), 3, 57, 8]
"""Rows of a table of which a twentieth is there twice."""


def make_table():
    rng = np.random.RandomState(0)
    columns = {"a": rng.randn(N_ROWS), "b": rng.randn(N_ROWS)}
    return pd.DataFrame(columns | {"c": rng.choice(list("xyz"), N_ROWS)})


def make_data(X, groups=None):
    targets = encode_targets(np.arange(X.shape[0]) % 2, None, "auto")
    return TrainingData(X, TableEncoder("squashed").fit(X), targets, groups=groups)


def make_sparse():
    return sparse.random(N_ROWS, 80, 0.1, "csr", random_state=0)


def make_images():
    return np.random.RandomState(0).randint(0, 9, (N_ROWS, 1, 4, 4)).astype("float32")


@pytest.mark.parametrize(
    "X",
    [make_table(), make_table()[["a", "b"]].to_numpy(), make_sparse(), make_images()],
    ids=["frame", "numbers", "sparse", "images"],
)
def test_copies_are_told_from_distinct_rows(X):
    copies = X.iloc[AGAIN] if isinstance(X, pd.DataFrame) else X[AGAIN]
    with pytest.warns(CopiedRowsWarning, match=r"6 of 63 rows .* rows 3 and 60 for"):
        warn_of_copied_rows(make_data(copies))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_copied_rows(make_data(X))
        warn_of_copied_rows(make_data(copies, AGAIN))


@pytest.mark.parametrize("n_columns", [1, 3])
def test_rows_that_are_alike_by_chance_are_no_copies(n_columns):
    X = np.random.RandomState(0).randint(0, 9, (N_ROWS, n_columns))
    assert len(np.unique(X, axis=0)) < N_ROWS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_copied_rows(make_data(X[AGAIN]))


def test_fit_warns_of_copies():
    X = make_table().iloc[AGAIN]
    y = X["a"] > 0
    with pytest.warns(CopiedRowsWarning, match="hold them out together"):
        InfluenceCleaner(max_epochs=20, lr=0.3, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CopiedRowsWarning)
        groups = X.groupby([*X], dropna=False).ngroup()
        InfluenceCleaner(max_epochs=20, lr=0.3, random_state=0).fit(X, y, groups=groups)
