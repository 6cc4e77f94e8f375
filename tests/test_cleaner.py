"""`InfluenceCleaner`: every promise of the contract."""

import pickle
from collections import deque

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import (
    GridSearchCV,
    PredefinedSplit,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import EarlyStopping
from torch import nn

from dit_clean import CleanedClassifier, InfluenceCleaner, rescoring
from dit_clean.detection import NoSignalWarning
from dit_clean.influence import UPDATE_RULES, Steps
from dit_clean.queries import (
    ClassProbability,
    MeanLoss,
    Parameter,
    SampleLosses,
    Several,
)
from dit_clean.tracking.networks import OPTIMIZERS
from tests.nets import (
    Convolution,
    Linear,
    Mixed,
    Probabilities,
    make_net,
    make_regressor,
    make_rows,
)

N_ROWS, N_EPOCHS = 90, 4
WRONG = np.arange(0, N_ROWS, 10)
NAMES = np.array(["ant", "bee", "cat"])


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.output = nn.Embedding(10, 8), nn.Linear(8, 3)

    def forward(self, X):
        return self.output(self.embedding(X).mean(1))


class Started(Linear):
    """Is given an array."""

    def __init__(self, start):
        super().__init__()
        self.start = start


def make_cleaner(net=None, **settings):
    defaults = {"max_epochs": N_EPOCHS, "batch_size": 16, "random_state": 0}
    return InfluenceCleaner(net, **(defaults | settings))


def make_labels():
    """Return X and class indices, those of the rows WRONG wrong."""
    X, y = make_rows(N_ROWS)
    X += 2 * np.eye(3, 4, dtype=np.float32)[y]
    y[WRONG] = (y[WRONG] + 1) % 3
    return X, y


def make_targets():
    """Return X and float targets, those of the rows WRONG far off."""
    X, _ = make_rows(N_ROWS)
    y = X @ np.array([1.0, -2.0, 0.5, 0.0]) + 50
    y[WRONG] += 30
    return X, y


@pytest.fixture(scope="module")
def data():
    return make_labels()


@pytest.fixture(scope="module")
def fitted(data):
    return make_cleaner(storage="all").fit(*data)


@pytest.fixture(scope="module")
def regression():
    return make_cleaner().fit(*make_targets())


SHAPES = {
    "influence_": (N_ROWS,),
    "influence_timeline_": (N_ROWS, N_EPOCHS),
    "suspicion_": (N_ROWS,),
    "keep_mask_": (N_ROWS,),
    "sample_weight_": (N_ROWS,),
    "suggested_label_": (N_ROWS,),
}


class TestFittedAttributes:
    @pytest.mark.parametrize("kind", ["fitted", "regression"])
    def test_shapes_and_ranges(self, kind, request):
        cleaner = request.getfixturevalue(kind)
        for name, shape in SHAPES.items():
            assert getattr(cleaner, name).shape == shape, name
        assert cleaner.keep_mask_.dtype == bool
        assert np.array_equal(
            cleaner.sample_indices_, np.flatnonzero(cleaner.keep_mask_)
        )
        for values in (cleaner.suspicion_, cleaner.sample_weight_):
            assert 0 <= values.min() <= values.max() <= 1
        assert isinstance(cleaner.threshold_, float)
        assert 0 <= cleaner.contamination_ <= 1
        assert 0 <= cleaner.window_.start < cleaner.window_.stop <= N_EPOCHS
        assert cleaner.n_features_in_ == 4
        assert all(curve.shape == (N_EPOCHS,) for curve in cleaner.history_.values())
        assert (cleaner.sample_weight_[~cleaner.keep_mask_] == 0).all()

    def test_classification_has_classes_and_regression_has_none(
        self, fitted, regression
    ):
        assert fitted.classes_.tolist() == [0, 1, 2]
        assert not hasattr(regression, "classes_")
        assert not hasattr(clone(fitted).fit(*make_targets()), "classes_")

    def test_rows_are_in_the_order_of_X(self, fitted, regression):
        for cleaner in (fitted, regression):
            assert set(WRONG) == set(np.argsort(-cleaner.suspicion_)[: len(WRONG)])

    def test_wrong_labels_are_flagged_and_corrected(self, fitted, data):
        _, y = data
        assert (~fitted.keep_mask_[WRONG]).all()
        assert (fitted.suggested_label_[WRONG] == (y[WRONG] - 1) % 3).all()
        kept = fitted.keep_mask_
        assert (fitted.suggested_label_[kept] == y[kept]).all()

    def test_wrong_labels_are_harmful(self, fitted, regression):
        for cleaner in (fitted, regression):
            wrong = cleaner.influence_[WRONG].mean()
            assert wrong < 0 < np.delete(cleaner.influence_, WRONG).mean()

    def test_wrong_targets_are_flagged_and_corrected(self, regression):
        _, y = make_targets()
        assert (~regression.keep_mask_[WRONG]).all()
        error = regression.suggested_label_[WRONG] - (y[WRONG] - 30)
        assert np.abs(error).max() < 6
        kept = regression.keep_mask_
        assert np.allclose(regression.suggested_label_[kept], y[kept], rtol=1e-5)

    def test_influence_is_that_of_its_window_as_one(self, fitted):
        window = fitted.window_
        alone = fitted.timeline([window])[:, 0]
        assert np.allclose(fitted.influence_, alone, atol=1e-7)

    def test_unfitted_cleaner_says_so(self):
        from sklearn.exceptions import NotFittedError

        for name in ("rescore", "influence", "filter"):
            with pytest.raises(NotFittedError):
                getattr(make_cleaner(), name)()


class TestLabels:
    @pytest.mark.parametrize(
        "names",
        [
            NAMES,
            NAMES.astype(object),
            np.array([10, -5, 7]),
            np.array([2.0, 0.5, 1.0]) * 2,
        ],
    )
    def test_names_of_the_labels_do_not_matter(self, names, fitted, data):
        X, y = data
        renamed = make_cleaner().fit(X, names[y])
        assert set(renamed.classes_) == set(names)
        # The order of the classes follows their names, and the network's with it.
        wrong_first = np.argsort(-renamed.suspicion_)[: len(WRONG)]
        assert set(wrong_first) == set(WRONG)
        assert renamed.suggested_label_.dtype == np.unique(names).dtype
        assert (renamed.suggested_label_[WRONG] == names[(y[WRONG] - 1) % 3]).all()

    def test_sorted_names_give_the_same_bits(self, fitted, data):
        X, y = data
        renamed = make_cleaner().fit(X, NAMES[y])
        assert np.array_equal(renamed.suspicion_, fitted.suspicion_)

    def test_booleans_are_labels(self, data):
        X, y = data
        assert make_cleaner().fit(X, y > 0).suggested_label_.dtype == bool

    def test_no_class_is_emptied(self, data):
        X, y = data
        y = np.where(np.arange(N_ROWS) < 4, 3, y)  # a class of strangers
        cleaner = make_cleaner(contamination=0.5).fit(X, y)
        assert set(y[cleaner.keep_mask_]) == {0, 1, 2, 3}

    def test_float_targets_with_many_values_are_regression(self):
        X, y = make_targets()
        assert not hasattr(make_cleaner(max_epochs=1).fit(X, y.round()), "classes_")
        task = make_cleaner(max_epochs=1, task="classification", cv=2)
        assert task.fit(X, (y > 50).astype(float)).classes_.tolist() == [0.0, 1.0]


class TestUse:
    def test_filter_takes_several_containers(self, fitted, data):
        X, y = data
        ids = [f"row {i}" for i in range(N_ROWS)]
        X_clean, y_clean, ids_clean = fitted.filter(X, y, ids)
        kept = fitted.sample_indices_
        assert np.array_equal(X_clean, X[kept])
        assert np.array_equal(y_clean, y[kept])
        assert ids_clean == [ids[i] for i in kept]
        assert fitted.filter(tuple(ids)) == tuple(ids_clean)
        assert fitted.filter(range(N_ROWS)) == kept.tolist()
        assert fitted.filter(deque(ids)) == ids_clean
        assert np.array_equal(fitted.filter(y), y[kept])
        tensor = fitted.filter(torch.as_tensor(X))
        assert torch.equal(tensor, torch.as_tensor(X[kept]))

    def test_filter_refuses_other_lengths(self, fitted, data):
        with pytest.raises(
            ValueError, match=r"inconsistent numbers of samples: \[4, 9"
        ):
            fitted.filter(data[0][:4])

    @pytest.mark.parametrize("given", [None, "a" * N_ROWS, b"a" * N_ROWS, "aaa"])
    def test_filter_names_what_has_no_rows(self, fitted, data, given):
        match = rf"filter got b?'?\w+'? as arrays\[1\].*each of the {N_ROWS} samples"
        with pytest.raises(TypeError, match=match):
            fitted.filter(data[0], given)

    def test_fit_predict_is_one_for_kept_rows(self, fitted, data):
        found = make_cleaner().fit_predict(*data)
        assert np.array_equal(found, np.where(fitted.keep_mask_, 1, -1))

    def test_fit_transform_replaces_flagged_rows_by_kept_ones_of_the_class(
        self, fitted, data
    ):
        X, y = data
        X_clean = make_cleaner().fit_transform(X, y)
        kept = fitted.keep_mask_
        assert X_clean.shape == X.shape
        assert np.array_equal(X_clean[kept], X[kept])
        for row in np.flatnonzero(~kept):
            (source,) = np.flatnonzero((X_clean[row] == X).all(axis=1))
            assert kept[source]
            assert y[source] == y[row]

    def test_transform_leaves_new_data_unchanged(self, fitted, data):
        new = np.random.RandomState(1).randn(7, 4)
        assert np.array_equal(fitted.transform(new), new)
        assert np.array_equal(fitted.transform(data[0]), data[0])

    def test_what_is_given_is_not_changed(self, data):
        X, y = (values.copy() for values in data)
        before = X.tobytes(), y.tobytes()
        X.flags.writeable = y.flags.writeable = False
        make_cleaner(max_epochs=1).fit_transform(X, y, sample_weight=np.ones(N_ROWS))
        assert (X.tobytes(), y.tobytes()) == before

    def test_global_generators_are_left_as_found(self, data):
        n_threads = torch.get_num_threads()
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        cleaner = make_cleaner(make_net(Mixed)).fit(*data)
        cleaner.influence_on(data[0][:2])
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
        assert torch.get_num_threads() == n_threads

    def test_pickled_cleaner_answers_the_same(self, fitted, data):
        again = pickle.loads(pickle.dumps(fitted))
        assert np.array_equal(again.suspicion_, fitted.suspicion_)
        query = MeanLoss(*fitted.encode(data[0][:5], data[1][:5]))
        assert np.array_equal(
            again.influence(query=query), fitted.influence(query=query)
        )

    def test_clone_is_unfitted_and_fits_alike(self, fitted, data):
        copied = clone(fitted)
        with pytest.raises(Exception, match="not fitted yet"):
            check_is_fitted(copied)
        assert copied.get_params() == fitted.get_params()
        assert np.array_equal(copied.fit(*data).suspicion_, fitted.suspicion_)

    def test_refused_refit_leaves_the_fitted_cleaner_as_it_was(self, data):
        cleaner = make_cleaner().fit(*data)
        before, on = cleaner.influence_.copy(), cleaner.influence_on(data[0][:2])
        with pytest.raises(FloatingPointError):
            cleaner.set_params(lr=1e38).fit(data[0][:, :3], NAMES[data[1]])
        assert np.array_equal(cleaner.influence_, before)
        assert np.array_equal(cleaner.influence_on(data[0][:2]), on)
        assert cleaner.transform(data[0]).shape == data[0].shape

    def test_labels_changed_after_the_fit_change_no_answer(self, data):
        X, y = data[0], data[1].copy()
        cleaner = make_cleaner().fit(X, y)
        suggested, table = cleaner.suggested_label_, cleaner.audit()
        y[:] = 0
        assert cleaner.audit().equals(table)
        assert np.array_equal(cleaner.rescore().suggested_label_, suggested)

    def test_answers_may_be_written_to(self, data):
        cleaner = make_cleaner().fit(*data)
        for name in ("influence_", "influence_timeline_"):
            before = getattr(cleaner, name).copy()
            getattr(cleaner, name)[:] = 0
            assert np.array_equal(getattr(cleaner, name), before)
            assert before.dtype == np.float64

    def test_suspicion_may_be_written_to(self, data):
        cleaner = make_cleaner().fit(*data)
        before = cleaner.suspicion_.copy()
        cleaner.suspicion_[:] = 0
        assert np.array_equal(cleaner.rescore().suspicion_, before)

    def test_what_was_read_before_a_refit_stays_whole(self, data):
        cleaner = make_cleaner().fit(*data)
        before, expected = cleaner.audit_data(), cleaner.influence_
        cleaner.fit(data[0][:60], data[1][:60])
        assert np.array_equal(before.influence, expected)
        assert before.timeline.shape == (N_ROWS, N_EPOCHS)

    def test_progress_is_printed_when_asked_for(self, data, capsys):
        make_cleaner(verbose=1).fit(*data)
        shown = capsys.readouterr().err
        assert "16/16" in shown
        assert "training and reverse pass" in shown
        assert "deciding: 100%" in shown
        make_cleaner().fit(*data)
        captured = capsys.readouterr()
        assert captured.err == captured.out == ""

    @pytest.mark.slow
    def test_plain_pipeline_under_grid_search_over_window(self, data):
        model = make_pipeline(
            make_cleaner(max_epochs=2), LogisticRegression(max_iter=500)
        )
        grid = {"influencecleaner__window": ["full", 1]}
        search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(*data)
        assert search.predict(data[0]).shape == (N_ROWS,)
        assert search.best_params_.keys() == grid.keys()

    def test_warnings_point_to_the_line_that_fits(self, data):
        X, y = data[0], np.random.RandomState(0).permutation(data[1])
        with pytest.warns(UserWarning) as warned:
            make_cleaner(make_net(nn.Linear(4, 3), max_epochs=1)).fit(X, y)
        texts = " ".join(str(warning.message) for warning in warned)
        assert "module instance" in texts
        assert "hardly predict" in texts
        assert {warning.filename for warning in warned} == {__file__}

    def test_advice_about_many_wrong_targets_silences_it(self):
        X, y = make_targets()
        make_cleaner(make_regressor(), contamination=0.1).fit(X, y - 50)

    @pytest.mark.filterwarnings("ignore:.*hardly predict")
    def test_targets_that_are_not_scaled_for_the_net_are_warned_of(self):
        X, y = make_targets()
        match = (
            r"The median target lies [\d.]+ above its prediction.* Scale the targets"
        )
        with pytest.warns(UserWarning, match=match) as warned:
            make_cleaner(make_regressor(lr=1e-3)).fit(X, y)
        assert {warning.filename for warning in warned} == {__file__}

    def test_measurements_that_are_taken_for_labels_are_warned_of(self):
        X = np.random.RandomState(0).randn(200, 5)
        ratings = np.clip(40 + 10 * X[:, 0], 20, 60).astype(int) // 4 * 4
        match = '% of the labels look wrong.*task="regression"'
        with pytest.warns(UserWarning, match=match) as warned:
            make_cleaner().fit(X, ratings)
        assert {warning.filename for warning in warned} == {__file__}

    def test_rare_events_are_warned_of_unless_a_fraction_is_asked_for(self):
        generator = np.random.RandomState(0)
        X = generator.randn(800, 3)
        y = (generator.rand(800) < 1 / (1 + np.exp(3 - X[:, 0]))).astype(int)
        match = r"Most rows of a class are flagged: 1 \("
        with pytest.warns(UserWarning, match=match) as warned:
            cleaner = InfluenceCleaner(random_state=0).fit(X, y)
        assert {warning.filename for warning in warned} == {__file__}
        with pytest.warns(UserWarning, match=match):
            cleaner.rescore()
        with pytest.warns(UserWarning, match=match):
            CleanedClassifier(random_state=0).fit(X, y)
        cleaner.set_params(contamination=0.05).rescore()

    def test_skewed_targets_are_warned_of_and_their_logarithms_are_not(self):
        generator = np.random.RandomState(0)
        X = generator.randn(1000, 3)
        y = np.exp((X[:, 0] + X[:, 1]) / 2 + 0.8 * generator.randn(1000))
        match = "flagged targets lie above the prediction"
        with pytest.warns(UserWarning, match=match) as warned:
            cleaner = InfluenceCleaner(random_state=0).fit(X, y)
        assert {warning.filename for warning in warned} == {__file__}
        with pytest.warns(UserWarning, match=match):
            cleaner.rescore()
        InfluenceCleaner(random_state=0).fit(X, np.log(y))

    def test_gross_errors_to_one_side_are_not_taken_for_a_tail(self):
        generator = np.random.RandomState(0)
        X = generator.randn(600, 3)
        y = X[:, 0] + 0.3 * generator.randn(600)
        y[:30] = 1000 * np.abs(y[:30])
        assert not InfluenceCleaner(random_state=0).fit(X, y).keep_mask_[:30].any()

    @pytest.mark.parametrize("wrong_class", [0, 1])
    def test_many_wrong_labels_of_one_class_are_not_warned_of(self, wrong_class):
        X, y = load_breast_cancer(return_X_y=True)
        wrong = (np.random.RandomState(0).rand(len(y)) < 0.4) & (y == wrong_class)
        make_cleaner().fit(X, np.where(wrong, 1 - y, y))

    @pytest.mark.filterwarnings("ignore:.*hardly predict")
    def test_tokens_changed_after_the_fit_change_no_answer(self, data):
        tokens = np.clip(data[0] + 4, 0, 9).astype(np.int64)
        cleaner = make_cleaner(make_net(Tokens, lr=0.3)).fit(tokens, data[1])
        before = cleaner.influence(window=(0, 2))
        tokens[:] = 0
        assert np.array_equal(cleaner.influence(window=(0, 2)), before)

    @pytest.mark.filterwarnings("ignore:.*hardly predict")
    def test_images_with_channels_last_in_memory(self, data):
        images = np.random.RandomState(0).rand(N_ROWS, 8, 8, 1).astype(np.float32)
        X = images.transpose(0, 3, 1, 2)
        cleaner = make_cleaner(make_net(Convolution, max_epochs=2)).fit(X, data[1])
        assert cleaner.influence_on(X[:3], data[1][:3]).shape == (3, N_ROWS)


class TestSettings:
    def test_random_state_makes_it_reproducible(self, fitted, data):
        assert np.array_equal(make_cleaner().fit(*data).suspicion_, fitted.suspicion_)
        generators = [np.random.RandomState(0) for _ in range(2)]
        first, again = (make_cleaner(random_state=g).fit(*data) for g in generators)
        assert np.array_equal(first.suspicion_, again.suspicion_)
        other = make_cleaner(random_state=1).fit(*data)
        assert not np.array_equal(other.suspicion_, fitted.suspicion_)

    @pytest.mark.parametrize(
        "changes",
        [
            {"window": "early"},
            {"window": 1, "scoring": "influence"},
            {"scoring": "margin"},
            {"contamination": 0.2},
            {"window": (0.5, 1.0), "contamination": 0.1, "history": "full"},
        ],
    )
    def test_rescore_equals_a_fresh_fit(self, changes, data):
        rescored = make_cleaner().fit(*data).set_params(**changes).rescore()
        fresh = make_cleaner(**changes).fit(*data)
        assert rescored.window_ == fresh.window_
        for name in SHAPES:
            assert np.array_equal(getattr(rescored, name), getattr(fresh, name)), name
        assert rescored.threshold_ == fresh.threshold_

    @pytest.mark.parametrize("make", [make_labels, make_targets])
    @pytest.mark.parametrize("scoring", ["combined", "influence", "margin"])
    def test_contamination_is_the_fraction_flagged(self, make, scoring):
        cleaner = make_cleaner(contamination=0.1, scoring=scoring).fit(*make())
        assert (~cleaner.keep_mask_).sum() == 9

    def test_rescore_names_parameters_of_the_net_that_have_changed(self, data):
        cleaner = make_cleaner(make_net(criterion__weight=torch.ones(3))).fit(*data)
        assert cleaner.rescore() is cleaner
        cleaner.set_params(net__lr=5.0, net__max_epochs=1)
        with pytest.raises(ValueError, match="net__lr, net__max_epochs changed since"):
            cleaner.rescore()

    @pytest.mark.parametrize(
        "start",
        [np.array([0.1, 0.2]), np.array([np.nan]), torch.ones(2), [np.ones(2), 1]],
    )
    def test_rescore_compares_arrays_by_content(self, start, data, tmp_path):
        cleaner = make_cleaner(make_net(Started, module__start=start)).fit(*data)
        joblib.dump(cleaner, tmp_path / "cleaner")
        loaded = joblib.load(tmp_path / "cleaner")
        loaded.set_params(contamination=0.1, batch_size=np.int64(16))
        assert loaded.rescore().keep_mask_.sum() == 81
        loaded.set_params(net__module__start=np.array([0.1, 0.3]))
        with pytest.raises(ValueError, match="net__module__start changed since"):
            loaded.rescore()

    def test_other_cuts_are_not_judged_again(self, data, monkeypatch):
        cleaner = make_cleaner().fit(*data)
        fresh = make_cleaner(contamination=0.3).fit(*data)
        monkeypatch.setattr(rescoring, "judge_labels", None)
        cleaner.set_params(contamination=0.3).rescore()
        assert np.array_equal(cleaner.keep_mask_, fresh.keep_mask_)
        with pytest.raises(TypeError):
            cleaner.set_params(window="early").rescore()

    def test_rows_sorted_by_label_and_not_shuffled_are_warned_of(self, data):
        order = np.argsort(data[1], kind="stable")
        X, y = data[0][order], data[1][order]
        with pytest.warns(UserWarning, match="sorted by label.*shuffle=True"):
            make_cleaner(make_net()).fit(X, y)
        make_cleaner(make_net(iterator_train__shuffle=True)).fit(X, y)
        make_cleaner().fit(X, y)

    def test_only_ratios_of_weights_count(self, data):
        weight = np.where(data[1] == 0, 1.0, 3.0)
        small, large = (
            make_cleaner().fit(*data, sample_weight=factor * weight)
            for factor in (0.25, 1024.0)
        )
        assert np.array_equal(small.suspicion_, large.suspicion_)

    def test_given_splitter_is_used(self, data):
        folds = np.arange(N_ROWS) // 3 % 3
        cleaner = make_cleaner(cv=PredefinedSplit(folds)).fit(*data)
        held_out = [folds[result.fold.held_out] for result in cleaner._recorded.ready]
        assert [set(rows) for rows in held_out] == [{0}, {1}, {2}]
        splitter = StratifiedKFold(5, shuffle=True, random_state=0)
        assert len(make_cleaner(cv=splitter).fit(*data)._recorded.ready) == 5

    @pytest.mark.parametrize("cv", [2, 4])
    def test_number_of_folds(self, cv, data):
        cleaner = make_cleaner(cv=cv).fit(*data)
        assert len(cleaner._recorded.ready) == cv
        assert np.isin(WRONG, np.argsort(-cleaner.suspicion_)[:15]).all()

    def test_hidden_layers_and_optimizer_are_used(self, data):
        settings = {"hidden_layer_sizes": (7, 5), "optimizer": "adamw", "lr": 0.01}
        trajectory = (
            make_cleaner(**settings).fit(*data)._recorded.ready[0].run.trajectory
        )
        shapes = [tuple(shape) for shape in trajectory.layout.shapes]
        assert shapes == [(7, 4), (7,), (5, 7), (5,), (3, 5), (3,)]
        assert trajectory.optimizer_type is torch.optim.AdamW
        assert trajectory.records[0].learning_rate == 0.01

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_wrong_labels_are_found_with_each_optimizer(self, optimizer, data):
        cleaner = make_cleaner(optimizer=optimizer, max_epochs=30).fit(*data)
        record = cleaner._recorded.ready[0].run.trajectory.records[0]
        rates = {"sgd": 0.1, "adagrad": 0.01, "adadelta": 1.0}
        assert record.learning_rate == rates.get(optimizer, 0.001)
        assert np.isin(WRONG, np.argsort(-cleaner.suspicion_)[:15]).all()

    def test_optimizers_by_name_are_those_with_an_update_rule(self):
        assert set(OPTIMIZERS.values()) == UPDATE_RULES.keys()

    def test_storage_decides_what_is_kept_and_never_the_answer(self, fitted, data):
        X, y = data
        few = make_cleaner(storage="none").fit(X, y)
        small = make_cleaner(max_memory="4KB").fit(X, y)
        auto = make_cleaner().fit(X, y)

        def n_kept(cleaner):
            return len(cleaner._recorded.ready[0].run.trajectory.store)

        assert n_kept(few) == 1
        assert n_kept(small) <= 2
        assert n_kept(auto) == N_EPOCHS + 1
        assert n_kept(fitted) == 4 * N_EPOCHS + 1
        expected = fitted.influence(window=2, history="full")
        for cleaner in (few, small, auto):
            assert np.array_equal(cleaner.suspicion_, fitted.suspicion_)
            found = cleaner.influence(window=2, history="full")
            assert np.array_equal(found, expected)

    def test_memory_trains_once_for_a_search(self, data, tmp_path, monkeypatch):
        from dit_clean.crossfit import plan

        first = make_cleaner(memory=str(tmp_path)).fit(*data)
        monkeypatch.setattr(plan, "fit_tracked", None)  # training would fail
        settings = {"window": 1, "scoring": "margin", "contamination": 0.2}
        again = make_cleaner(memory=str(tmp_path), **settings).fit(*data)
        fresh = first.set_params(**settings).rescore()
        assert np.array_equal(again.suspicion_, fresh.suspicion_)
        assert again.influence_on(data[0][:2]).shape == (2, N_ROWS)
        with pytest.raises(TypeError):
            make_cleaner(memory=str(tmp_path), lr=0.01).fit(*data)

    @pytest.mark.parametrize("n_jobs", [2])
    @pytest.mark.slow
    def test_number_of_jobs_never_changes_a_bit(self, n_jobs, data):
        net = make_net(Mixed, iterator_train__shuffle=True)
        alone = make_cleaner(net).fit(*data)
        together = make_cleaner(net, n_jobs=n_jobs).fit(*data)
        with joblib.parallel_config(backend="threading"):
            inside = make_cleaner(net, n_jobs=n_jobs).fit(*data)
        for cleaner in (together, inside):
            for name in SHAPES:
                assert np.array_equal(getattr(cleaner, name), getattr(alone, name))
            on = cleaner.influence_on(data[0][:2])
            assert np.array_equal(on, alone.influence_on(data[0][:2]))

    @pytest.mark.slow
    def test_nets_of_notebooks_and_scripts_train_in_parallel(self, data):
        """Their modules cannot be pickled by name."""

        class Local(nn.Linear):
            pass

        net = make_net(Local, module__in_features=4, module__out_features=3)
        alone = make_cleaner(net).fit(*data)
        together = make_cleaner(net, n_jobs=2).fit(*data)
        assert np.array_equal(alone.suspicion_, together.suspicion_)


def test_labels_without_any_pattern_are_warned_of():
    generator = np.random.RandomState(0)
    X, y = generator.randn(60, 4), generator.randint(2, size=60)
    with pytest.warns(NoSignalWarning, match="standard errors worse than chance"):
        make_cleaner().fit(X, y)


class TestValidationAndWeights:
    @pytest.mark.parametrize("make", [make_labels, make_targets])
    def test_clean_validation_samples_change_the_result(self, make):
        X, y = make()
        rows = np.delete(np.arange(N_ROWS), WRONG)[:40]
        plain = make_cleaner(scoring="influence").fit(X, y)
        helped = make_cleaner(scoring="influence")
        helped.fit(X, y, X_val=X[rows], y_val=y[rows])
        assert not np.allclose(helped.influence_, plain.influence_)
        assert not np.array_equal(helped.suspicion_, plain.suspicion_)
        assert helped.influence_[WRONG].mean() < 0

    def test_clean_targets_that_decide_nothing_are_warned_of(self):
        X, y = make_targets()
        rows = np.delete(np.arange(N_ROWS), WRONG)[:40]
        with pytest.warns(UserWarning, match="change influence_ alone"):
            helped = make_cleaner().fit(X, y, X_val=X[rows], y_val=y[rows])
        plain = make_cleaner().fit(X, y)
        assert np.array_equal(helped.suspicion_, plain.suspicion_)
        assert not np.array_equal(helped.influence_, plain.influence_)

    def test_influence_is_measured_on_the_validation_loss(self, data):
        X, y = data
        X_val, y_val = X[1:9], y[1:9]
        cleaner = make_cleaner().fit(X, y, X_val=X_val, y_val=y_val)
        each = cleaner.influence_on(X_val, y_val, window=1)
        found = cleaner.influence(window=1)
        assert np.allclose(found, each.mean(axis=0), rtol=1e-4, atol=1e-7)

    def test_string_labels_of_validation_samples_are_encoded(self, data):
        X, y = data
        rows = slice(1, 9)
        named = make_cleaner().fit(X, NAMES[y], X_val=X[rows], y_val=NAMES[y][rows])
        plain = make_cleaner().fit(X, y, X_val=X[rows], y_val=y[rows])
        assert np.array_equal(named.influence_, plain.influence_)

    def test_sample_weight_weighs_the_loss_in_training(self, fitted, data):
        X, y = data
        ones = make_cleaner().fit(X, y, sample_weight=np.ones(N_ROWS))
        assert np.allclose(ones.suspicion_, fitted.suspicion_, atol=1e-4)
        weight = np.ones(N_ROWS)
        weight[WRONG] = 0
        weighted = make_cleaner().fit(X, y, sample_weight=weight)
        assert (weighted.influence_[WRONG] == 0).all()
        assert not np.allclose(weighted.influence_, fitted.influence_)

    @pytest.mark.parametrize("size", [0.0, 0.01])
    @pytest.mark.parametrize("scoring", ["combined", "influence"])
    def test_a_sample_of_low_weight_is_not_the_less_suspicious(
        self, size, scoring, data
    ):
        X, y = data
        weight = np.ones(N_ROWS)
        weight[WRONG] = size
        cleaner = make_cleaner(scoring=scoring).fit(X, y, sample_weight=weight)
        assert set(np.argsort(-cleaner.suspicion_)[: len(WRONG)]) == set(WRONG)

    def test_influence_alone_finds_targets_of_low_weight(self):
        X, y = make_targets()
        is_wrong = np.isin(np.arange(N_ROWS), WRONG)
        weight = np.where(is_wrong, 0.01, 1.0)
        cleaner = make_cleaner(scoring="influence").fit(X, y, sample_weight=weight)
        assert average_precision_score(is_wrong, cleaner.suspicion_) > 0.5

    def test_targets_of_weight_zero_have_no_influence(self):
        X, y = make_targets()
        weight = np.where(np.isin(np.arange(N_ROWS), WRONG), 0.0, 1.0)
        cleaner = make_cleaner(scoring="influence").fit(X, y, sample_weight=weight)
        assert (cleaner.influence_timeline_[WRONG] == 0).all()
        assert np.isfinite(cleaner.suspicion_).all()

    @pytest.mark.parametrize("make", [make_labels, make_targets])
    def test_influence_of_an_epoch_counts_the_weight_once(self, make):
        X, y = make()
        weight = np.random.default_rng(0).uniform(0.1, 2, len(y))
        cleaner = make_cleaner().fit(X, y, sample_weight=weight)
        expected = cleaner.timeline()
        assert np.allclose(cleaner.influence_timeline_, expected, rtol=1e-4, atol=1e-9)


class TestQuestions:
    @pytest.mark.parametrize("window", [(1, 2), (1, 3)])
    def test_influence_with_and_without_the_query_spelled_out_agree(
        self, fitted, window
    ):
        from dit_clean.crossfit import average_timeline
        from dit_clean.influence import resolve_window

        epochs = resolve_window(window, fitted._evidence.n_epochs)
        expected = average_timeline(
            fitted._recorded.ready, fitted._data.make_query, [epochs], "window"
        )[-1, :, 0]
        assert np.allclose(fitted.influence(window=window), expected, atol=1e-7)
        assert np.array_equal(fitted.influence(), fitted.influence_)

    @pytest.mark.parametrize("window", [None, "full", (2, 3), Steps(1, 4)])
    def test_a_window_is_measured_once(self, data, window, monkeypatch):
        cleaner = make_cleaner().fit(*data)
        expected = cleaner.influence(window)
        cleaner.influence(window)[:] = 0
        monkeypatch.setattr("dit_clean.questions.average_timeline", None)
        assert np.array_equal(cleaner.influence(window), expected)
        table = cleaner.group_influence(window=window)
        assert np.isclose(table["influence"].sum(), expected.sum())
        if window is None:
            assert np.array_equal(cleaner.influence_, expected)

    def test_rescore_refuses_a_changed_training(self, data):
        cleaner = make_cleaner().fit(*data)
        with pytest.raises(ValueError, match=r"lr changed since fit.*Call fit"):
            cleaner.set_params(lr=0.01).rescore()

    def test_convergence_is_the_same_window_everywhere(self, data):
        cleaner = make_cleaner(window="convergence").fit(*data)
        found = cleaner.influence(window="convergence")
        assert np.array_equal(found, cleaner.influence_)

    def test_one_epoch_by_reverse_pass_equals_the_timeline(self, fitted, data):
        X, y = data
        cleaner = make_cleaner().fit(X, y, X_val=X[:9], y_val=y[:9])
        encoded = cleaner._data.make_query.validation
        found = cleaner.influence(
            window=(2, 3), query=MeanLoss(*encoded), history="window"
        )
        timeline = cleaner.influence_timeline_[:, 2]
        assert np.allclose(found, timeline, rtol=1e-4, atol=1e-8)

    def test_history_changes_the_answer(self, fitted):
        gone = fitted.influence(window=(2, 4), history="full")
        absent = fitted.influence(window=(2, 4), history="window")
        assert gone.shape == absent.shape == (N_ROWS,)
        assert not np.allclose(gone, absent)

    def test_query_of_several_values_gives_a_row_for_each(self, fitted, data):
        X, y = fitted.encode(*data)
        three = fitted.influence(query=SampleLosses(X[:3], y[:3]))
        assert three.shape == (3, N_ROWS)
        first = fitted.influence(query=SampleLosses(X[:1], y[:1]))
        assert first.shape == (N_ROWS,)
        assert np.allclose(three[0], first)
        assert fitted.influence(query=ClassProbability(X, y, 3)).shape == (3, N_ROWS)

    def test_own_query_on_encoded_samples_is_influence_on_them(self, fitted, data):
        X, y = data
        query = MeanLoss(*fitted.encode(X[:5], y[:5]))
        expected = fitted.influence_on(X[:5], y[:5]).mean(axis=0)
        found = fitted.influence(query=query)
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-7)
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            fitted.encode(X[:5], y[:4])

    def test_samples_that_are_not_encoded_are_refused(self, fitted, data):
        X, y = data
        with pytest.raises(
            TypeError, match=r"Use MeanLoss\(\*cleaner.encode\(X, y\)\)"
        ):
            fitted.influence(query=MeanLoss(X, y))
        both = Several((Parameter("output"), SampleLosses(X, y)))
        with pytest.raises(TypeError, match=r"SampleLosses: the default network takes"):
            fitted.timeline(query=both)

    def test_report_shows_the_settings_that_were_decided_with(self, data):
        cleaner = make_cleaner(max_epochs=2).fit(*data)
        cleaner.set_params(window="late", random_state=7)
        shown = cleaner.audit_data().parameters
        assert (shown["window"], shown["random_state"]) == ("convergence", 0)
        with pytest.raises(ValueError, match="random_state changed since fit"):
            cleaner.rescore()
        cleaner.set_params(random_state=0).rescore()
        assert cleaner.audit_data().parameters["window"] == "late"

    def test_influence_on_has_a_row_for_each_sample(self, fitted, data):
        X, y = data
        found = fitted.influence_on(X[:40], y[:40], window="full")
        assert found.shape == (40, N_ROWS)
        one = fitted.influence_on(X[35:36], y[35:36], window="full")
        assert np.allclose(found[35], one[0], rtol=1e-4, atol=1e-7)

    def test_wrong_neighbors_are_harmful_and_right_ones_helpful(self, fitted, data):
        """Sign: loss without the training sample minus loss with it."""
        X, y = data
        clean = np.delete(np.arange(N_ROWS), WRONG)
        found = fitted.influence_on(X[clean], y[clean], window="full").mean(axis=0)
        assert found[WRONG].max() < 0 < np.median(found[clean])
        own = fitted.influence_on(X[clean], y[clean], window="full")[:, clean]
        assert np.diag(own).mean() > 0

    def test_without_labels_the_predicted_ones_are_taken(self, fitted, data):
        X, y = data
        clean = np.delete(np.arange(N_ROWS), WRONG)[:6]
        found = fitted.influence_on(X[clean])
        assert np.allclose(found, fitted.influence_on(X[clean], y[clean]))

    def test_regression_answers_too(self, regression):
        X, y = make_targets()
        assert regression.influence_on(X[1:4], y[1:4]).shape == (3, N_ROWS)
        assert regression.influence_on(X[1:4]).shape == (3, N_ROWS)
        assert regression.influence(history="full").shape == (N_ROWS,)

    def test_unknown_history_and_window_are_refused(self, fitted):
        with pytest.raises(ValueError, match="Unknown history 'past'"):
            fitted.influence(history="past")
        with pytest.raises(ValueError, match="outside of training: it has 4 epochs"):
            fitted.influence(window=(0, 9))


