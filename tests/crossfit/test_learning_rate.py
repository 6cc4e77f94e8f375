"""lr="auto": a higher rate where networks still learn when training ends."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_gaussian_quantiles
from sklearn.metrics import average_precision_score

from dit_clean import InfluenceCleaner
from dit_clean.crossfit import CrossFit
from dit_clean.crossfit.learning_rate import RAISES
from tests.nets import load_mixed_iris, make_net

WRONG = np.arange(0, 400, 10)


@pytest.fixture(scope="module")
def slow():
    """Nested classes, which take more steps than there are in 30 epochs."""
    X, y = make_gaussian_quantiles(n_samples=400, n_features=3, random_state=0)
    y[WRONG] = (y[WRONG] + 1) % 3
    return X, y


@pytest.fixture(scope="module")
def fitted(slow):
    return InfluenceCleaner(random_state=0).fit(*slow)


def test_slow_training_is_made_faster_and_finds_more(slow, fitted):
    plain = InfluenceCleaner(lr=0.1, random_state=0).fit(*slow)
    assert fitted.lr_ in [0.1 * factor for factor in RAISES]
    assert fitted.history_["held_out"][-1] > plain.history_["held_out"][-1] + 0.05
    is_wrong = np.isin(np.arange(400), WRONG)
    found, before = (
        average_precision_score(is_wrong, cleaner.suspicion_)
        for cleaner in (fitted, plain)
    )
    assert found > before + 0.05
    assert fitted.fit_seconds_["training"] > plain.fit_seconds_["training"]


def test_results_are_those_of_that_rate(slow, fitted):
    given = InfluenceCleaner(lr=fitted.lr_, random_state=0, n_jobs=2).fit(*slow)
    assert np.array_equal(given.suspicion_, fitted.suspicion_)
    assert np.array_equal(given.influence("late"), fitted.influence("late"))


@pytest.mark.parametrize(
    ("n_samples", "seed"),
    [
        pytest.param(400, 1, id="on trial, since more is explained than before"),
        pytest.param(600, 0, id="taken, since the loss falls lower on the way"),
    ],
)
def test_loss_that_rises_at_the_end_hides_no_learning(n_samples, seed):
    X = np.random.default_rng(seed).standard_normal((n_samples, 3))
    y = (X.prod(axis=1) > 0).astype(int)
    y[::8] = 1 - y[::8]
    fitted = InfluenceCleaner(random_state=0).fit(X, y)
    plain = InfluenceCleaner(lr=0.1, random_state=0).fit(X, y)
    assert fitted.lr_ > plain.lr_
    is_wrong = np.arange(n_samples) % 8 == 0
    found, before = (
        average_precision_score(is_wrong, cleaner.suspicion_)
        for cleaner in (fitted, plain)
    )
    assert found > before + 0.1


def test_targets_have_it_too():
    X = np.random.RandomState(0).uniform(-3, 3, (400, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1]
    assert InfluenceCleaner(random_state=0).fit(X, y).lr_ > 0.1


def test_training_that_has_learned_is_left(monkeypatch):
    X, y = load_iris(return_X_y=True)
    X, y = np.tile(X, (4, 1)), np.tile(y, 4)
    run = CrossFit.run_fold
    n_networks = []

    def counted(*args, **kwargs):
        n_networks.append(1)
        return run(*args, **kwargs)

    monkeypatch.setattr(CrossFit, "run_fold", counted)
    assert InfluenceCleaner(random_state=0).fit(X, y).lr_ == 0.1
    assert len(n_networks) == 4


def test_rates_that_are_given_stay(slow):
    assert InfluenceCleaner(lr=0.05, random_state=0).fit(*slow).lr_ == 0.05
    net = make_net(lr=0.02, max_epochs=9)
    assert not hasattr(InfluenceCleaner(net).fit(*load_mixed_iris()), "lr_")


def test_a_search_finds_the_rate_once(slow, tmp_path, monkeypatch):
    settings = {"max_epochs": 12, "memory": tmp_path, "random_state": 0}
    first = InfluenceCleaner(**settings).fit(*slow)
    assert first.lr_ > 0.1

    def retrain(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(CrossFit, "run_fold", retrain)
    again = InfluenceCleaner(window="late", **settings).fit(*slow)
    assert again.lr_ == first.lr_
    assert np.array_equal(again.influence("full"), first.influence("full"))


@pytest.mark.parametrize("when", ["on trial", "later"])
def test_rates_that_diverge_are_not_taken(slow, when, tmp_path, monkeypatch):
    run = CrossFit.run_fold
    raised = []

    def diverging(plan, *args, **kwargs):
        if plan.net.lr > 0.1:
            raised.append(plan.net.lr)
            if when == "on trial" or len(raised) > 1:
                raise FloatingPointError
        return run(plan, *args, **kwargs)

    monkeypatch.setattr(CrossFit, "run_fold", diverging)
    for memory in (None, tmp_path, tmp_path):
        cleaner = InfluenceCleaner(random_state=0, memory=memory).fit(*slow)
        assert cleaner.lr_ == 0.1
    assert len(raised) == {"on trial": 2 * 2, "later": 4}[when]
    plain = InfluenceCleaner(lr=0.1, random_state=0).fit(*slow)
    assert np.array_equal(cleaner.suspicion_, plain.suspicion_)


def test_rates_that_explain_no_more_are_not_taken(slow, monkeypatch):
    run = CrossFit.run_fold

    tried = []

    def alike(plan, *args, **kwargs):
        tried.append(plan.net.lr)
        plan = replace(plan, net=clone(plan.net).set_params(lr=0.1))
        return run(plan, *args, **kwargs)

    monkeypatch.setattr(CrossFit, "run_fold", alike)
    assert InfluenceCleaner(random_state=0).fit(*slow).lr_ == 0.1
    assert tried == [*[0.1] * 4, *(0.1 * factor for factor in RAISES)]
