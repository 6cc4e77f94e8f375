"""Influence questions that a fitted `InfluenceCleaner` answers."""

import numpy as np
import pytest

from dit_clean.influence import Steps
from dit_clean.queries import (
    ClassProbability,
    MeanLoss,
    Parameter,
    SampleLosses,
    Several,
)
from tests.estimators.cases import N_ROWS, WRONG, make_cleaner, make_targets


class TestQuestions:
    @pytest.mark.parametrize("window", [(1, 2), (1, 3)])
    def test_influence_with_and_without_the_query_spelled_out_agree(
        self, fitted, window
    ):
        from dit_clean.crossfit import average_timeline
        from dit_clean.influence import resolve_window

        epochs = resolve_window(window, fitted._findings.evidence.n_epochs)
        expected = average_timeline(
            fitted._findings.recorded.ready,
            fitted._findings.data.for_networks.query,
            [epochs],
            "window",
        )[-1, :, 0]
        assert np.allclose(fitted.influence(window=window), expected, atol=1e-7)
        assert np.array_equal(fitted.influence(), fitted.influence_)

    @pytest.mark.parametrize("window", [None, "full", (2, 3), Steps(1, 4)])
    def test_a_window_is_measured_once(self, data, window, monkeypatch):
        cleaner = make_cleaner().fit(*data)
        expected = cleaner.influence(window)
        cleaner.influence(window)[:] = 0
        monkeypatch.setattr("dit_clean.estimators.findings.average_timeline", None)
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
        encoded = cleaner._findings.data.validation
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
