"""Batches by index: the order of DataLoader's options, any kind of rows."""

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.dataset import Dataset
from torch.utils.data import DataLoader, Subset, TensorDataset

from dit_clean import track
from dit_clean.queries import MeanLoss
from dit_clean.tracking import IndexedLoader
from tests.nets import TwoInputs, make_net, make_rows


def indices_of(loader):
    return [batch.sample_indices.tolist() for batch in loader]


def make_dataset(n_rows=10):
    X, y = make_rows(n_rows)
    return Dataset(X, y)


def test_batches_and_length_are_those_of_dataloader():
    dataset = make_dataset()
    for drop_last in (False, True):
        ours = IndexedLoader(dataset, batch_size=4, drop_last=drop_last)
        theirs = DataLoader(dataset, batch_size=4, drop_last=drop_last)
        assert len(ours) == len(theirs)
        for (X, y), (X_other, y_other) in zip(ours, theirs, strict=True):
            assert torch.equal(X, X_other)
            assert torch.equal(y, y_other)


def test_shuffling_draws_a_new_order_for_each_pass_from_torch():
    loader = IndexedLoader(make_dataset(), batch_size=4, shuffle=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = indices_of(loader), indices_of(loader)
        torch.manual_seed(0)
        assert indices_of(loader) == first
    assert first != second
    assert sorted(row for batch in first for row in batch) == list(range(10))


def test_sampler_gives_the_order():
    loader = IndexedLoader(make_dataset(), batch_size=2, sampler=[3, 1, 4, 1])
    assert indices_of(loader) == [[3, 1], [4, 1]]


def test_rows_of_nested_subsets_are_rows_of_the_data():
    dataset = make_dataset()
    subset = Subset(Subset(dataset, [9, 8, 7, 6]), [2, 0])
    (batch,) = IndexedLoader(subset, batch_size=5)
    assert batch.sample_indices.tolist() == [7, 9]
    assert np.array_equal(batch[0].numpy(), dataset.X[[7, 9]])


def test_sparse_rows_become_dense_one_batch_at_a_time():
    X, y = make_rows(10)
    X[X < 1] = 0
    loader = IndexedLoader(Dataset(sparse.csr_matrix(X), y), batch_size=4)
    assert sparse.issparse(loader.X)
    batches = [batch[0] for batch in loader]
    assert all(batch.layout is torch.strided for batch in batches)
    assert np.array_equal(torch.cat(batches).numpy(), X)


def test_training_on_sparse_rows_equals_training_on_dense_ones():
    X, y = make_rows()
    X[X < 0] = 0
    runs = [
        track(make_net(), data, y, random_state=0) for data in (X, sparse.csr_array(X))
    ]
    dense, spread = (run.trajectory.state(9).params for run in runs)
    assert torch.equal(dense, spread)
    scores = [run.influence(MeanLoss(X, y)) for run in runs]
    assert np.array_equal(*scores)


def test_dicts_of_inputs_are_tracked():
    X, y = make_rows()
    parts = {"left": X[:, :1], "right": X[:, 1:]}
    run = track(make_net(TwoInputs), parts, y, random_state=0)
    plain = track(make_net(), X, y, random_state=0)
    assert np.allclose(
        run.influence(MeanLoss(parts, y)), plain.influence(MeanLoss(X, y)), atol=1e-7
    )


def test_loader_without_a_batch_says_what_to_lower():
    loader = IndexedLoader(make_dataset(3), batch_size=4, drop_last=True)
    with pytest.raises(ValueError, match=r"3 training samples are fewer than .*Lower"):
        next(iter(loader))
    with pytest.raises(ValueError, match="there are no training samples"):
        next(iter(IndexedLoader(Subset(make_dataset(), []), batch_size=4)))


def test_dataset_without_arrays_is_refused():
    dataset = TensorDataset(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(TypeError, match="TensorDataset: batches are taken by row"):
        IndexedLoader(dataset)
