"""What a fitted `InfluenceCleaner` holds: every attribute of the contract."""

import numpy as np
import pytest

from tests.estimators.cases import (
    N_EPOCHS,
    N_ROWS,
    NAMES,
    SHAPES,
    WRONG,
    make_cleaner,
    make_targets,
)
from tests.nets import load_mixed_iris


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
        assert fitted.noise_matrix_.shape == (3, 3)
        again = make_cleaner(max_epochs=2).fit(*load_mixed_iris())
        again.fit(*make_targets())
        for cleaner in (regression, again):
            assert not hasattr(cleaner, "classes_")
            assert not hasattr(cleaner, "noise_matrix_")

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
        assert np.array_equal(regression.suggested_label_[kept], y[kept])

    def test_suggested_targets_have_all_digits(self, regression):
        X, y = make_targets()
        far = make_cleaner().fit(X, y + 1.7e9).suggested_label_ - 1.7e9
        assert np.allclose(far, regression.suggested_label_, atol=1e-3)

    def test_new_parameters_change_nothing_that_is_fitted(self, data):
        cleaner = make_cleaner(history="full", window="late").fit(*data)
        names = [name for name in vars(cleaner) if name.endswith("_")]
        names += ["influence_", "influence_timeline_"]
        before = {name: repr(getattr(cleaner, name)) for name in names}
        influence = cleaner.influence_
        cleaner.set_params(history="window", window="early", contamination=0.4)
        cleaner.set_params(weighting="soft", scoring="margin", max_epochs=2)
        assert {name: repr(getattr(cleaner, name)) for name in names} == before
        assert np.array_equal(cleaner.influence_, influence)

    def test_timeline_is_of_each_epoch_alone(self, data):
        cleaner = make_cleaner(history="full").fit(*data)
        alone = cleaner.timeline(history="window")
        assert np.allclose(cleaner.influence_timeline_, alone, atol=1e-7)
        assert not np.allclose(cleaner.timeline(), alone, atol=1e-5)

    def test_influence_is_that_of_its_window_as_one(self, fitted):
        window = fitted.window_
        alone = fitted.timeline([window])[:, 0]
        assert np.allclose(fitted.influence_, alone, atol=1e-7)

    def test_unfitted_cleaner_says_so(self):
        from sklearn.exceptions import NotFittedError

        for name in ("rescore", "influence", "filter"):
            with pytest.raises(NotFittedError):
                getattr(make_cleaner(), name)()
        for name in ("influence_", "influence_timeline_"):
            with pytest.raises(NotFittedError):
                getattr(make_cleaner(), name)


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
