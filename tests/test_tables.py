"""What goes into the default network."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from dit_clean import tables
from dit_clean.tables import SQUASH, TableEncoder, squashed


def test_squashed_values_keep_their_order_and_stay_within_the_bound():
    values = np.linspace(-1e3, 1e3, 2001)
    found = squashed(values)
    assert (np.diff(found) > 0).all()
    assert np.abs(found).max() < SQUASH
    assert np.allclose(found, -found[::-1])


def test_usual_values_hardly_change():
    values = np.linspace(-1, 1, 21)
    assert np.allclose(squashed(values), values, atol=0.02)


def heavy_tailed():
    X = np.random.RandomState(0).randn(200, 3)
    X[5, 1] = 1e6
    return X


CONTAINERS = {"array": np.array, "frame": pd.DataFrame, "sparse": sparse.csr_array}


@pytest.mark.parametrize("container", CONTAINERS)
def test_one_huge_value_stays_near_the_others(container):
    X = CONTAINERS[container](heavy_tailed())
    found = TableEncoder().fit(X).transform(X)
    assert np.abs(found).max() < SQUASH
    assert found[5, 1] > 4
    assert np.allclose(found[:, [0, 2]].std(axis=0), 1, atol=0.1)


def test_what_stays_sparse_is_squashed_alike(monkeypatch):
    monkeypatch.setattr(tables, "MAX_DENSE_VALUES", 10)
    X = sparse.csr_array(np.where(heavy_tailed() > 0.5, heavy_tailed(), 0))
    encoder = TableEncoder().fit(X)
    before = X.copy()
    found = encoder.transform(X)
    assert sparse.issparse(found)
    assert found.nnz == X.nnz
    assert found.data.max() < SQUASH
    assert (before != X).nnz == 0


@pytest.mark.parametrize("container", ["array", "sparse"])
def test_without_scaling_arrays_stay_as_they_are(container):
    X = CONTAINERS[container](heavy_tailed())
    found = TableEncoder(scale=False).fit(X).transform(X)
    assert abs(found - X).max() == 0
