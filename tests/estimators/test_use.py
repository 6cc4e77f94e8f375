"""`InfluenceCleaner` in pipelines, searches and on further data."""

import pickle
from collections import deque

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from dit_clean import CleanedClassifier, InfluenceCleaner
from dit_clean.queries import MeanLoss
from tests.estimators.cases import N_EPOCHS, N_ROWS, NAMES, make_cleaner, make_targets
from tests.nets import Convolution, Mixed, make_net, make_regressor


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.output = nn.Embedding(10, 8), nn.Linear(8, 3)

    def forward(self, X):
        return self.output(self.embedding(X).mean(1))


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
        match = rf"the {N_ROWS} rows .* given to fit, and arrays\[1\] .*samples: \[4, 9"
        with pytest.raises(ValueError, match=match):
            fitted.filter(data[0], data[0][:4])

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
        with pytest.raises(NotFittedError):
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
        match = r"Many rows of a class are flagged: 1 \("
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
