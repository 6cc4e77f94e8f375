"""Where to cut, and that no class is emptied."""

import numpy as np
import pytest

from dit_clean.detection.cutoff import (
    MIN_SUSPICION,
    best_f1_threshold,
    flag_above,
    fraction_threshold,
)


def test_sure_cases_are_separated():
    suspicion = np.array([0.01, 0.99, 0.02, 0.98, 0.0])
    threshold = best_f1_threshold(suspicion)
    assert ((suspicion >= threshold) == [False, True, False, True, False]).all()


def test_threshold_has_the_highest_expected_f1_of_the_cuts_allowed():
    suspicion = np.random.RandomState(0).beta(0.3, 1, size=200)
    ordered = np.sort(suspicion)[::-1]

    def expected_f1(k):
        return 2 * ordered[:k].sum() / (k + ordered.sum())

    n_expected = int(np.ceil(suspicion.sum()))
    best = max(range(1, n_expected + 1), key=expected_f1)
    assert (suspicion >= best_f1_threshold(suspicion)).sum() == best


def test_clean_data_are_left_alone():
    assert best_f1_threshold(np.full(50, 0.001)) == MIN_SUSPICION


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.25, 0.5])
def test_fraction_flags_so_many(fraction):
    suspicion = np.random.RandomState(0).rand(200)
    flagged = suspicion >= fraction_threshold(suspicion, fraction)
    assert flagged.sum() == round(fraction * 200)


def test_fraction_flags_at_least_one():
    suspicion = np.array([0.1, 0.3, 0.2])
    assert fraction_threshold(suspicion, 0.01) == 0.3


def test_no_class_is_emptied():
    labels = np.repeat([0, 1, 2], [50, 5, 1])
    suspicion = np.linspace(0.5, 1.0, 56)
    kept = ~flag_above(suspicion, labels, 0.5)
    assert np.bincount(labels[kept], minlength=3).tolist() == [5, 1, 1]
    assert kept[[0, 50, 55]].all()  # the least suspicious stay


def test_flags_are_those_above_where_no_class_is_in_danger():
    suspicion = np.array([0.9, 0.1, 0.2, 0.8, 0.1, 0.3])
    labels = np.array([0, 0, 0, 1, 1, 1])
    flagged = flag_above(suspicion, labels, 0.5)
    assert flagged.tolist() == [True, False, False, True, False, False]


def test_no_more_are_flagged_than_are_expected_to_be_wrong():
    suspicion = np.random.RandomState(0).uniform(0.35, 0.45, 1000)
    flagged = suspicion >= best_f1_threshold(suspicion)
    assert flagged.sum() <= np.ceil(suspicion.sum())


def test_samples_alike_are_flagged_together_or_not_at_all():
    few_wrong = np.r_[np.zeros(90), np.ones(10)]
    assert (few_wrong >= fraction_threshold(few_wrong, 0.2)).sum() == 10
    many_wrong = np.r_[np.zeros(70), np.ones(30)]
    assert (many_wrong >= fraction_threshold(many_wrong, 0.2)).sum() == 30
    alike = np.full(50, 0.3)
    assert not (alike >= fraction_threshold(alike, 0.2)).any()
