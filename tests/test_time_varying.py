"""Windows, grids, groups and group removal, asked of runs and of fitted cleaners."""

import numpy as np
import pandas as pd
import pytest

from dit_clean import InfluenceCleaner, track
from dit_clean.influence import Steps, random_groups, top_samples
from dit_clean.queries import MeanLoss, Prediction, SampleLosses
from tests.nets import make_net, make_rows

N_ROWS, N_EPOCHS, BATCH = 90, 4, 16
WRONG = np.arange(0, N_ROWS, 10)


def make_table():
    """Return a frame with a column of annotators, one of whom is often wrong."""
    X, y = make_rows(N_ROWS)
    X += 2 * np.eye(3, 4, dtype=np.float32)[y]
    y[WRONG] = (y[WRONG] + 1) % 3
    frame = pd.DataFrame(X, columns=list("abcd"))
    people = np.where(np.isin(np.arange(N_ROWS), WRONG), "kim", "ann")
    people[1::9] = "bob"
    return frame.assign(who=people), np.array(["x", "y", "z"])[y]


@pytest.fixture(scope="module")
def fitted():
    cleaner = InfluenceCleaner(max_epochs=N_EPOCHS, batch_size=BATCH, random_state=0)
    return cleaner.fit(*make_table())


@pytest.fixture(scope="module")
def run():
    X, y = make_rows(48)
    net = make_net(max_epochs=3, batch_size=8, lr=0.05)
    return track(net, X, y, random_state=0)


@pytest.fixture(scope="module")
def query():
    return MeanLoss(*make_rows(20, seed=7))


class TestRun:
    def test_epochs_are_windows_of_steps(self, run, query):
        per_epoch = run.trajectory.epoch_starts[1]
        steps = Steps(per_epoch, 3 * per_epoch)
        assert np.allclose(run.influence(query, (1, 3)), run.influence(query, steps))

    def test_timeline_over_any_grid(self, run, query):
        windows = ["early", (1, 3), (0.0, 0.5), Steps(2, 9), 1]
        for history in ("full", "window"):
            timeline = run.timeline(query, windows, history)
            for column, window in enumerate(windows):
                alone = run.influence(query, window, history)
                assert np.allclose(timeline[:, column], alone, rtol=1e-4, atol=1e-8)
        assert run.timeline(query).shape == (48, 3)
        assert run.timeline(query, 5).shape == (48, 5)

    def test_sums_of_influence_predict_the_removal_of_groups(self, run, query):
        influence = run.influence(query)
        groups = random_groups(48, 12, 5, np.random.RandomState(0))
        groups.append(top_samples(influence, 3).harmful)
        removal = run.check_removal(query, groups)
        assert removal.sizes.tolist() == [5] * 12 + [3]
        assert np.allclose(removal.predicted[0], influence[groups[0]].sum())
        assert np.allclose(removal.actual, run.leave_out(query, groups))
        assert removal.datamodeling_score > 0.9
        assert removal.pearson > 0.9

    def test_check_removal_takes_masks(self, run):
        mask = np.isin(np.arange(48), [1, 4, 6])
        by_mask, by_rows = (
            run.check_removal(MeanLoss(*make_rows(8)), [group])
            for group in (mask, [1, 4, 6])
        )
        assert by_mask.sizes.tolist() == [3]
        assert by_mask.predicted == by_rows.predicted
        assert by_mask.actual == by_rows.actual

    def test_check_removal_asks_at_the_query_step(self, run, query):
        asked = {"window": (0, 1), "query_step": 9}
        removal = run.check_removal(query, [[1, 4], [6, 7]], **asked)
        influence = run.influence(query, **asked)
        assert np.allclose(removal.predicted[0], influence[[1, 4]].sum())
        assert np.allclose(
            removal.actual, run.leave_out(query, [[1, 4], [6, 7]], **asked)
        )

    def test_check_removal_needs_a_scalar_query(self, run):
        with pytest.raises(ValueError, match="has 2 values"):
            run.check_removal(SampleLosses(*make_rows(2)), [[0]])


