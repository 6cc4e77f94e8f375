"""The cleaner as a middle step of scikit-learn's own tools."""

import warnings
from functools import partial

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dit_clean import InfluenceCleaner, TrustedScorer


def make_cleaner(**settings):
    return InfluenceCleaner(**({"max_epochs": 5, "random_state": 0} | settings))


@pytest.fixture
def flipped():
    X, y = load_iris(return_X_y=True)
    y[:10] = 2
    return X, y


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_middle_step_keeps_rows_aligned_and_predicts_all(flipped, container):
    X, y = flipped
    model = make_pipeline(make_cleaner(), LogisticRegression(max_iter=1000))
    X = container(X)
    assert model.fit(X, y).predict(X).shape == (150,)
    assert cross_val_score(model, X, y, cv=3).shape == (3,)


@pytest.mark.parametrize(("name", "kind"), [("pandas", pd), ("polars", pl)])
def test_set_output_gives_frames(flipped, name, kind):
    X, y = flipped
    frame = pd.DataFrame(X, columns=list("abcd"), index=np.arange(150) + 7)
    frame = pl.from_pandas(frame) if name == "polars" else frame
    cleaner = make_cleaner().set_output(transform=name)
    cleaned = cleaner.fit_transform(frame, y)
    assert isinstance(cleaned, kind.DataFrame)
    assert list(cleaned.columns) == list("abcd")
    assert isinstance(cleaner.transform(frame), kind.DataFrame)
    if name == "pandas":
        assert cleaned.index.equals(frame.index)
        assert cleaned.dtypes.equals(frame.dtypes)


@pytest.mark.parametrize(("name", "kind"), [("pandas", pd), ("polars", pl)])
def test_set_output_turns_arrays_into_frames(flipped, name, kind):
    X, y = flipped
    cleaner = make_cleaner().set_output(transform=name)
    cleaned = cleaner.fit_transform(X, y)
    assert isinstance(cleaned, kind.DataFrame)
    assert list(cleaned.columns) == ["x0", "x1", "x2", "x3"]
    assert isinstance(cleaner.transform(X), kind.DataFrame)
    model = make_pipeline(make_cleaner(), StandardScaler(), LogisticRegression())
    model.set_output(transform=name).fit(X, y)
    assert list(model[-1].feature_names_in_) == ["x0", "x1", "x2", "x3"]


def test_set_output_leaves_the_columns_of_the_given_frame(flipped):
    X, y = flipped
    frame = pd.DataFrame(X)
    frame.columns.name = "measured"
    cleaner = make_cleaner().set_output(transform="pandas").fit(frame, y)
    assert list(cleaner.transform(frame).columns) == ["x0", "x1", "x2", "x3"]
    assert list(frame.columns) == [0, 1, 2, 3]
    assert frame.columns.name == "measured"


def test_searches_in_threads_find_what_one_thread_finds(flipped):
    X, y = flipped
    cleaners = [make_cleaner(random_state=seed) for seed in range(4)]
    alone = [cleaner.fit(X, y).suspicion_ for cleaner in cleaners]
    fits = (joblib.delayed(clone(cleaner).fit)(X, y) for cleaner in cleaners)
    together = joblib.Parallel(4, backend="threading")(fits)
    for suspicion, cleaner in zip(alone, together, strict=True):
        assert np.array_equal(cleaner.suspicion_, suspicion)


def test_fed_by_a_column_transformer_in_nested_pipelines():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame({"size": rng.randn(90), "kind": rng.choice(["a", "b"], 90)})
    y = np.where(frame["size"] > 0, "big", "small")
    columns = make_column_transformer(
        (StandardScaler(), ["size"]), (OneHotEncoder(), ["kind"])
    )
    inner = make_pipeline(columns, make_cleaner())
    model = make_pipeline(inner, LogisticRegression())
    assert model.fit(frame, y).score(frame, y) > 0.9


@pytest.mark.parametrize(
    "search", [GridSearchCV, partial(HalvingGridSearchCV, random_state=0)]
)
def test_searches_reach_the_cleaner(flipped, search):
    X, y = flipped
    model = make_pipeline(make_cleaner(), LogisticRegression(max_iter=1000))
    grid = {"influencecleaner__window": ["early", "full"]}
    found = search(model, grid, cv=3).fit(X, y)
    assert found.best_params_["influencecleaner__window"] in ("early", "full")


def test_metadata_routing_brings_clean_rows_to_the_cleaner(flipped):
    X, y = flipped
    with sklearn.config_context(enable_metadata_routing=True):
        cleaner = make_cleaner().set_fit_request(X_val=True, y_val=True)
        model = make_pipeline(cleaner, LogisticRegression(max_iter=1000))
        model.fit(X, y, X_val=X[50:80], y_val=y[50:80])
    assert model[0]._findings.data.validation is not None


def test_fitted_pipeline_survives_joblib(flipped, tmp_path):
    X, y = flipped
    model = make_pipeline(make_cleaner(), LogisticRegression(max_iter=1000)).fit(X, y)
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert np.array_equal(loaded[0].influence_, model[0].influence_)


def test_trusted_scorer_ignores_the_fold(flipped):
    X, y = flipped
    model = LogisticRegression(max_iter=1000).fit(X, y)
    truth = load_iris(return_X_y=True)[1]
    scorer = TrustedScorer(X[::2], truth[::2])
    assert scorer(model, X[:1], y[:1]) == model.score(X[::2], truth[::2])


def test_targets_that_no_kept_row_goes_with_are_warned_of():
    X, y = load_diabetes(return_X_y=True)
    cleaner = InfluenceCleaner(max_epochs=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cleaner.fit_transform(X, y)
    y = y.copy()
    y[:8] += 2000
    with pytest.warns(UserWarning, match=r"8 flagged targets lie outside the range"):
        cleaner.fit_transform(X, y)


@pytest.mark.parametrize(
    ("scoring", "error", "match"),
    [
        ("acc", ValueError, "'acc' is not a valid scoring"),
        (["accuracy"], TypeError, r"got \['accuracy'\]"),
        (None, ValueError, r"numbers of samples: \[40, 30\]"),
    ],
)
def test_scorers_that_would_fail_are_refused_when_made(scoring, error, match):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(error, match=match):
        TrustedScorer(X[:40], y[: 30 if scoring is None else 40], scoring)


def test_trusted_labels_with_gaps_are_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=r"no label in 1 of 40 rows \(first: row 3\)"):
        TrustedScorer(X[:40], [*y[:3], None, *y[4:40]])


def test_trusted_scorer_prints_as_one_line():
    X, y = load_iris(return_X_y=True)
    scorer = TrustedScorer(X, y, scoring="accuracy")
    assert repr(scorer) == "TrustedScorer(150 rows, scoring='accuracy')"
