"""Meta-estimators: what the model is trained on, and what it answers."""

from decimal import Decimal
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    BaggingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
)
from sklearn.metrics import accuracy_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
    cross_val_score,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelEncoder,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier
from torch import nn

from dit_clean import (
    CleanedClassifier,
    CleanedRegressor,
    InfluenceCleaner,
    InfluenceSampler,
)
from tests.nets import make_net

# Most tests clean the same rows: each worker trains on them once.
KEPT = TemporaryDirectory()
CLEANER = InfluenceCleaner(max_epochs=10, random_state=0, memory=KEPT.name)


@pytest.fixture(scope="module")
def flipped():
    """Breast cancer with a quarter of the malignant samples labeled benign."""
    X, y_true = load_breast_cancer(return_X_y=True)
    y = y_true.copy()
    malignant = np.flatnonzero(y == 0)
    y[malignant[::4]] = 1
    return StandardScaler().fit_transform(X), y, y_true


class Recording(LogisticRegression):
    """A model that keeps what it was trained on."""

    def fit(self, X, y, sample_weight=None):
        self.seen_ = X, y, sample_weight
        return super().fit(X, y, sample_weight)


def test_filter_trains_on_the_kept_rows(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(Recording(), CLEANER).fit(X, y)
    keep = model.cleaner_.keep_mask_
    seen_X, seen_y, weight = model.estimator_.seen_
    assert np.array_equal(seen_X, X[keep])
    assert np.array_equal(seen_y, y[keep])
    assert weight is None
    assert (~keep).sum() > 20


def test_weight_trains_on_all_rows_with_the_cleaners_weights(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(Recording(), CLEANER, strategy="weight").fit(X, y)
    assert np.array_equal(model.estimator_.seen_[2], model.cleaner_.sample_weight_)
    assert np.array_equal(model.estimator_.seen_[1], y)


def test_relabel_trains_on_suggested_labels(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(Recording(), CLEANER, strategy="relabel").fit(X, y)
    assert np.array_equal(model.estimator_.seen_[1], model.cleaner_.suggested_label_)


@pytest.mark.parametrize("strategy", ["filter", "weight", "relabel"])
def test_each_strategy_beats_training_on_all_rows(flipped, strategy):
    X, y, y_true = flipped
    plain = LogisticRegression(max_iter=1000).fit(X[::2], y[::2])
    model = CleanedClassifier(LogisticRegression(max_iter=1000), CLEANER, strategy)
    cleaned = model.fit(X[::2], y[::2])
    test = slice(1, None, 2)
    assert accuracy_score(y_true[test], cleaned.predict(X[test])) > accuracy_score(
        y_true[test], plain.predict(X[test])
    )


def test_weights_reach_the_last_step_of_a_pipeline(flipped):
    X, y, _ = flipped
    model = make_pipeline(StandardScaler(), Recording())
    fitted = CleanedClassifier(model, CLEANER, strategy="weight").fit(X, y)
    assert fitted.estimator_[-1].seen_[2] is not None


def test_weights_reach_the_model_of_a_search(flipped):
    X, y, _ = flipped
    search = GridSearchCV(make_pipeline(StandardScaler(), Recording()), {}, cv=2)
    fitted = CleanedClassifier(search, CLEANER, strategy="weight").fit(X, y)
    seen = fitted.estimator_.best_estimator_[-1].seen_[2]
    assert np.array_equal(seen, fitted.cleaner_.sample_weight_)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("strategy", ["filter", "weight"])
def test_weights_reach_a_model_that_only_looks_like_a_search(flipped, strategy):
    X, y, _ = flipped
    model = LogisticRegressionCV(Cs=[1.0], cv=2)
    assert hasattr(model, "refit")
    plain = CleanedClassifier(clone(model), CLEANER).fit(X, y)
    weight = np.where(np.arange(len(y)) % 2, 2.0, 0.5)
    fitted = CleanedClassifier(model, CLEANER, strategy).fit(X, y, sample_weight=weight)
    assert not np.allclose(fitted.estimator_.coef_, plain.estimator_.coef_)


@pytest.mark.parametrize(
    "model",
    [
        TunedThresholdClassifierCV(LogisticRegression()),
        RFECV(LogisticRegression()),
        OneVsRestClassifier(LogisticRegression()),
    ],
)
def test_models_that_need_routing_for_weights_are_refused_before_training(
    flipped, model, monkeypatch
):
    X, y, _ = flipped
    monkeypatch.setattr(InfluenceCleaner, "fit", None)
    cleaned = CleanedClassifier(model, CLEANER, "weight")
    match = f"{type(model).__name__} takes none. Use"
    with pytest.raises(ValueError, match=match):
        cleaned.fit(X, y)
    with sklearn.config_context(enable_metadata_routing=True):
        match = f"{type(model).__name__} takes none, and no model in it has set_fit"
        with pytest.raises(ValueError, match=match):
            cleaned.fit(X, y)


@pytest.mark.parametrize(
    "model",
    [None, LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())],
)
def test_parameters_that_a_model_does_not_take_are_refused_before_training(
    flipped, model, monkeypatch
):
    X, y, _ = flipped
    monkeypatch.setattr(InfluenceCleaner, "fit", None)
    for name in ("verbose", "logisticregression__verbose"):
        with pytest.raises(TypeError, match=f"takes no parameter '{name}' in its fit"):
            CleanedClassifier(model, CLEANER).fit(X, y, **{name: 1})


@pytest.mark.parametrize("prefix", ["", "recording__"])
def test_parameters_that_a_model_takes_reach_it(flipped, prefix):
    X, y, _ = flipped
    model = make_pipeline(StandardScaler(), Recording()) if prefix else Recording()
    search = GridSearchCV(model, {}, cv=2)
    weight = np.where(np.arange(len(y)) % 2, 2.0, 0.5)
    for each in (model, search):
        fitted = CleanedClassifier(each, CLEANER, "relabel")
        fitted.fit(X, y, **{f"{prefix}sample_weight": weight})
        found = getattr(fitted.estimator_, "best_estimator_", fitted.estimator_)
        last = found[-1] if prefix else found
        assert np.array_equal(last.seen_[2], weight)


def test_steps_that_pass_data_through_are_not_asked_what_they_take(flipped):
    X, y, _ = flipped
    model = Pipeline([("nothing", "passthrough"), ("last", LogisticRegression())])
    CleanedClassifier(model, CLEANER).fit(X, y, last__sample_weight=np.ones(len(y)))
    with pytest.raises(TypeError, match="takes no parameter 'last__verbose'"):
        CleanedClassifier(model, CLEANER).fit(X, y, last__verbose=1)
    CleanedClassifier(model, CLEANER).fit(X, y, nothing__verbose=1)


def test_models_that_request_weights_get_them_by_routing(flipped):
    X, y, _ = flipped
    with sklearn.config_context(enable_metadata_routing=True):
        inner = Recording().set_fit_request(sample_weight=True)
        model = FixedThresholdClassifier(inner)
        fitted = CleanedClassifier(model, CLEANER, "weight").fit(X, y)
    seen = fitted.estimator_.estimator_.seen_[2]
    assert np.array_equal(seen, fitted.cleaner_.sample_weight_)


def test_model_of_a_search_without_sample_weight_is_refused_by_name(flipped):
    X, y, _ = flipped
    search = GridSearchCV(KNeighborsClassifier(), {})
    with pytest.raises(ValueError, match="KNeighborsClassifier takes none"):
        CleanedClassifier(search, CLEANER, strategy="weight").fit(X, y)


def test_model_without_sample_weight_is_refused_by_name(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(KNeighborsClassifier(), CLEANER, strategy="weight")
    with pytest.raises(ValueError, match=r"KNeighborsClassifier takes none.*filter"):
        model.fit(X, y)


def test_sample_weight_without_a_model_that_takes_it_is_refused(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(KNeighborsClassifier(), CLEANER)
    with pytest.raises(ValueError, match=r"sample_weight.*KNeighborsClassifier takes"):
        model.fit(X, y, sample_weight=np.ones(len(y)))
    with pytest.raises(ValueError, match=r"shape \(3,\).*each of the 569 samples"):
        CleanedClassifier(cleaner=CLEANER).fit(X, y, sample_weight=np.ones(3))


@pytest.mark.parametrize("strategy", ["filter", "weight", "relabel"])
@pytest.mark.parametrize("steps", [(), (StandardScaler(),)])
def test_sample_weight_reaches_the_model_with_its_rows(flipped, strategy, steps):
    X, y, _ = flipped
    weight = np.linspace(0.5, 1.5, len(y))
    model = make_pipeline(*steps, Recording()) if steps else Recording()
    fitted = CleanedClassifier(model, CLEANER, strategy).fit(X, y, sample_weight=weight)
    last = fitted.estimator_[-1] if steps else fitted.estimator_
    expected = {
        "filter": weight[fitted.cleaner_.keep_mask_],
        "weight": weight * fitted.cleaner_.sample_weight_,
        "relabel": weight,
    }
    assert np.array_equal(last.seen_[2], expected[strategy])
    unweighted = CleanedClassifier(Recording(), CLEANER).fit(X, y)
    same = fitted.cleaner_.suspicion_ == unweighted.cleaner_.suspicion_
    assert same.all()


def test_weights_by_the_name_of_a_step_are_those_of_the_model(flipped):
    X, y, _ = flipped
    weight = np.linspace(0.5, 1.5, len(y))
    model = make_pipeline(StandardScaler(), Recording())
    for strategy in ("weight", "relabel"):
        by_step, plain = (
            CleanedClassifier(model, CLEANER, strategy).fit(X, y, **{name: weight})
            for name in ("recording__sample_weight", "sample_weight")
        )
        last = plain.estimator_[-1].seen_[2]
        assert np.array_equal(by_step.estimator_[-1].seen_[2], last)
        with pytest.raises(ValueError, match="weights must be non-negative"):
            CleanedClassifier(model, CLEANER, strategy).fit(
                X, y, recording__sample_weight=-weight
            )
    both = {"sample_weight": weight, "recording__sample_weight": weight}
    with pytest.raises(TypeError, match="sample_weight and recording__sample_weight"):
        CleanedClassifier(model, CLEANER, "weight").fit(X, y, **both)


class TakesAnything(LogisticRegression):
    """Names no weights in its `fit`, but takes them."""

    def fit(self, X, y, **parameters):
        self.seen_ = parameters
        return super().fit(X, y)


def test_weights_by_the_name_of_a_step_need_not_be_named_by_its_fit(flipped):
    X, y, _ = flipped
    weight = np.linspace(0.5, 1.5, len(y))
    model = make_pipeline(StandardScaler(), TakesAnything())
    fitted = CleanedClassifier(model, CLEANER).fit(
        X, y, takesanything__sample_weight=weight
    )
    seen = fitted.estimator_[-1].seen_["sample_weight"]
    assert np.array_equal(seen, weight[fitted.cleaner_.keep_mask_])


@pytest.mark.parametrize("for_cleaner", [False, True])
def test_metadata_routing_sends_parameters_to_whom_they_were_requested_for(
    flipped, for_cleaner
):
    X, y, _ = flipped
    weight = np.linspace(0.5, 1.5, len(y))
    with sklearn.config_context(enable_metadata_routing=True):
        cleaner = clone(CLEANER).set_fit_request(sample_weight=for_cleaner)
        model = Recording().set_fit_request(sample_weight=not for_cleaner)
        pipeline = make_pipeline(
            FunctionTransformer(), CleanedClassifier(model, cleaner)
        )
        fitted = pipeline.fit(X, y, sample_weight=weight)[-1]
    assert (fitted.cleaner_._findings.data.sample_weight is not None) == for_cleaner
    assert (fitted.estimator_.seen_[2] is None) == for_cleaner


def test_metadata_routing_leaves_the_cleaners_weights_to_a_pipeline(flipped):
    X, y, _ = flipped
    with sklearn.config_context(enable_metadata_routing=True):
        last = Recording().set_fit_request(sample_weight=True)
        model = CleanedClassifier(
            make_pipeline(FunctionTransformer(), last), CLEANER, "weight"
        ).fit(X, y)
    seen = model.estimator_[-1].seen_[2]
    assert np.array_equal(seen, model.cleaner_.sample_weight_)


@pytest.mark.parametrize(
    "kind", [CleanedClassifier, CleanedRegressor, InfluenceSampler]
)
def test_parameters_of_a_default_cleaner_can_be_set(kind):
    model = clone(kind(random_state=3)).set_params(cleaner__window="late")
    assert model.cleaner.window == "late"
    assert model._unfitted_cleaner().random_state == 3
    model = kind().set_params(random_state=4, cleaner__cv=2)
    cleaner = model._unfitted_cleaner()
    assert (cleaner.cv, cleaner.random_state) == (2, 4)
    model = kind()
    for wrong in ({}, {"random_state": 1}, {"strategies": 2}):
        with pytest.raises(ValueError, match="Invalid parameter"):
            model.set_params(cleaner__windows="late", **wrong)
    assert model.cleaner is None


@pytest.mark.parametrize("kind", [CleanedClassifier, CleanedRegressor])
def test_parameters_of_a_default_model_can_be_set(kind):
    model = clone(kind()).set_params(estimator__tableencoder__scaling="squashed")
    assert model.estimator[0].scaling == "squashed"
    assert str(model.estimator[1]) == str(kind()._model()[1])
    given = LogisticRegression()
    model = kind(given)
    model.set_params(estimator=None, estimator__tableencoder__scaling=None)
    assert model.estimator is not given
    model = kind()
    with pytest.raises(ValueError, match=r"Invalid parameter 'C' for .* Pipeline"):
        model.set_params(estimator__C=1)
    assert model.estimator is None


def test_search_over_a_default_cleaner(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(random_state=0)
    grid = {"cleaner__window": ["early", "full"], "cleaner__max_epochs": [3]}
    search = GridSearchCV(model, grid, cv=2).fit(X[:200], y[:200])
    assert search.best_estimator_.cleaner_.max_epochs == 3


def test_unknown_strategy_is_refused(flipped):
    X, y, _ = flipped
    with pytest.raises(ValueError, match=r"strategy must be one of 'filter'"):
        CleanedClassifier(strategy="drop").fit(X, y)


def test_methods_are_those_of_the_model():
    assert hasattr(CleanedClassifier(LogisticRegression()), "decision_function")
    assert hasattr(CleanedClassifier(KNeighborsClassifier()), "predict_proba")
    assert not hasattr(CleanedClassifier(KNeighborsClassifier()), "decision_function")


def test_answers_are_those_of_the_model(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(LogisticRegression(), CLEANER).fit(X, y)
    probabilities = ("predict_proba", "predict_log_proba")
    for method in ("predict", *probabilities, "decision_function"):
        expected = getattr(model.estimator_, method)(X)
        assert np.array_equal(getattr(model, method)(X), expected)
    assert np.array_equal(model.classes_, [0, 1])


def test_frozen_cleaner_is_used_as_it_is(flipped):
    X, y, _ = flipped
    cleaner = clone(CLEANER).fit(X, y)
    model = CleanedClassifier(Recording(), FrozenEstimator(cleaner)).fit(X, y)
    assert model.cleaner_ is cleaner
    with pytest.raises(ValueError, match=r"fitted on 569 samples, but fit got 100"):
        model.fit(X[:100], y[:100])
    with pytest.raises(ValueError, match=r"other inputs or labels"):
        model.fit(X[::-1], y)
    with pytest.raises(ValueError, match=r"other inputs or labels"):
        model.fit(X[:, :5], y)
    with pytest.raises(ValueError, match=r"X_val and y_val would have no effect"):
        model.fit(X, y, X_val=X[:50], y_val=y[:50])


def test_mixed_data_frames_work_with_the_default_model():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {
            "size": rng.randn(120),
            "kind": rng.choice(["a", "b"], 120),
        }
    )
    frame.loc[3, "size"] = np.nan
    y = np.where(frame["kind"] == "a", "yes", "no")
    y[5] = "no" if y[5] == "yes" else "yes"
    model = CleanedClassifier(cleaner=CLEANER).fit(frame, y)
    assert model.score(frame, y) > 0.95
    with pytest.raises(ValueError, match="could not convert") as raised:
        CleanedClassifier(make_pipeline(LogisticRegression()), CLEANER).fit(frame, y)
    assert "encoder of its own" in raised.value.__notes__[0]
    assert list(model.feature_names_in_) == ["size", "kind"]


def make_gaps(frame):
    """Return X with a missing number, and y."""
    X, y = load_iris(return_X_y=True)
    columns = {f"x{i}": X[:, i].tolist() for i in range(4)}
    columns["x2"][7] = None
    return frame(columns), y


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_what_a_model_cannot_read_is_refused_before_training(frame, monkeypatch):
    monkeypatch.delattr(InfluenceCleaner, "fit")
    model = LogisticRegression()
    X, y = make_gaps(frame)
    match = "X has missing values, which LogisticRegression cannot.*an imputer"
    with pytest.raises(ValueError, match=match):
        CleanedClassifier(model, CLEANER).fit(X, y)
    texts = frame({"x0": X["x0"], "kind": ["a", "b", "c"] * 50})
    with pytest.raises(ValueError, match="X has text, which LogisticRegression cannot"):
        CleanedClassifier(model, CLEANER).fit(texts, y)


@pytest.mark.parametrize(
    "model",
    [
        HistGradientBoostingClassifier(max_iter=5),
        BaggingClassifier(DecisionTreeClassifier()),
        make_pipeline(SimpleImputer(), LogisticRegression(max_iter=500)),
        DummyClassifier(),
        GridSearchCV(KNeighborsClassifier(), {"metric": ["nan_euclidean"]}, cv=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_missing_values_reach_models_that_may_take_them(model):
    X, y = make_gaps(pd.DataFrame)
    assert CleanedClassifier(model, CLEANER).fit(X, y).predict(X).shape == (150,)


def test_a_model_that_fails_is_named_and_texts_of_numbers_are_numbers():
    model = make_pipeline(StandardScaler(), LogisticRegression())
    X, y = make_gaps(pd.DataFrame)
    with pytest.raises(ValueError, match="NaN") as raised:
        CleanedClassifier(model, CLEANER).fit(X, y)
    assert raised.value.__notes__[0].startswith("Pipeline gets the data frame as it is")
    numbers = X.assign(kind=(["1", "2"] * 75), x2=0.0)
    model = CleanedClassifier(LogisticRegression(max_iter=500), CLEANER)
    assert model.fit(numbers, y).predict(numbers).shape == (150,)


def test_regressor_treats_integers_as_targets():
    X, y = load_diabetes(return_X_y=True)
    y = y.astype(int)
    y[:20] += 2000
    model = CleanedRegressor(LinearRegression(), CLEANER).fit(X, y)
    assert not model.cleaner_.keep_mask_[:20].any()
    assert model.score(X[20:], y[20:]) > 0.4


def test_search_reaches_cleaner_and_model(flipped):
    X, y, _ = flipped
    model = CleanedClassifier(LogisticRegression(), CLEANER)
    grid = {"cleaner__window": ["early", "full"], "strategy": ["filter", "weight"]}
    search = GridSearchCV(model, grid, cv=2).fit(X[:200], y[:200])
    assert set(search.best_params_) == set(grid)
    assert cross_val_score(model, X[:200], y[:200], cv=2).min() > 0.7


def test_cleaner_in_the_place_of_the_model_is_refused(flipped):
    X, y, _ = flipped
    with pytest.raises(TypeError, match=r"can predict, got InfluenceCleaner\. The cle"):
        CleanedClassifier(InfluenceCleaner()).fit(X, y)


@pytest.mark.parametrize("strategy", ["filter", "weight"])
def test_stacking_has_no_predict_before_it_is_fitted(flipped, strategy):
    X, y, _ = flipped
    stack = StackingClassifier([("model", LogisticRegression())])
    model = CleanedClassifier(stack, CLEANER, strategy=strategy).fit(X, y)
    assert model.predict(X).shape == y.shape


def test_models_that_hand_on_what_they_do_not_know_take_weights(flipped):
    X, y, _ = flipped
    vote = VotingClassifier([("model", Recording())])
    model = CleanedClassifier(vote, CLEANER, strategy="weight").fit(X, y)
    (trained,) = model.estimator_.estimators_
    assert np.array_equal(trained.seen_[2], model.cleaner_.sample_weight_)


@pytest.mark.parametrize("kind", [CleanedClassifier, CleanedRegressor])
def test_default_model_takes_weights_with_metadata_routing(flipped, kind):
    X, y, _ = flipped
    y = y if kind is CleanedClassifier else X[:, 0] + X[:, 1]
    with sklearn.config_context(enable_metadata_routing=True):
        routed = kind(cleaner=CLEANER, strategy="weight").fit(X, y).predict(X)
    plain = kind(cleaner=CLEANER, strategy="weight").fit(X, y).predict(X)
    assert np.array_equal(routed, plain)


def test_arrays_are_taken_where_fit_saw_a_frame(flipped):
    X, y, _ = flipped
    frame = pd.DataFrame(X).add_prefix("x")
    model = CleanedClassifier(cleaner=CLEANER).fit(frame, y)
    with pytest.warns(UserWarning, match="valid feature names"):
        assert np.array_equal(model.predict(X), model.predict(frame))


def test_seed_is_that_of_a_cleaner_without_one():
    model = CleanedClassifier().set_params(cleaner__max_epochs=2, random_state=3)
    assert model._unfitted_cleaner().random_state == 3
    assert model.cleaner.random_state is None
    model.set_params(cleaner__random_state=4)
    assert model._unfitted_cleaner().random_state == 4


def test_what_is_no_cleaner_is_refused(flipped):
    X, y, _ = flipped
    steps = make_pipeline(StandardScaler(), CLEANER)
    for given in (steps, FrozenEstimator(steps)):
        match = r"must be an InfluenceCleaner.*got Pipeline"
        with pytest.raises(TypeError, match=match):
            CleanedClassifier(LogisticRegression(), given).fit(X, y)


def test_models_of_the_other_kind_are_refused():
    X, y = load_diabetes(return_X_y=True)
    searched = GridSearchCV(make_pipeline(LinearRegression()), {})
    for model in (LinearRegression(), searched):
        match = f"a classifier, got {type(model).__name__} .* reg.*use CleanedRegressor"
        with pytest.raises(ValueError, match=match):
            CleanedClassifier(model, CLEANER).fit(X, y)
    with pytest.raises(ValueError, match=r"a regressor, got Logis.*CleanedClassifier"):
        CleanedRegressor(LogisticRegression(), CLEANER).fit(X, y)
    for model, kind in ((KMeans(2), "clusterer"), (IsolationForest(), "outlier_det")):
        match = rf"a regressor, got {type(model).__name__} of the kind {kind}\w*\.$"
        with pytest.raises(ValueError, match=match):
            CleanedRegressor(model, CLEANER).fit(X, y)


def test_frozen_cleaners_know_targets_of_other_types_again():
    X, y = load_diabetes(return_X_y=True)
    prices = np.array([Decimal(str(price)) for price in y], dtype=object)
    cleaner = InfluenceCleaner(max_epochs=2, random_state=0).fit(X, prices)
    model = CleanedRegressor(LinearRegression(), FrozenEstimator(cleaner))
    assert model.fit(X, prices).predict(X[:3]).shape == (3,)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_cleaners_of_the_other_kind_are_refused(flipped, is_frozen):
    X, y, _ = flipped
    for kind, task, other in (
        (CleanedClassifier, "regression", CleanedRegressor),
        (CleanedRegressor, "classification", CleanedClassifier),
    ):
        cleaner = clone(CLEANER).set_params(task=task, max_epochs=1, contamination=0.1)
        cleaner = FrozenEstimator(cleaner.fit(X, y)) if is_frozen else cleaner
        match = f"not for a cleaner whose task is {task}: use {other.__name__}, or give"
        with pytest.raises(ValueError, match=match):
            kind(cleaner=cleaner).fit(X, y)


class Duck:
    """Has the methods of a classifier, and nothing else of scikit-learn."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def get_params(self, deep=True):
        return {"scale": self.scale}

    def set_params(self, **params):
        self.scale = params.get("scale", self.scale)
        return self

    def fit(self, X, y, sample_weight=None):
        self.model = LogisticRegression().fit(self.scale * X, y, sample_weight)
        self.classes_ = self.model.classes_
        return self

    def predict(self, X):
        return self.model.predict(self.scale * X)


@pytest.mark.parametrize("strategy", ["filter", "weight", "relabel"])
def test_models_need_nothing_of_scikit_learn_but_the_methods(flipped, strategy):
    X, y, y_true = flipped
    fitted = CleanedClassifier(Duck(), CLEANER, strategy).fit(X, y)
    assert fitted.score(X, y_true) > 0.9
    assert not hasattr(fitted, "predict_proba")


def test_targets_of_the_other_kind_point_to_the_other_model():
    X, y = load_diabetes(return_X_y=True)
    classifier = CleanedClassifier(LogisticRegression(), CLEANER)
    for targets in (y, y + 0.5):
        match = r'target, set task="regression", or use CleanedRegressor in place'
        with pytest.raises(ValueError, match=match):
            classifier.fit(X, targets)
        with pytest.raises(ValueError, match=match):
            clone(CLEANER).set_params(task="classification").fit(X, targets)
    with pytest.raises(ValueError, match=r"For labels .*, or use CleanedClassifier in"):
        CleanedRegressor(cleaner=CLEANER).fit(X, np.where(y > 100, "high", "low"))
    other = clone(CLEANER).set_params(task="regression")
    match = r"CleanedClassifier is not for .*task is regression: use CleanedRegressor"
    with pytest.raises(ValueError, match=match):
        CleanedClassifier(cleaner=other).fit(X, y > 100)


def test_a_net_as_model_takes_no_names_of_classes(monkeypatch):
    X, y = load_breast_cancer(return_X_y=True)
    monkeypatch.setattr(InfluenceCleaner, "fit", None)
    net = make_pipeline(StandardScaler(), make_net(nn.Linear))
    with pytest.raises(TypeError, match=r"takes the numbers of classes.*LabelEncoder"):
        CleanedClassifier(net).fit(X, np.array(["bad", "good"])[y])


def test_a_net_that_encodes_labels_itself_is_a_model():
    class Encoding(NeuralNetClassifier):
        def fit(self, X, y, **params):
            self.encoder_ = LabelEncoder().fit(y)
            return super().fit(X, self.encoder_.transform(y), **params)

        def predict(self, X):
            return self.encoder_.inverse_transform(super().predict(X))

    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X).astype(np.float32)
    net = Encoding(
        nn.Linear(30, 2), criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    )
    names = np.array(["bad", "good"])[y]
    model = CleanedClassifier(net, clone(CLEANER)).fit(X, names)
    assert model.score(X, names) > 0.8
