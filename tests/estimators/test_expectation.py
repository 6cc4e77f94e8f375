"""Targets that scatter more for some inputs than for others."""

import numpy as np
import pytest

from dit_clean import InfluenceCleaner
from dit_clean.detection.targets import wrong_target_probability
from dit_clean.estimators.expectation import expectation_by
from tests.nets import make_regressor


def probability(targets, prediction, inputs, groups=None):
    """Return the probability that each target is wrong, inputs known."""
    expect = expectation_by(inputs, groups)
    return wrong_target_probability(targets, prediction, expect)


@pytest.fixture(scope="module")
def uneven():
    """Return inputs, predictions, and right targets that some inputs spread."""
    generator = np.random.RandomState(0)
    inputs = generator.randn(1000, 4)
    prediction = 2 * inputs[:, 0]
    noise = 0.3 * np.exp(inputs[:, 1]) * generator.randn(1000)
    return inputs, prediction, prediction + noise


def test_right_targets_that_inputs_spread_are_left_alone(uneven):
    inputs, prediction, targets = uneven
    assert (wrong_target_probability(targets, prediction) > 0.5).mean() > 0.05
    assert probability(targets, prediction, inputs).mean() < 0.005


def test_wrong_targets_among_them_are_found(uneven):
    inputs, prediction, targets = uneven
    given, wrong = targets.copy(), np.arange(0, 1000, 12)
    given[wrong] += np.random.RandomState(1).choice([-9.0, 9.0], len(wrong))
    is_wrong = np.isin(np.arange(1000), wrong)
    for groups in (None, np.arange(1000) // 2):
        flagged = probability(given, prediction, inputs, groups) > 0.5
        assert flagged[wrong].mean() > 0.95
        assert flagged[~is_wrong].mean() < 0.01
    before = wrong_target_probability(given, prediction) > 0.5
    assert before[~is_wrong].mean() > 0.03


def test_a_group_that_is_wrong_as_a_whole_is_no_ground_to_expect_from(uneven):
    inputs, prediction, targets = uneven
    groups = np.repeat([0, 1], [800, 200])
    given = np.where(groups == 1, targets + 1e4, targets)
    found = probability(given, prediction, inputs, groups)
    assert found[groups == 1].min() > 0.9


@pytest.mark.parametrize("share", [0.5, 0.7])
@pytest.mark.parametrize("kind", ["swapped", "gross", "tenfold"])
def test_wrong_targets_of_one_region_are_not_taken_for_its_noise(uneven, share, kind):
    inputs, prediction, _ = uneven
    generator = np.random.RandomState(2)
    targets = prediction + 0.3 * generator.randn(1000)
    wrong = (inputs[:, 1] > 1) & (generator.rand(1000) < share)
    targets[wrong] = {
        "swapped": generator.choice(prediction, 1000),
        "gross": targets + generator.choice([-9, 9], 1000),
        "tenfold": 10 * targets,
    }[kind][wrong]
    expected = probability(targets, prediction, None)
    found = probability(targets, prediction, inputs)
    assert found[wrong].mean() > expected[wrong].mean() - 0.05
    assert found[wrong].mean() > 0.5


@pytest.mark.parametrize(("n_samples", "n_columns"), [(99, 4), (400, 101)])
def test_inputs_of_few_rows_or_many_columns_are_not_read(n_samples, n_columns):
    assert expectation_by(np.zeros((n_samples, n_columns))) is None


def test_the_cleaner_reads_the_inputs(uneven):
    inputs, _, targets = uneven
    default = InfluenceCleaner(max_epochs=12, random_state=0)
    given = InfluenceCleaner(make_regressor(max_epochs=12), random_state=0)
    for cleaner in (default, given):
        assert cleaner.fit(inputs, targets).keep_mask_.mean() > 0.99