class TestGivenNets:
    def test_net_is_cloned_and_never_touched(self, data):
        net = make_net()
        before = {k: repr(v) for k, v in net.get_params(deep=False).items()}
        make_cleaner(net).fit(*data)
        after = {k: repr(v) for k, v in net.get_params(deep=False).items()}
        assert after == before
        assert not net.initialized_

    def test_log_probabilities_and_logits_give_the_same(self, data):
        logits = make_cleaner(make_net()).fit(*data)
        net = make_net(Probabilities, criterion=nn.NLLLoss)
        probabilities = make_cleaner(net).fit(*data)
        assert np.allclose(
            logits.suspicion_, probabilities.suspicion_, atol=1e-3, rtol=1e-2
        )

    def test_regressor_is_tracked_in_the_given_unit(self):
        X, y = make_targets()
        cleaner = make_cleaner(make_regressor(max_epochs=9)).fit(X, y - 50)
        assert not hasattr(cleaner, "classes_")
        assert (~cleaner.keep_mask_[WRONG]).all()
        assert np.abs(cleaner.suggested_label_).max() < 60

    def test_targets_beyond_single_precision_are_gross_errors(self):
        X, y = make_targets()
        y[3] = 1e60
        cleaner = make_cleaner().fit(X, y - 50)
        assert not cleaner.keep_mask_[3]
        assert np.isfinite(cleaner.influence_).all()
        assert np.abs(cleaner.suggested_label_).max() < 60

    def test_regressor_takes_whole_numbers(self):
        X, y = make_targets()
        with pytest.warns(UserWarning, match="not learned where targets lie"):
            cleaner = make_cleaner(make_regressor()).fit(X, (y - 50).astype(int))
        assert not hasattr(cleaner, "classes_")

    @pytest.mark.slow
    def test_image_net(self):
        generator = np.random.RandomState(0)
        y = np.arange(60) % 3
        X = 0.1 * generator.randn(60, 1, 8, 8)
        X[np.arange(60), 0, y * 2] += 1
        y[WRONG[:6]] = (y[WRONG[:6]] + 1) % 3
        net = make_net(Convolution, max_epochs=12, lr=0.3, batch_size=8)
        for images in (X, (np.clip(X, 0, 2) * 100).astype(np.uint8) / np.float32(100)):
            cleaner = make_cleaner(net).fit(images, y)
            assert set(np.argsort(-cleaner.suspicion_)[:6]) == set(WRONG[:6])
        assert cleaner.fit_transform(X, y).shape == X.shape
        default = make_cleaner().fit(X, y)
        assert default.influence_on(X[:2]).shape == (2, 60)

    def test_double_precision_net(self, data):
        class Double(Mixed):
            def __init__(self):
                super().__init__()
                self.double()

        cleaner = make_cleaner(make_net(Double)).fit(*data)
        assert cleaner.influence_on(data[0][:2]).shape == (2, N_ROWS)
        assert cleaner.influence(history="full").shape == (N_ROWS,)

    @pytest.mark.parametrize("monitor", ["train_loss", "valid_loss"])
    def test_folds_may_stop_early(self, data, monitor):
        stop = EarlyStopping(monitor=monitor, patience=2, threshold=0.05)
        net = make_net(max_epochs=40, callbacks=[stop])
        cleaner = make_cleaner(net).fit(*data)
        n_epochs = cleaner.influence_timeline_.shape[1]
        assert n_epochs < 40
        assert cleaner.influence(window=n_epochs, history="full").shape == (N_ROWS,)
        assert np.isfinite(cleaner.suspicion_).all()