class TestCleaner:
    def test_windows_of_steps_are_those_of_epochs(self, fitted):
        # 60 training rows in batches of 16: four steps an epoch.
        found = fitted.influence(Steps(4, 8))
        expected = fitted.influence((1, 2))
        assert np.allclose(found, expected, rtol=1e-3, atol=1e-7)

    def test_steps_are_refused_as_the_window_of_all_evidence(self):
        cleaner = InfluenceCleaner(window=Steps(0, 8))
        with pytest.raises(ValueError, match="is in steps, and a window of epochs"):
            cleaner.fit(*make_table())

    def test_influence_on_samples_over_steps(self, fitted):
        X, y = make_table()
        found = fitted.influence_on(X[:2], y[:2], window=Steps(0, 8))
        expected = fitted.influence_on(X[:2], y[:2], window=(0, 2))
        assert np.allclose(found, expected, rtol=1e-4, atol=1e-8)

    def test_timeline_by_default_is_the_fitted_one(self, fitted):
        found = fitted.timeline()
        assert np.allclose(found, fitted.influence_timeline_, rtol=1e-3, atol=1e-7)

    def test_timeline_over_any_grid(self, fitted):
        X, _ = make_table()
        query = Prediction(fitted._findings.data.encoded(X[:3]), [0, 1, 2])
        windows = ["late", Steps(0, 5), None]
        found = fitted.timeline(windows, query=query, history="full")
        assert found.shape == (3, N_ROWS, 3)
        late = fitted.influence("late", query, "full")
        assert np.allclose(found[:, :, 0], late, rtol=1e-3, atol=1e-7)
        fitted_window = fitted.influence(None, query, "full")
        assert np.allclose(found[:, :, 2], fitted_window, rtol=1e-3, atol=1e-7)
        assert fitted.timeline(6).shape == (N_ROWS, 6)

    @pytest.mark.parametrize(
        ("windows", "match"),
        [([], "windows is empty"), ([Steps(0, 99)], "it has 16 steps"), (17, "steps")],
    )
    def test_impossible_grids_are_refused(self, fitted, windows, match):
        with pytest.raises(ValueError, match=match):
            fitted.timeline(windows)

    def test_groups_by_label_by_column_and_by_array(self, fitted):
        X, _ = make_table()
        by_label = fitted.group_influence()
        assert set(by_label.index) == {"x", "y", "z"}
        assert by_label.index.name == "label"
        by_column = fitted.group_influence("who")
        by_array = fitted.group_influence(X["who"])
        assert np.array_equal(by_column.to_numpy(), by_array.to_numpy())
        assert by_column.index[0] == "kim"
        kim = (X["who"] == "kim").to_numpy()
        row = by_column.loc["kim"]
        assert row["n_samples"] == kim.sum()
        assert np.isclose(row["influence"], fitted.influence_[kim].sum())
        assert np.isclose(row["flagged"], (~fitted.keep_mask_[kim]).mean())
        assert np.isclose(by_label["influence"].sum(), fitted.influence_.sum())

    def test_groups_over_another_window_and_query(self, fitted):
        X, _ = make_table()
        query = MeanLoss(fitted._findings.data.encoded(X[:5]), [0, 1, 2, 0, 1])
        table = fitted.group_influence("who", "early", query=query, history="full")
        total = fitted.influence("early", query, "full").sum()
        assert np.isclose(table["influence"].sum(), total)
        several = Prediction(query.X, query.y)
        with pytest.raises(ValueError, match="has 5 values"):
            fitted.group_influence("who", query=several)

    def test_unknown_column_is_refused(self, fitted):
        with pytest.raises(ValueError, match="X has no column 'annotator'"):
            fitted.group_influence("annotator")

    def test_top_samples_of_each_given_sample(self, fitted):
        X, y = make_table()
        influence = fitted.influence_on(X[:4], y[:4])
        top = top_samples(influence, k=3)
        assert top.harmful.shape == (4, 3)
        assert np.allclose(top.harmful_values[:, 0], influence.min(1))
        # The wrong label of row 0 is learned from nothing but itself.
        assert top.helpful[0, 0] == 0
