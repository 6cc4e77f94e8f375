"""Rows that stand in for flagged ones."""

import numpy as np
import pytest

from dit_clean.detection import nearest_target_rows, replacement_rows


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.8])
def test_stand_ins_are_kept_rows_of_the_same_label(rate):
    generator = np.random.RandomState(0)
    labels, keep = generator.randint(4, size=300), generator.rand(300) > rate
    rows = replacement_rows(keep, labels)
    assert keep[rows].all()
    assert (labels[rows] == labels).all()
    assert (rows[keep] == np.flatnonzero(keep)).all()


def test_stand_ins_are_spread_evenly():
    labels = np.zeros(100, dtype=int)
    keep = np.arange(100) >= 65
    uses = np.bincount(replacement_rows(keep, labels)[~keep], minlength=100)[keep]
    assert uses.max() - uses.min() <= 1
    few = replacement_rows(np.arange(100) >= 10, labels)[:10]
    assert len(set(few)) == 10
    assert few.max() - few.min() > 70


def test_nothing_flagged_changes_nothing():
    labels = np.array([1, 0, 1])
    assert replacement_rows(np.ones(3, bool), labels).tolist() == [0, 1, 2]
    assert nearest_target_rows(np.ones(3, bool), labels * 1.0).tolist() == [0, 1, 2]


def test_regression_stand_in_has_the_nearest_target():
    generator = np.random.RandomState(0)
    targets, keep = generator.randn(80), generator.rand(80) > 0.4
    rows = nearest_target_rows(keep, targets)
    kept = np.flatnonzero(keep)
    for row in np.flatnonzero(~keep):
        distances = np.abs(targets[kept] - targets[row])
        assert np.abs(targets[rows[row]] - targets[row]) == distances.min()
    assert (rows[keep] == kept).all()


def test_targets_outside_of_the_kept_range_get_the_end():
    keep = np.array([False, True, True, False])
    targets = np.array([-9.0, 0.0, 1.0, 9.0])
    assert nearest_target_rows(keep, targets).tolist() == [1, 1, 2, 2]
