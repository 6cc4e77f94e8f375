"""A pickled cleaner is light, and answers as before."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from dit_clean import InfluenceCleaner, track
from dit_clean.crossfit import TrainingData
from dit_clean.crossfit.prototype import check_can_be_sent
from dit_clean.data.tables import TableEncoder, select_rows
from tests.nets import make_net, make_rows

LIGHT = {"hidden_layer_sizes": (2,), "max_epochs": 1, "storage": "none"}


def make_wide(n_rows=300, n_columns=400):
    rng = np.random.RandomState(0)
    y = np.arange(n_rows) % 2
    return rng.randn(n_rows, n_columns) + 0.3 * y[:, None], y


@pytest.mark.parametrize("asks_first", [False, True])
def test_data_are_pickled_once(asks_first):
    X, y = make_wide()
    cleaner = InfluenceCleaner(**LIGHT, random_state=0).fit(X, y)
    if asks_first:
        assert cleaner.influence(window=1).shape == (300,)
    assert len(pickle.dumps(cleaner)) < 1.2 * X.nbytes


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_questions_are_answered_as_before(container):
    X, y = make_rows(90)
    X = container(X)
    cleaner = InfluenceCleaner(max_epochs=4, random_state=0).fit(X, y)
    loaded = pickle.loads(pickle.dumps(cleaner))
    for found in (loaded, pickle.loads(pickle.dumps(loaded))):
        assert np.array_equal(found.suspicion_, cleaner.suspicion_)
        assert np.array_equal(found.influence_on(X[:3]), cleaner.influence_on(X[:3]))
        assert np.array_equal(found.influence_timeline_, cleaner.influence_timeline_)


def test_cleaners_that_joblib_maps_into_memory_answer_as_before(tmp_path):
    X, y = make_rows(90)
    weight = np.linspace(0.5, 1.5, 90)
    cleaner = InfluenceCleaner(max_epochs=4, random_state=0)
    cleaner.fit(X, y, sample_weight=weight)
    joblib.dump(cleaner, tmp_path / "cleaner.joblib")
    loaded = joblib.load(tmp_path / "cleaner.joblib", mmap_mode="r")
    assert np.array_equal(loaded.influence_on(X[:3]), cleaner.influence_on(X[:3]))
    assert np.array_equal(loaded.influence("full"), cleaner.influence("full"))


def make_frame(n_rows=200):
    X, _ = make_rows(n_rows)
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["kind"] = pd.Categorical(np.array(["x", "y", None, "z"])[np.arange(200) % 4])
    frame["word"] = [f"w{i % 70}" for i in range(n_rows)]
    frame.loc[:5, "b"] = np.nan
    return frame


@pytest.mark.parametrize(
    "X",
    [
        make_rows(200)[0],
        sparse.csr_array(make_rows(200)[0]),
        make_frame(),
        pl.from_pandas(make_frame()),
        make_rows(200)[0].reshape(-1, 2, 2),
    ],
)
def test_rows_are_left_out_where_parts_of_X_give_them(X, monkeypatch):
    monkeypatch.setattr("dit_clean.crossfit.data.ENCODED_AT_A_TIME", 30)
    data = TrainingData(X, TableEncoder("squashed").fit(X), targets=None)
    assert data.rows.shape[0] == 200
    assert "rows" not in data.__getstate__()
    data.X = select_rows(data.X, np.r_[:199, 0])  # other data in the last part
    assert "rows" in data.__getstate__()
    data.X = select_rows(data.X, np.arange(30))
    assert "rows" in data.__getstate__()


def test_data_changed_since_the_fit_change_no_answer():
    X, y = make_rows(90)
    X = X.astype(np.float64)
    new = X[:3].copy()
    cleaner = InfluenceCleaner(max_epochs=4, random_state=0).fit(X, y)
    X[:] = 0
    loaded = pickle.loads(pickle.dumps(cleaner))
    assert np.array_equal(loaded.influence_on(new), cleaner.influence_on(new))


def test_runs_kept_on_the_disk_go_into_the_pickle(tmp_path):
    X, y = make_rows(90)
    settings = {"max_epochs": 4, "memory": str(tmp_path), "random_state": 0}
    first = InfluenceCleaner(**settings).fit(X, y)
    pickled = pickle.dumps(InfluenceCleaner(**settings).fit(X, y))
    for path in tmp_path.rglob("*.pkl"):
        path.unlink()
    loaded = pickle.loads(pickled)
    assert np.array_equal(loaded.influence_on(X[:3]), first.influence_on(X[:3]))


def test_runs_of_another_version_are_refused(monkeypatch):
    X, y = make_rows()
    run = track(make_net(), X, y, random_state=0)
    monkeypatch.setattr("dit_clean.tracking.trajectory.FORMAT", 0)
    saved = pickle.dumps(run)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"saved by another version .*Fit again"):
        pickle.loads(saved)


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.output = weight_norm(nn.Linear(4, 3))

    def forward(self, X):
        return self.output(X)


def test_the_layer_that_cannot_be_pickled_has_its_name_in_compiled_nets_too():
    with pytest.raises(ValueError, match=r"^Layer 'output' .* is parametrized"):
        check_can_be_sent(make_net(Normed, compile=True), n_jobs=2)


def test_nets_that_cannot_be_pickled_are_told_so_before_they_train():
    X, y = make_rows()
    net = make_net(Normed, iterator_train__shuffle=True)
    cleaner = InfluenceCleaner(net, random_state=0, n_jobs=2)
    with pytest.raises(ValueError, match=r"'output' .* is parametrized.* n_jobs=2"):
        cleaner.fit(X, y)
    InfluenceCleaner(net, random_state=0).fit(X, y)
