"""A search over windows trains once per fold."""

import pickle
import shutil
import sys
import types
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, PrintLog
from torch.nn.utils.parametrizations import weight_norm

from dit_clean import InfluenceCleaner
from dit_clean.crossfit import CrossFit, cache, plan
from dit_clean.detection import (
    NoSignalWarning,
    held_out_signal,
    judge_labels,
)
from dit_clean.estimators import findings
from tests.nets import Linear, load_mixed_iris, make_net

N_NETWORKS = 4
"""Of one fit: three folds, and one on all rows."""
NOTEBOOK = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.output = nn.Linear(4, 3)

    def forward(self, X):
        return self.output(X)
"""


class Normed(Linear):
    """Torch cannot pickle it."""

    def __init__(self):
        super().__init__()
        self.output = weight_norm(self.output)


@pytest.fixture
def n_trainings(monkeypatch):
    """Count the networks that are trained."""
    calls = []
    original = CrossFit.run_fold

    def counted(self, *args, **kwargs):
        calls.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(CrossFit, "run_fold", counted)
    return calls


def test_grid_search_over_windows_trains_once_per_fold(tmp_path, n_trainings):
    X, y = load_mixed_iris()
    cleaner = InfluenceCleaner(
        max_epochs=4, lr=0.1, memory=str(tmp_path), random_state=0
    )
    model = make_pipeline(cleaner, LogisticRegression(max_iter=1000))
    grid = {
        "influencecleaner__window": ["early", "late", "full", (1, 3)],
        "influencecleaner__contamination": ["auto", 0.1],
    }
    GridSearchCV(model, grid, cv=3, refit=False).fit(X, y)
    assert len(n_trainings) == 3 * N_NETWORKS


def test_candidates_that_cut_elsewhere_share_one_judgement(tmp_path, monkeypatch):
    X, y = load_mixed_iris()
    judged = []

    def counted(*args):
        judged.append(1)
        return judge_labels(*args)

    monkeypatch.setattr(findings, "judge_labels", counted)
    cleaner = InfluenceCleaner(max_epochs=4, memory=str(tmp_path), random_state=0)
    flagged = [
        (~clone(cleaner).set_params(contamination=fraction).fit(X, y).keep_mask_).sum()
        for fraction in (0.1, 0.2, 0.4)
    ]
    assert flagged == [15, 30, 60]
    assert len(judged) == 1
    cleaner.set_params(window=(1, 3)).fit(X, y)
    cleaner.set_params(scoring="margin").fit(X, y)
    assert len(judged) == 3


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_other_groups_are_judged_anew(tmp_path, monkeypatch):
    X = np.random.RandomState(0).randn(120, 3)
    y, groups, read = X @ [1.0, 2.0, 3.0], np.arange(120) // 2, []

    def recorded(table, groups):
        read.append(groups)

    monkeypatch.setattr(findings, "expectation_by", recorded)
    splits = PredefinedSplit(groups % 3)
    cleaner = InfluenceCleaner(
        max_epochs=20, cv=splits, memory=tmp_path, random_state=0
    )
    for given in (groups, groups, None):
        cleaner.fit(X, y, groups=given)
    assert [numbers is None for numbers in read] == [False, True]


def test_missing_signal_is_tested_once_and_always_warned_of(tmp_path, monkeypatch):
    X = np.random.RandomState(0).randn(60, 3)
    y = np.arange(60) % 2
    tested = []

    def counted(*args):
        tested.append(1)
        return held_out_signal(*args)

    monkeypatch.setattr("dit_clean.estimators.cleaner.held_out_signal", counted)
    for _ in range(2):
        with pytest.warns(NoSignalWarning):
            InfluenceCleaner(max_epochs=2, memory=str(tmp_path), random_state=0).fit(
                X, y
            )
    assert len(tested) == 1


def test_cached_run_gives_the_same_results(tmp_path):
    X, y = load_mixed_iris()
    settings = {"max_epochs": 4, "random_state": 0}
    memory = joblib.Memory(tmp_path, verbose=0)
    plain = InfluenceCleaner(**settings).fit(X, y)
    for _ in range(2):
        cached = InfluenceCleaner(memory=memory, **settings).fit(X, y)
        assert np.array_equal(cached.suspicion_, plain.suspicion_)
        late = cached.influence(window="late", history="full")
        assert np.array_equal(late, plain.influence(window="late", history="full"))


@pytest.mark.parametrize(
    "change", [{"random_state": 1}, {"lr": 0.05}, {"cv": 4}, {"max_epochs": 3}]
)
def test_another_run_is_not_taken_from_the_cache(tmp_path, n_trainings, change):
    X, y = load_mixed_iris()
    settings = {"max_epochs": 4, "random_state": 0, "memory": str(tmp_path)}
    InfluenceCleaner(**settings).fit(X, y)
    before = len(n_trainings)
    InfluenceCleaner(**(settings | change)).fit(X, y)
    assert len(n_trainings) > before


@pytest.mark.parametrize(
    ("change", "value"),
    [
        (torch.set_default_dtype, torch.float64),
        (torch.set_float32_matmul_precision, "medium"),
        (partial(setattr, torch.backends.mkldnn.matmul, "fp32_precision"), "bf16"),
        (partial(setattr, torch.backends, "fp32_precision"), "tf32"),
    ],
)
def test_a_run_under_other_settings_of_torch_is_not_taken_from_the_cache(
    tmp_path, n_trainings, torch_settings, change, value
):
    X, y = load_mixed_iris()
    cleaner = InfluenceCleaner(max_epochs=2, memory=str(tmp_path), random_state=0)
    cleaner.fit(X, y)
    change(value)
    cleaner.fit(X, y)
    assert len(n_trainings) == 2 * N_NETWORKS


def test_other_data_are_not_taken_from_the_cache(tmp_path, n_trainings):
    X, y = load_mixed_iris()
    cleaner = InfluenceCleaner(max_epochs=2, memory=str(tmp_path), random_state=0)
    cleaner.fit(X, y)
    before = len(n_trainings)
    cleaner.fit(X + 1e-3 * X**2, y)
    assert len(n_trainings) == before + N_NETWORKS


def test_decisions_leave_the_recorded_runs_on_the_disk(tmp_path):
    X, y = load_mixed_iris()
    settings = {"max_epochs": 4, "memory": str(tmp_path), "random_state": 0}
    first = InfluenceCleaner(**settings).fit(X, y)
    again = InfluenceCleaner(window="late", **settings).fit(X, y)
    assert "bare" not in vars(again._findings.recorded)
    expected = first.influence(window=2, history="full")
    assert np.array_equal(again.influence(window=2, history="full"), expected)
    assert "bare" in vars(again._findings.recorded)


def test_large_runs_are_kept_in_parts(tmp_path, monkeypatch, n_trainings):
    X, y = load_mixed_iris()
    monkeypatch.setattr(cache, "MAX_PIECE", 0)
    settings = {"max_epochs": 4, "memory": str(tmp_path), "random_state": 0}
    first = InfluenceCleaner(**settings).fit(X, y)
    again = InfluenceCleaner(**settings).fit(X, y)
    assert len(n_trainings) == N_NETWORKS
    assert np.array_equal(again.suspicion_, first.suspicion_)
    assert np.array_equal(again.influence_on(X[:2]), first.influence_on(X[:2]))


def test_runs_that_are_gone_from_the_disk_are_trained_again(tmp_path, n_trainings):
    X, y = load_mixed_iris()
    settings = {"max_epochs": 4, "memory": str(tmp_path), "random_state": 0}
    first = InfluenceCleaner(**settings).fit(X, y)
    again = InfluenceCleaner(**settings).fit(X, y)
    (folder,) = tmp_path.rglob("_network")
    shutil.rmtree(folder)
    n_before = len(n_trainings)
    expected = first.influence_on(X[:2])
    assert np.array_equal(again.influence_on(X[:2]), expected)
    assert len(n_trainings) == n_before + N_NETWORKS


def run_cell(source, monkeypatch):
    """Return the net of a notebook cell."""
    notebook = types.ModuleType("notebook")
    monkeypatch.setitem(sys.modules, "notebook", notebook)
    exec(source, vars(notebook))
    return make_net(notebook.Net)


@pytest.mark.parametrize(
    ("old", "new", "is_another_run"),
    [
        ("self.output(X)", "self.output(X.tanh())", True),
        ("self.output(X)", "self.output(X)  # logits", False),
    ],
)
def test_editing_a_class_trains_again(
    tmp_path, n_trainings, monkeypatch, old, new, is_another_run
):
    X, y = load_mixed_iris()
    settings = {"memory": str(tmp_path), "random_state": 0}
    InfluenceCleaner(run_cell(NOTEBOOK, monkeypatch), **settings).fit(X, y)
    n_before = len(n_trainings)
    edited = run_cell(NOTEBOOK.replace(old, new), monkeypatch)
    InfluenceCleaner(edited, **settings).fit(X, y)
    assert (len(n_trainings) > n_before) == is_another_run


def test_another_version_trains_again(tmp_path, n_trainings, monkeypatch):
    X, y = load_mixed_iris()
    cleaner = InfluenceCleaner(max_epochs=2, memory=str(tmp_path), random_state=0)
    cleaner.fit(X, y)
    n_before = len(n_trainings)
    monkeypatch.setattr(plan, "library_versions", lambda: ("99",))
    cleaner.fit(X, y)
    assert len(n_trainings) == n_before + N_NETWORKS


def test_classes_defined_inside_functions_are_refused_by_name(tmp_path):
    class Local(Linear):
        pass

    X, y = load_mixed_iris()
    cleaner = InfluenceCleaner(make_net(Local), memory=str(tmp_path), random_state=0)
    with pytest.raises(ValueError, match=r"class .*<locals>\.Local is defined inside"):
        cleaner.fit(X, y)
    lambdas = make_net(iterator_train__worker_init_fn=lambda worker: None)
    with pytest.raises(ValueError, match=r"function .*<lambda> is .*memory=None"):
        InfluenceCleaner(lambdas, memory=str(tmp_path), random_state=0).fit(X, y)


def test_nets_that_cannot_be_pickled_are_refused(tmp_path):
    X, y = load_mixed_iris()
    with (tmp_path / "log").open("w") as stream:
        net = make_net(callbacks=[("print", PrintLog(sink=stream.write))])
        with pytest.raises(ValueError, match=r"cannot be pickled: .*memory=None"):
            InfluenceCleaner(net, memory=str(tmp_path), random_state=0).fit(X, y)


def test_a_net_with_class_weights_is_trained_once(tmp_path, n_trainings):
    X, y = load_mixed_iris()
    for _ in range(2):
        net = make_net(Linear, criterion__weight=torch.tensor([1.0, 2.0, 3.0]))
        InfluenceCleaner(net, memory=tmp_path, random_state=0).fit(
            X.astype(np.float32), y
        )
    assert len(n_trainings) == N_NETWORKS


def test_nets_that_torch_cannot_pickle_are_not_kept_but_what_they_have_shown(
    tmp_path, n_trainings
):
    X, y = load_mixed_iris()
    cleaner = InfluenceCleaner(make_net(Normed), memory=tmp_path, random_state=0)
    plain = clone(cleaner).set_params(memory=None).fit(X, y)
    n_trainings.clear()
    match = r"not the networks: Layer 'output' \(.*is parametrized \(weight_norm"
    with pytest.warns(UserWarning, match=match) as seen:
        cleaner.fit(X, y)
    assert {warning.filename for warning in seen} == {__file__}
    expected = plain.influence(2, history="full")
    assert np.array_equal(cleaner.influence(2, history="full"), expected)
    again = clone(cleaner).fit(X, y)
    assert len(n_trainings) == N_NETWORKS
    assert np.array_equal(again.suspicion_, plain.suspicion_)
    with pytest.warns(UserWarning, match=match) as seen:
        assert np.array_equal(again.influence(2, history="full"), expected)
    assert [warning.filename for warning in seen] == [__file__]
    assert len(n_trainings) == 2 * N_NETWORKS


def test_what_is_listed_of_a_cleaner_loads_no_runs(tmp_path):
    X, y = load_mixed_iris()
    settings = {"max_epochs": 3, "memory": tmp_path, "random_state": 0}
    InfluenceCleaner(**settings).fit(X, y)
    cleaner = InfluenceCleaner(**settings).fit(X, y)
    assert "suspicion_" in dir(cleaner)
    assert "bare" not in vars(cleaner._findings.recorded)


@pytest.mark.parametrize("callbacks", ["disable", [Callback()]])
def test_networks_trained_before_an_interrupt_are_kept(
    tmp_path, n_trainings, monkeypatch, callbacks
):
    X, y = load_mixed_iris()
    net = make_net(Linear, callbacks=callbacks)
    settings = {"memory": tmp_path, "random_state": 0}
    expected = InfluenceCleaner(net, random_state=0).fit(X, y)
    n_trainings.clear()
    original = CrossFit.run_fold

    def interrupted(self, *args, **kwargs):
        if len(n_trainings) == 2:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(CrossFit, "run_fold", interrupted)
        InfluenceCleaner(net, **settings).fit(X, y)
    resumed = InfluenceCleaner(net, **settings).fit(X, y)
    assert len(n_trainings) == N_NETWORKS
    assert np.array_equal(resumed.suspicion_, expected.suspicion_)
    assert np.array_equal(resumed.influence("late"), expected.influence("late"))


def test_networks_are_kept_by_the_process_of_the_cleaner(tmp_path, monkeypatch):
    """Workers may know a script's classes by other names."""
    X, y = load_mixed_iris()
    settings = {"max_epochs": 3, "lr": 0.1, "memory": tmp_path, "random_state": 0}
    first = InfluenceCleaner(n_jobs=2, **settings).fit(X, y)
    assert len(list(tmp_path.rglob("_network/*/output.pkl"))) == N_NETWORKS
    again = InfluenceCleaner(n_jobs=2, **settings).fit(X, y)

    def retrain(*args):
        raise AssertionError("a network that is kept is trained again")

    monkeypatch.setattr(CrossFit, "run_fold", retrain)
    assert np.array_equal(again.influence("full"), first.influence("full"))


