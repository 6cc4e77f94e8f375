"""Custom splitters and nets with callbacks: every row is trained on and held out."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from dit_clean import InfluenceCleaner
from tests.nets import make_net


def make_splits(n_samples=150):
    rows = np.random.RandomState(0).permutation(n_samples)
    return [(np.setdiff1d(rows, held), held) for held in np.array_split(rows, 3)]


def test_own_splits_are_taken():
    X, y = load_iris(return_X_y=True)
    cleaner = InfluenceCleaner(cv=make_splits(), max_epochs=2, random_state=0)
    assert cleaner.fit(X, y).suspicion_.shape == (150,)


@pytest.mark.parametrize("change", ["left out", "leaked"])
def test_splits_that_leave_out_or_leak_rows_are_refused(change):
    X, y = load_iris(return_X_y=True)
    splits = make_splits()
    train, held = splits[0]
    spoiled = train[1:] if change == "left out" else np.r_[train, held]
    cleaner = InfluenceCleaner(cv=[(spoiled, held), *splits[1:]], max_epochs=2)
    with pytest.raises(ValueError, match="exactly once, and train on all others"):
        cleaner.fit(X, y)


@pytest.mark.parametrize(
    "callbacks", [None, [EarlyStopping(monitor="valid_loss", patience=2)]]
)
def test_skorchs_own_split_keeps_no_row_from_training(callbacks):
    X, y = load_iris(return_X_y=True)
    settings = {"train_split": ValidSplit(5), "callbacks": callbacks}
    net = make_net(**settings)
    X = X.astype(np.float32)
    cleaner = InfluenceCleaner(net, random_state=0).fit(X, y)
    for result in cleaner._results:
        seen = np.unique(
            np.concatenate([r.sample_indices for r in result.run.trajectory])
        )
        assert len(seen) == len(result.fold.train)


def test_module_instance_is_warned_of():
    X, y = load_iris(return_X_y=True)
    net = make_net(module=torch.nn.Linear(4, 3), max_epochs=1)
    with pytest.warns(UserWarning, match="starts from its present weights"):
        InfluenceCleaner(net, random_state=0).fit(X.astype(np.float32), y)
