"""Rows that belong together are held out together."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes
from sklearn.feature_selection import RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    StratifiedGroupKFold,
    cross_validate,
)
from sklearn.pipeline import make_pipeline

from dit_clean import (
    CleanedClassifier,
    CleanedRegressor,
    InfluenceCleaner,
    InfluenceSampler,
)
from tests.nets import load_mixed_iris

GROUPS = np.arange(150) // 3 % 12
CLEANER = InfluenceCleaner(max_epochs=2, random_state=0)


def assert_kept_together(cleaner, groups):
    for result in cleaner._findings.recorded.ready:
        fold = result.fold
        assert not set(groups[fold.train]) & set(groups[fold.held_out])


@pytest.mark.parametrize(
    "cv",
    [
        3,
        5,
        GroupKFold(4),
        StratifiedGroupKFold(3),
        LeaveOneGroupOut(),
        list(GroupKFold(3).split(GROUPS, groups=GROUPS)),
    ],
)
def test_no_fold_trains_on_a_group_that_it_holds_out(cv):
    cleaner = clone(CLEANER).set_params(cv=cv, max_epochs=1)
    cleaner.fit(*load_mixed_iris(), groups=GROUPS)
    assert_kept_together(cleaner, GROUPS)


def test_folds_of_regression_targets_too():
    X, y = load_diabetes(return_X_y=True)
    groups = np.arange(len(y)) // 10
    model = CleanedRegressor(cleaner=CLEANER).fit(X, y, groups=groups)
    assert_kept_together(model.cleaner_, groups)


def test_folds_are_shuffled_and_balanced():
    X, y = load_mixed_iris()
    held_out = [
        clone(CLEANER)
        .set_params(random_state=seed)
        .fit(X, y, groups=GROUPS)
        ._findings.recorded.ready[0]
        .fold.held_out
        for seed in range(4)
    ]
    assert len({tuple(rows) for rows in held_out}) > 1
    assert all(np.ptp(np.bincount(y[rows])) <= 1 for rows in held_out)


@pytest.mark.parametrize(
    "as_given",
    [
        list,
        pd.Series,
        pl.Series,
        lambda groups: [f"patient {g}" for g in groups],
        lambda groups: pd.Series(groups, dtype="category"),
        torch.as_tensor,
        lambda groups: [("site", g) for g in groups],
        lambda groups: [g if g else "0" for g in groups],
        lambda groups: pd.Timestamp("2026-01-01") + pd.to_timedelta(groups, unit="D"),
        lambda groups: [torch.tensor(g) for g in groups],
        lambda groups: np.array([(g, "site") for g in groups], dtype="i8,U4"),
    ],
    ids=[
        "list",
        "pandas",
        "polars",
        "texts",
        "categories",
        "tensor",
        "pairs",
        "mixed",
        "dates",
        "tensors",
        "records",
    ],
)
def test_groups_are_anything_that_can_be_told_apart(as_given):
    X, y = load_mixed_iris()
    found = clone(CLEANER).fit(X, y, groups=as_given(GROUPS))
    expected = clone(CLEANER).fit(X, y, groups=GROUPS)
    assert np.array_equal(found.suspicion_, expected.suspicion_)


def with_gaps(values, row):
    return [None if i == row else value for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ("patient", r"groups=X\['patient'\]"),
        (GROUPS[:-1], "groups has 149 entries, but one for each of the 150 samples"),
        (with_gaps(GROUPS, 7), r"no entry in 1 of 150 rows \(first: row 7\)"),
        (pd.Series(with_gaps(GROUPS, 7), dtype="Int64"), "no entry in 1 of 150 rows"),
        (np.where(GROUPS == 1, np.nan, GROUPS), "no entry in 15 of 150 rows"),
        ([f"{g}" if g else np.nan for g in GROUPS], "no entry in 15 of 150 rows"),
        (pd.to_datetime(np.where(GROUPS, 1, None)), "no entry in 15 of 150 rows"),
        (np.where(GROUPS, 1, None).astype("M8[s]"), "no entry in 15 of 150 rows"),
        (np.zeros(150), "fewer different entries than cv=3 folds, 1, and"),
        (np.c_[GROUPS, GROUPS], "groups must be one column"),
        (pd.DataFrame({"patient": GROUPS}), "groups must be one column"),
        ([[g] for g in GROUPS], "groups must be one column"),
        ([(g, []) for g in GROUPS], "groups must be one column"),
        (torch.ones(150, 2), "groups must be one column"),
        ([torch.ones(2)] * 150, "groups must be one column"),
        (1, "groups must be one column"),
        (np.arange(150) % 3, r"at once \(fold 0 of cv=3\).*in one group alone"),
    ],
)
def test_groups_that_cannot_be_used_are_refused(groups, message):
    X, y = load_mixed_iris()
    with pytest.raises(ValueError, match=message):
        clone(CLEANER).fit(X, y, groups=groups)


def test_splitters_that_tear_groups_apart_are_refused():
    cleaner = clone(CLEANER).set_params(cv=KFold(3))
    with (
        pytest.warns(UserWarning, match="ignored by KFold"),
        pytest.raises(ValueError, match=r"groups apart, \d+ of them in fold 0"),
    ):
        cleaner.fit(*load_mixed_iris(), groups=GROUPS)


def test_splitters_by_group_ask_for_the_groups():
    cleaner = clone(CLEANER).set_params(cv=GroupKFold(3))
    with pytest.raises(ValueError, match=r"splits by groups.*fit\(X, y, groups=groups"):
        cleaner.fit(*load_mixed_iris())


def test_groups_in_another_order_are_warned_of():
    X, y = load_mixed_iris()
    X, groups = pd.DataFrame(X), pd.Series(GROUPS)
    with pytest.warns(UserWarning, match="X and groups have the same index labels"):
        clone(CLEANER).fit(X, y, groups=groups[::-1])


class TakesGroups(LogisticRegression):
    def fit(self, X, y, groups=None):
        self.groups_ = groups
        return super().fit(X, y)


MODELS = {
    "none": None,
    "without": LogisticRegression(max_iter=1000),
    "own": TakesGroups(max_iter=1000),
    "search": GridSearchCV(TakesGroups(), {"C": [1.0]}, cv=GroupKFold(3)),
    "elimination": RFECV(LogisticRegression(max_iter=1000), cv=GroupKFold(3)),
    "calibrated": CalibratedClassifierCV(LogisticRegression(max_iter=1000)),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_pass_them_to_the_cleaner_and_to_who_takes_them(name):
    X, y = load_mixed_iris()
    model = CleanedClassifier(MODELS[name], CLEANER).fit(X, y, groups=GROUPS)
    assert_kept_together(model.cleaner_, GROUPS)
    assert model.predict(X).shape == (150,)
    if name == "own":
        assert np.array_equal(model.estimator_.groups_, model.cleaner_.filter(GROUPS))


def test_groups_of_a_frozen_cleaner_are_for_the_search():
    X, y = load_mixed_iris()
    frozen = FrozenEstimator(clone(CLEANER).fit(X, y))
    CleanedClassifier(MODELS["search"], frozen).fit(X, y, groups=GROUPS)
    with pytest.raises(ValueError, match="groups would have no effect"):
        CleanedClassifier(MODELS["without"], frozen).fit(X, y, groups=GROUPS)


def test_splitters_without_groups_are_refused():
    class Own(KFold):
        def split(self, X, y):
            return super().split(X, y)

    cleaner = clone(CLEANER).set_params(cv=Own(3))
    with pytest.raises(TypeError, match="takes no groups"):
        cleaner.fit(*load_mixed_iris(), groups=GROUPS)


def test_samplers_and_pipelines_pass_them_on():
    X, y = load_mixed_iris()
    for data in (X, pl.DataFrame(X)):
        sampler = InfluenceSampler(CLEANER)
        sampler.fit_resample(data, y, groups=GROUPS)
        assert_kept_together(sampler.cleaner_, GROUPS)
    pipeline = make_pipeline(clone(CLEANER), LogisticRegression())
    pipeline.fit(X, y, influencecleaner__groups=GROUPS)
    assert_kept_together(pipeline[0], GROUPS)


def test_a_cross_validation_routes_them():
    X, y = load_mixed_iris()
    with sklearn.config_context(enable_metadata_routing=True):
        cleaner = clone(CLEANER).set_fit_request(groups=True)
        found = cross_validate(
            CleanedClassifier(cleaner=cleaner),
            X,
            y,
            cv=GroupKFold(2),
            params={"groups": GROUPS},
            return_estimator=True,
            return_indices=True,
        )
    pairs = zip(found["estimator"], found["indices"]["train"], strict=True)
    for model, rows in pairs:
        assert_kept_together(model.cleaner_, GROUPS[rows])


def test_labels_that_are_wrong_for_whole_groups_are_found():
    generator = np.random.default_rng(0)
    patients, ill = np.repeat(np.arange(200), 6), generator.integers(2, size=200)
    looks = generator.standard_normal((200, 20))
    X = looks[patients] + generator.standard_normal((1200, 20)) / 2
    X[:, 0] += 4 * ill[patients]
    wrong = patients < 20
    y = np.where(wrong, 1 - ill[patients], ill[patients])
    by_group, by_row = (
        average_precision_score(
            wrong, InfluenceCleaner(random_state=0).fit(X, y, groups=groups).suspicion_
        )
        for groups in (patients, None)
    )
    assert by_group > by_row + 0.1
