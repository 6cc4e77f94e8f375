"""A search over windows trains once per fold."""

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from dit_clean import InfluenceCleaner
from dit_clean.crossfit import CrossFit


@pytest.fixture
def n_trainings(monkeypatch):
    """Count the folds that are trained."""
    calls = []
    original = CrossFit.run_fold

    def counted(self, *args, **kwargs):
        calls.append(1)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(CrossFit, "run_fold", counted)
    return calls


def test_grid_search_over_windows_trains_once_per_fold(tmp_path, n_trainings):
    X, y = load_iris(return_X_y=True)
    cleaner = InfluenceCleaner(max_epochs=4, memory=str(tmp_path), random_state=0)
    model = make_pipeline(cleaner, LogisticRegression(max_iter=1000))
    grid = {
        "influencecleaner__window": ["early", "late", "full", (1, 3)],
        "influencecleaner__contamination": ["auto", 0.1],
    }
    GridSearchCV(model, grid, cv=3, refit=False).fit(X, y)
    assert len(n_trainings) == 3 * 3


def test_cached_run_gives_the_same_results(tmp_path):
    X, y = load_iris(return_X_y=True)
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
    X, y = load_iris(return_X_y=True)
    settings = {"max_epochs": 4, "random_state": 0, "memory": str(tmp_path)}
    InfluenceCleaner(**settings).fit(X, y)
    before = len(n_trainings)
    InfluenceCleaner(**(settings | change)).fit(X, y)
    assert len(n_trainings) > before


def test_other_data_are_not_taken_from_the_cache(tmp_path, n_trainings):
    X, y = load_iris(return_X_y=True)
    cleaner = InfluenceCleaner(max_epochs=2, memory=str(tmp_path), random_state=0)
    cleaner.fit(X, y)
    before = len(n_trainings)
    cleaner.fit(X + 1e-3 * X**2, y)
    assert len(n_trainings) == before + 3
