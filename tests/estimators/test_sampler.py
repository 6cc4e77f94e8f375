"""The sampler in imbalanced-learn's pipelines."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from dit_clean import InfluenceCleaner, InfluenceSampler

CLEANER = InfluenceCleaner(max_epochs=15, random_state=0)


@pytest.fixture
def flipped():
    X, y = load_iris(return_X_y=True)
    y[:10] = 2
    return X, y


def test_a_frozen_cleaner_is_for_the_data_it_was_fitted_on(flipped):
    X, y = flipped
    cleaner = InfluenceCleaner(max_epochs=15, random_state=0).fit(X, y)
    sampler = InfluenceSampler(FrozenEstimator(cleaner))
    assert np.array_equal(sampler.fit_resample(X, y)[0], X[cleaner.keep_mask_])
    with pytest.raises(ValueError, match=r"on 150 samples.*other inputs"):
        sampler.fit_resample(X[::-1], y[::-1])


def test_rows_left_out_are_the_flagged_ones(flipped):
    X, y = flipped
    sampler = InfluenceSampler(CLEANER)
    X_kept, y_kept = sampler.fit_resample(X, y)
    assert np.array_equal(X_kept, X[sampler.sample_indices_])
    assert np.array_equal(y_kept, y[sampler.sample_indices_])
    assert np.isin(np.arange(10), sampler.sample_indices_).sum() <= 1


def test_a_wrong_seed_is_refused_by_name(flipped):
    pytest.importorskip("imblearn")
    with pytest.raises(ValueError, match=r"The 'random_state' parameter of Influ"):
        InfluenceSampler(random_state="a").fit_resample(*flipped)


def test_works_as_a_step_of_imbalanced_learns_pipeline(flipped):
    pipeline = pytest.importorskip("imblearn.pipeline")
    X, y = flipped
    model = pipeline.make_pipeline(
        InfluenceSampler(CLEANER), LogisticRegression(max_iter=1000)
    ).fit(X, y)
    assert model.predict(X).shape == (150,)
    assert (model.predict(X[:10]) == 0).all()


def test_metadata_routing_brings_what_the_cleaner_takes(flipped):
    pipeline = pytest.importorskip("imblearn.pipeline")
    X, y = flipped
    given = {"groups": np.arange(150) // 3, "sample_weight": np.arange(150) + 1.0}
    given |= {"X_val": X[50:60], "y_val": y[50:60]}
    expected = clone(CLEANER).fit(X, y, **given)
    with sklearn.config_context(enable_metadata_routing=True):
        sampler = InfluenceSampler(CLEANER)
        sampler.set_fit_resample_request(**dict.fromkeys(given, True))
        last = LogisticRegression(max_iter=1000).set_fit_request(sample_weight=False)
        model = pipeline.make_pipeline(sampler, last)
        model.fit(X, y, **given)
    assert np.array_equal(model[0].cleaner_.suspicion_, expected.suspicion_)
    with pytest.raises(TypeError, match="unexpected keyword argument 'group'"):
        InfluenceSampler(CLEANER).fit_resample(X, y, group=given["groups"])


@pytest.mark.parametrize("container", [pd.DataFrame, sparse.csr_array])
def test_container_is_kept(flipped, container):
    X, y = flipped
    X_kept, y_kept = InfluenceSampler(CLEANER).fit_resample(container(X), y)
    assert isinstance(X_kept, container)
    assert X_kept.shape[0] == len(y_kept) < len(y)


def test_polars_frames_stay_polars_frames(flipped):
    X, y = flipped
    frame = pl.DataFrame(X, schema=["a", "b", "c", "d"])
    sampler = InfluenceSampler(CLEANER)
    X_kept, y_kept = sampler.fit_resample(frame, pl.Series(y))
    assert X_kept.equals(frame[sampler.sample_indices_])
    assert isinstance(y_kept, pl.Series)
    assert len(X_kept) == len(y_kept) < len(y)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("task", ["auto", "regression"])
def test_regression_targets_are_refused_by_name(task):
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:60], y[:60]  # so few that imbalanced-learn warns of them
    cleaner = InfluenceCleaner(max_epochs=2, task=task)
    for sampler in (InfluenceSampler(cleaner), InfluenceSampler()):
        match = "is for labels.*a regression target. Use CleanedRegressor"
        for targets in (y, y + 0.5, pd.Series(y)):
            with pytest.raises(ValueError, match=match):
                sampler.fit_resample(pd.DataFrame(X), targets)


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_missing_labels_are_counted(flipped, gap):
    X, y = flipped
    y = [gap if label == 1 else f"class {label}" for label in y]
    with pytest.raises(ValueError, match="y has no label in 50 of 150 rows"):
        InfluenceSampler(CLEANER).fit_resample(X, y)


def test_labels_whose_dtype_may_have_gaps_stay_whole_numbers(flipped):
    X, y = flipped
    sampler = InfluenceSampler(CLEANER)
    _, kept = sampler.fit_resample(X, pd.Series(y, dtype="Int64"))
    assert kept.dtype == "Int64"
    assert sampler.cleaner_.classes_.dtype.kind == "i"
