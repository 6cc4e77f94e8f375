"""What each parameter of `InfluenceCleaner` does."""

import joblib
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from sklearn.model_selection import PredefinedSplit, StratifiedKFold
from torch import nn

from dit_clean.crossfit import EpochInfluence
from dit_clean.crossfit.learning_rate import RAISES
from dit_clean.detection import NoSignalWarning, UnfinishedTrainingWarning
from dit_clean.estimators import findings
from dit_clean.influence import UPDATE_RULES
from dit_clean.tracking.default_net import OPTIMIZERS
from tests.estimators.cases import (
    N_EPOCHS,
    N_ROWS,
    NAMES,
    SHAPES,
    WRONG,
    make_cleaner,
    make_labels,
    make_targets,
)
from tests.nets import Linear, Mixed, make_net


class Started(Linear):
    """Is given an array."""

    def __init__(self, start):
        super().__init__()
        self.start = start


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
        loaded.set_params(contamination=0.1, batch_size=np.int64(64))
        assert loaded.rescore().keep_mask_.sum() == 81
        loaded.set_params(net__module__start=np.array([0.1, 0.3]))
        with pytest.raises(ValueError, match="net__module__start changed since"):
            loaded.rescore()

    def test_other_cuts_are_not_judged_again(self, data, monkeypatch):
        cleaner = make_cleaner().fit(*data)
        fresh = make_cleaner(contamination=0.3).fit(*data)
        monkeypatch.setattr(findings, "judge_labels", None)
        cleaner.set_params(contamination=0.3).rescore()
        assert np.array_equal(cleaner.keep_mask_, fresh.keep_mask_)
        with pytest.raises(TypeError):
            cleaner.set_params(window="early").rescore()

    def test_influence_that_nothing_is_judged_by_is_not_measured(
        self, data, monkeypatch
    ):
        def measure(*args, **kwargs):
            raise AssertionError("influence is measured")

        monkeypatch.setattr(EpochInfluence, "at", measure)
        make_cleaner(scoring="margin", window=(1, 2)).fit(*data)
        make_cleaner(window=(1, 2)).fit(*make_targets())
        with pytest.raises(AssertionError, match="is measured"):
            make_cleaner().fit(*data)

    def test_rows_sorted_by_label_and_not_shuffled_are_warned_of(self, data):
        order = np.argsort(data[1], kind="stable")
        X, y = data[0][order], data[1][order]
        with pytest.warns(UserWarning, match="sorted by label.*shuffle=True"):
            make_cleaner(make_net()).fit(X, y)
        make_cleaner(make_net(iterator_train__shuffle=True)).fit(X, y)
        make_cleaner().fit(X, y)

    def test_parameters_of_the_default_network_beside_a_net_are_warned_of(self, data):
        cleaner = make_cleaner(make_net(), max_epochs=50, hidden_layer_sizes=[5])
        match = r"^max_epochs=50, hidden_layer_sizes=\[5\]: not read.* a net is given"
        with pytest.warns(UserWarning, match=match):
            cleaner.fit(*data)
        make_cleaner(make_net(), hidden_layer_sizes=[100]).fit(*data)

    @pytest.mark.parametrize(
        ("settings", "remedy"),
        [
            ({"lr": 0.01, "max_epochs": 9}, "Raise max_epochs or lr, or lower batch"),
            ({"net": make_net(lr=0.01, max_epochs=9)}, "lr of the net, or lower its"),
        ],
    )
    def test_training_that_ends_too_early_is_told_how_to_go_on(
        self, data, settings, remedy
    ):
        with pytest.warns(UnfinishedTrainingWarning, match=remedy):
            make_cleaner(**settings).fit(*data)

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
        held_out = [
            folds[result.fold.held_out] for result in cleaner._findings.recorded.ready
        ]
        assert [set(rows) for rows in held_out] == [{0}, {1}, {2}]
        splitter = StratifiedKFold(5, shuffle=True, random_state=0)
        assert len(make_cleaner(cv=splitter).fit(*data)._findings.recorded.ready) == 5

    @pytest.mark.parametrize("cv", [2, 4])
    def test_number_of_folds(self, cv, data):
        cleaner = make_cleaner(cv=cv).fit(*data)
        assert len(cleaner._findings.recorded.ready) == cv
        assert np.isin(WRONG, np.argsort(-cleaner.suspicion_)[:15]).all()

    def test_hidden_layers_and_optimizer_are_used(self, data):
        settings = {"hidden_layer_sizes": (7, 5), "optimizer": "adamw", "lr": 0.01}
        trajectory = (
            make_cleaner(**settings)
            .fit(*data)
            ._findings.recorded.ready[0]
            .run.trajectory
        )
        shapes = [tuple(shape) for shape in trajectory.layout.shapes]
        assert shapes == [(7, 4), (7,), (5, 7), (5,), (3, 5), (3,)]
        assert trajectory.optimizer_type is torch.optim.AdamW
        assert trajectory.records[0].learning_rate == 0.01

    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_wrong_labels_are_found_with_each_optimizer(self, optimizer, data):
        cleaner = make_cleaner(optimizer=optimizer, max_epochs=30).fit(*data)
        record = cleaner._findings.recorded.ready[0].run.trajectory.records[0]
        rates = {"sgd": 0.1, "adagrad": 0.01, "adadelta": 1.0}
        assert record.learning_rate == cleaner.lr_
        assert cleaner.lr_ / rates.get(optimizer, 0.001) in (1, *RAISES)
        assert np.isin(WRONG, np.argsort(-cleaner.suspicion_)[:15]).all()

    def test_optimizers_by_name_are_those_with_an_update_rule(self):
        assert set(OPTIMIZERS.values()) == UPDATE_RULES.keys()

    def test_storage_decides_what_is_kept_and_never_the_answer(self, fitted, data):
        X, y = data
        few = make_cleaner(storage="none").fit(X, y)
        small = make_cleaner(max_memory="4KB").fit(X, y)
        auto = make_cleaner().fit(X, y)

        def n_kept(cleaner):
            return len(cleaner._findings.recorded.ready[0].run.trajectory.store)

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

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.slow
    def test_number_of_jobs_never_changes_a_bit(self, dtype, data, torch_settings):
        torch.set_default_dtype(dtype)
        net = make_net(Mixed, iterator_train__shuffle=True)
        alone = make_cleaner(net).fit(*data)
        together = make_cleaner(net, n_jobs=2).fit(*data)
        with joblib.parallel_config(backend="threading"):
            inside = make_cleaner(net, n_jobs=2).fit(*data)
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
