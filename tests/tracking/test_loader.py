"""Batches by index: the order of DataLoader's options, any kind of rows."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.dataset import Dataset, ValidSplit
from torch.utils.data import DataLoader, Subset, TensorDataset

from dit_clean import InfluenceCleaner, track
from dit_clean.queries import MeanLoss
from dit_clean.tracking import IndexedLoader
from dit_clean.tracking.rows import as_rows, cast_floats, subset_rows, take_rows
from tests.nets import Mixed, TwoInputs, make_net, make_rows


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
    assert len(loader) == 2


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


class InPrecision(Mixed):
    """Of its own class: derivatives are compared in double precision."""

    def __init__(self, dtype):
        super().__init__()
        self.to(dtype)


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_training_on_sparse_rows_equals_training_on_dense_ones(dtype, kind):
    X, y = make_rows()
    X = np.where(X < 0, 0, X * 3).astype(kind)
    spread = sparse.csr_array(X)
    net = make_net(InPrecision, module__dtype=dtype)
    dense = X.astype(float)  # dense integers stay what they are
    runs = [track(net, rows, y, random_state=0) for rows in (dense, spread)]
    assert torch.equal(*(run.trajectory.state(9).params for run in runs))
    scores = [
        run.influence(MeanLoss(rows, y))
        for run, rows in zip(runs, (dense, spread), strict=True)
    ]
    assert np.array_equal(*scores)
    assert scores[0].any()
    run = pickle.loads(pickle.dumps(runs[1].trajectory))
    assert torch.equal(
        run.params(9)["layers.0.weight"],
        runs[0].trajectory.params(9)["layers.0.weight"],
    )


@pytest.mark.filterwarnings("ignore:.*hardly predict")
@pytest.mark.parametrize("dtype", DTYPES[2:])
def test_sparse_rows_are_cleaned_in_half_precision(dtype):
    X, y = make_rows()
    X[X < 0] = 0
    net = make_net(InPrecision, module__dtype=dtype)
    found = [
        InfluenceCleaner(net, random_state=0).fit(rows, y).suspicion_
        for rows in (X, sparse.csr_array(X))
    ]
    assert np.array_equal(*found)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparse_rows_are_cast_from_any_precision_to_any_other(dtype):
    X = sparse.csr_array(make_rows()[0])
    for before in DTYPES:
        rows = subset_rows(cast_floats(X, before), torch.arange(10))
        found = take_rows(cast_floats(as_rows(rows), dtype), torch.arange(3))
        assert found.dtype == dtype
        torch.testing.assert_close(
            found.float(), torch.tensor(X[:3].todense()), rtol=0.01, atol=0
        )


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


def test_sparse_rows_may_be_set_aside_for_validation():
    X, y = make_rows()
    net = make_net(train_split=ValidSplit(5))
    losses = []
    for rows in (X, sparse.csr_array(X)):
        with pytest.warns(UserWarning, match="9 of 45 samples were in no batch"):
            run = track(net, rows, y, random_state=0)
        losses.append(run.net_.history[:, "valid_loss"])
    assert losses[0] == losses[1]
