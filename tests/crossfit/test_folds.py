"""Folds, and evidence back in the order of X."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import PredefinedSplit

from dit_clean.crossfit import Fold, make_folds
from dit_clean.data.targets import Targets, check_class_sizes, encode_targets

LABELS = np.repeat(["ant", "bee", "cat"], [12, 9, 6])


def encoded(y, task="auto"):
    return encode_targets(np.asarray(y), None, task)


@pytest.mark.parametrize("n_folds", [2, 3, 5])
def test_each_row_is_held_out_once_and_trained_on_by_the_others(n_folds):
    folds = make_folds(n_folds, encoded(LABELS), 0)
    assert len(folds) == n_folds
    held_out = np.concatenate([fold.held_out for fold in folds])
    assert sorted(held_out) == list(range(27))
    for fold in folds:
        both = np.concatenate([fold.train, fold.held_out])
        assert sorted(both) == list(range(27))
        assert (np.diff(fold.train) > 0).all()


def test_folds_of_labels_are_stratified_and_shuffled():
    folds = make_folds(3, encoded(LABELS), 0)
    counts = [np.unique(LABELS[f.held_out], return_counts=True)[1] for f in folds]
    assert [count.tolist() for count in counts] == [[4, 3, 2]] * 3
    assert np.diff(folds[0].held_out).max() > 1


def test_random_state_decides_folds_and_seeds():
    first, again, other = (make_folds(3, encoded(LABELS), s) for s in (0, 0, 1))
    assert [f.seed for f in first] == [f.seed for f in again]
    assert np.array_equal(first[0].held_out, again[0].held_out)
    assert first[0].seed != other[0].seed
    assert len({fold.seed for fold in first}) == 3


def test_splitter_decides_the_folds_and_iterables_are_taken():
    rows = np.arange(27)
    folds = make_folds(PredefinedSplit(rows % 3), encoded(LABELS), 0)
    assert [set(fold.held_out % 3) for fold in folds] == [{0}, {1}, {2}]
    pairs = [(rows[::2], rows[1::2]), (rows[1::2], rows[::2])]
    assert len(make_folds(pairs, encoded(LABELS), 0)) == 2


def test_rows_held_out_twice_are_refused():
    rows = np.arange(27)
    with pytest.raises(ValueError, match="each of the 27 samples exactly once"):
        make_folds([(rows[:0], rows)], encoded(LABELS), 0)
    with pytest.raises(ValueError, match="each of the 27 samples exactly once"):
        make_folds([(rows[:9], rows[9:]), (rows[:3], rows[3:])], encoded(LABELS), 0)


def test_small_classes_are_named():
    with pytest.raises(ValueError, match=r"1 of 3 .*cv=7 folds .*\{'cat': 6\}"):
        check_class_sizes(encoded(LABELS), 7)
    check_class_sizes(encoded(LABELS), 6)


class TestTargets:
    def test_labels_are_encoded_in_their_sorted_order(self):
        targets = encoded(LABELS)
        assert targets.is_classifier
        assert targets.n_outputs == 3
        assert targets.decode(targets.codes).tolist() == LABELS.tolist()
        assert targets.encode(["cat", "ant"]).tolist() == [2, 0]

    def test_floats_are_scaled_robustly(self):
        y = np.random.RandomState(0).randn(200) * 5 + 40
        y[:10] = 1e6
        targets = encoded(y)
        assert not targets.is_classifier
        assert targets.encoded.shape == (200, 1)
        clean = targets.encoded[10:]
        assert abs(clean.median()) < 0.2
        assert 0.8 < clean.std() < 1.3
        assert np.allclose(targets.encode(y), targets.encoded)
        assert np.allclose(targets.decode(targets.encoded[:, 0].numpy()), y, rtol=1e-4)

    @pytest.mark.parametrize(
        ("y", "is_classifier"),
        [
            (np.arange(60) % 5, True),
            (np.arange(60) % 5 * 1.0, True),
            (np.arange(60) * 1.0, False),
            (np.arange(60) + 0.5, False),
            (np.array(["1", "2"] * 30), True),
            (np.array([True, False] * 30), True),
        ],
    )
    def test_kind_of_y_is_told_from_its_values(self, y, is_classifier):
        assert encoded(y).is_classifier is is_classifier

    def test_task_overrides_the_values(self):
        assert not encoded(np.arange(60) % 5, "regression").is_classifier
        y = np.repeat(np.arange(30.0), 2)
        assert not encoded(y).is_classifier
        assert encoded(y, "classification").is_classifier

    def test_unknown_labels_are_refused(self):
        with pytest.raises(ValueError, match=r"does not hold: \['dog'\]"):
            encoded(LABELS).encode(["dog"])

    def test_half_the_targets_alike_still_have_a_scale(self):
        y = np.where(np.arange(100) < 80, 1.5, np.arange(100.0))
        targets = encoded(y)
        assert np.isfinite(targets.scale)
        assert targets.scale > 0
        assert torch.isfinite(targets.encoded).all()
        assert isinstance(targets, Targets)


def test_run_on_all_rows_holds_out_nothing_and_has_a_seed_of_its_own():
    folds = make_folds(3, encoded(LABELS), 0)
    whole = Fold.of_all_rows(folds)
    assert whole.train.tolist() == list(range(27))
    assert not whole.holds_out
    assert all(fold.holds_out for fold in folds)
    assert whole.seed not in {fold.seed for fold in folds}
