"""Warnings about rows that are copies of others."""

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dit_clean import InfluenceCleaner
from dit_clean.crossfit import TrainingData
from dit_clean.data.tables import TableEncoder
from dit_clean.data.targets import encode_targets
from dit_clean.estimators.copied_rows import CopiedRowsWarning, warn_of_copied_rows

N_ROWS = 60
AGAIN = np.r_[np.arange(N_ROWS), 3, 57, 8]
"""Rows of a table of which a twentieth is there twice."""


def make_table():
    rng = np.random.RandomState(0)
    columns = {name: rng.randn(N_ROWS) for name in "abde"}
    return pd.DataFrame(columns | {"c": rng.choice(list("xyz"), N_ROWS)})


def make_data(X, groups=None):
    targets = encode_targets(np.arange(X.shape[0]) % 2, None, "auto")
    return TrainingData(X, TableEncoder("squashed").fit(X), targets, groups=groups)


def make_sparse():
    return sparse.random(N_ROWS, 80, 0.2, "csr", random_state=0)


def make_images():
    return np.random.RandomState(0).randint(0, 9, (N_ROWS, 1, 4, 4)).astype("float32")


def assert_silent(X, groups=None):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_copied_rows(make_data(X, groups))


@pytest.mark.parametrize(
    "X",
    [make_table(), make_table()[list("abde")].to_numpy(), make_sparse(), make_images()],
    ids=["frame", "numbers", "sparse", "images"],
)
def test_copies_are_told_from_distinct_rows(X):
    copies = X.iloc[AGAIN] if isinstance(X, pd.DataFrame) else X[AGAIN]
    with pytest.warns(CopiedRowsWarning, match=r"6 of 63 rows .* rows 3 and 60 for"):
        warn_of_copied_rows(make_data(copies))
    with pytest.warns(CopiedRowsWarning, match="one, of different groups,"):
        warn_of_copied_rows(make_data(copies, np.arange(len(AGAIN))))
    assert_silent(X)
    assert_silent(copies, AGAIN)


def test_sparse_copies_may_be_written_in_another_order():
    X = sparse.csr_array(make_sparse())
    reversed_ = X.copy()
    for start, stop in zip(X.indptr, X.indptr[1:], strict=False):
        for part in (reversed_.indices, reversed_.data):
            part[start:stop] = part[start:stop][::-1].copy()
    again = sparse.csr_array(
        (
            np.r_[X.data, reversed_.data],
            np.r_[X.indices, reversed_.indices],
            np.r_[X.indptr, X.indptr[1:] + X.nnz],
        ),
        shape=(2 * N_ROWS, 80),
    )
    with pytest.warns(CopiedRowsWarning, match="120 of 120 rows"):
        warn_of_copied_rows(make_data(again))


def make_chance(kind):
    rng = np.random.RandomState(0)
    if kind == "numbers":
        return rng.randint(0, 9, (500, 3))
    if kind == "flags":
        return (rng.rand(500, 60) < 0.02).astype(float)
    if kind == "words":
        return sparse.csr_array((rng.rand(500, 60) < 0.02).astype(float))
    categories = pd.DataFrame(
        {"p": rng.randint(0, 27, 500), "q": rng.randint(0, 27, 500)}
    )
    categories = categories.astype(str).add("th")
    return categories if kind == "categories" else pd.get_dummies(categories) * 1.0


@pytest.mark.parametrize("kind", ["numbers", "flags", "words", "categories", "one-hot"])
def test_rows_that_are_alike_by_chance_are_no_copies(kind):
    X = make_chance(kind)
    dense = X.toarray() if sparse.issparse(X) else X
    assert pd.DataFrame(dense).duplicated(keep=False).mean() > 0.3
    assert_silent(X)


def test_fit_warns_of_copies():
    X = make_table().iloc[AGAIN]
    y = X["a"] > 0
    cleaner = InfluenceCleaner(max_epochs=20, lr=0.3, random_state=0)
    with pytest.warns(CopiedRowsWarning, match="hold them out together"):
        cleaner.fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CopiedRowsWarning)
        cleaner.fit(X, y, groups=X.groupby([*X], dropna=False).ngroup())