def test_networks_of_processes_are_kept_as_they_finish(tmp_path, monkeypatch):
    X, y = load_mixed_iris()
    settings = {"max_epochs": 3, "random_state": 0, "memory": tmp_path, "n_jobs": 2}

    def interrupted(tasks):
        for function, args, options in list(tasks)[:0:-1]:
            yield function(*args, **options)
        raise KeyboardInterrupt  # while the first one is in training

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(joblib, "Parallel", lambda *_, **__: interrupted)
        InfluenceCleaner(**settings).fit(X, y)
    assert len(list(tmp_path.rglob("_network/*/output.pkl"))) == N_NETWORKS - 1


def test_networks_that_another_fit_keeps_meanwhile_are_taken_for_themselves(
    tmp_path, monkeypatch
):
    X, y = load_mixed_iris()
    settings = {"max_epochs": 3, "random_state": 0, "memory": tmp_path}
    expected = InfluenceCleaner(**settings).fit(X, y)
    shutil.rmtree(next(tmp_path.rglob("_finding")))
    shutil.rmtree(max(tmp_path.rglob("_network/*/"), key=lambda path: path.name))
    monkeypatch.setattr(cache.KeptNetworks, "holds", lambda *_: False)
    found = InfluenceCleaner(n_jobs=2, **settings).fit(X, y)
    assert np.array_equal(found.suspicion_, expected.suspicion_)
    assert np.array_equal(found.influence("late"), expected.influence("late"))


def test_functions_of_a_script_that_workers_send_back_are_kept_by_name(monkeypatch):
    script = types.ModuleType("script")
    exec("def swish(X):\n    return 2 * X", vars(script))
    script.swish.__module__ = "script"
    monkeypatch.setitem(sys.modules, "script", script)
    sent = types.FunctionType(script.swish.__code__, {"__name__": "script"}, "swish")
    assert sent is not script.swish
    packed = cache._Packed({"act": sent, "other": np.cumsum, "own": script.swish}, 0)
    found = pickle.loads(pickle.dumps(packed)).value
    assert found == {"act": script.swish, "other": np.cumsum, "own": script.swish}


def test_memory_without_a_location_keeps_nothing_and_asks_nothing_of_a_network():
    class Local(Linear):
        """Refused where networks are kept: another process cannot find it."""

    X, y = load_mixed_iris()
    net = make_net(Local, max_epochs=1)
    settings = {"net": net, "random_state": 0}
    expected = InfluenceCleaner(**settings).fit(X, y)
    found = InfluenceCleaner(**settings, memory=joblib.Memory(None)).fit(X, y)
    assert np.array_equal(found.suspicion_, expected.suspicion_)
