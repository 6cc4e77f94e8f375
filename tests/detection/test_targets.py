"""Decisions about regression targets."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from dit_clean.detection import TargetEvidence, judge_targets
from dit_clean.detection.spread import (
    TAIL,
    local_spread,
    robust_spread,
    rounding_spread,
)
from dit_clean.detection.targets import wrong_target_probability

N_SAMPLES = 300
PLANTED = np.arange(0, N_SAMPLES, 15)


def make_targets(planted, seed=0, noise="normal"):
    generator = np.random.RandomState(seed)
    prediction = generator.randn(N_SAMPLES)
    if noise == "normal":
        residual = 0.2 * generator.randn(N_SAMPLES)
    else:  # spread that grows with the prediction
        residual = 0.1 * np.exp(0.7 * prediction) * generator.randn(N_SAMPLES)
    targets = prediction + residual
    if planted:
        targets[PLANTED] += generator.choice([-4.0, 4.0], len(PLANTED))
    return targets, prediction


@pytest.mark.parametrize("noise", ["normal", "growing"])
def test_planted_errors_get_a_high_probability(noise):
    probability = wrong_target_probability(*make_targets(True, noise=noise))
    assert probability[PLANTED].mean() > 0.9
    assert np.delete(probability, PLANTED).mean() < 0.05
    assert 0 <= probability.min() <= probability.max() <= 1


@pytest.mark.parametrize("noise", ["normal", "growing"])
def test_clean_targets_are_left_alone(noise):
    probability = wrong_target_probability(*make_targets(False, noise=noise))
    assert probability.mean() < 0.03
    assert (probability > 0.5).mean() < 0.02


@pytest.mark.parametrize("unit", [1e-12, 1e-6, 1e9])
@pytest.mark.parametrize("share_exact", [0.0, 0.7])
def test_the_unit_of_targets_does_not_count(unit, share_exact):
    targets, prediction = make_targets(True)
    exact = np.random.RandomState(0).rand(N_SAMPLES) < share_exact
    targets[exact] = prediction[exact]
    expected = wrong_target_probability(targets, prediction)
    found = wrong_target_probability(unit * targets, unit * prediction)
    assert np.allclose(found, expected, atol=1e-6)
    assert wrong_target_probability(prediction, prediction).max() < 1e-9


@pytest.mark.parametrize("n_samples", [20, 200, 1000])
@pytest.mark.parametrize("spread", [0.05, 0.3], ids=["constant", "worse than constant"])
def test_targets_that_cannot_be_predicted_are_left_alone(n_samples, spread):
    generator = np.random.RandomState(0)
    targets = generator.randn(n_samples)
    prediction = spread * generator.randn(n_samples)
    assert wrong_target_probability(targets, prediction).mean() < 0.01


def test_targets_of_other_samples_are_found():
    targets, prediction = make_targets(False)
    targets[PLANTED] = np.roll(targets[PLANTED], 1)
    probability = wrong_target_probability(targets, prediction)
    far = np.abs(targets - prediction)[PLANTED] > 1
    assert far.sum() > 5
    assert probability[PLANTED][far].min() > 0.5
    assert np.delete(probability, PLANTED).mean() < 0.05


@pytest.mark.parametrize(
    ("targets", "step"),
    [
        ([1, 2, 2, 3, 5], 1),
        ([0, 0, 0, 0.1, 7], 0.1),
        ([4.0, 4.0], 0),
        ([10, 20, 20, 30, 30.5], 0.5),
        ([0, 0, 0, 0, 100, 101, 102], 1),
        ([0.1, 0.3, 0.1 + 0.2, 0.5, 0.7], 0.2),
        ([0, 0, 1e308], 1e308),
    ],
)
def test_rounding_is_read_off_the_distance_of_other_values(targets, step):
    median_residual = rounding_spread(np.array(targets)) * student.ppf(0.75, TAIL)
    assert median_residual == pytest.approx(step / 4)


@pytest.mark.parametrize("n_levels", [5, 9])
@pytest.mark.parametrize("seed", range(3))
def test_ratings_that_are_right_are_left_alone_and_reversed_ones_found(n_levels, seed):
    generator = np.random.RandomState(seed)
    prediction = generator.randn(1500)
    edges = np.linspace(-1.5, 1.5, n_levels - 1)
    ratings = np.digitize(prediction + 0.3 * generator.randn(1500), edges)
    # What a network learns of them goes on between the ratings.
    learned = np.interp(prediction, edges, np.arange(n_levels - 1) + 0.5)
    probability = wrong_target_probability(ratings.astype(float), learned)
    assert (probability > 0.5).mean() < 0.01
    reversed_ = np.arange(1500) % 15 == 0
    given = np.where(reversed_, n_levels - 1 - ratings, ratings)
    probability = wrong_target_probability(given.astype(float), learned)
    far = np.abs(given - ratings) == n_levels - 1
    assert probability[far].mean() > 0.9


@pytest.mark.parametrize("seed", range(3))
def test_amounts_far_from_zeros_that_are_the_rule_are_left_alone(seed):
    generator = np.random.RandomState(seed)
    prediction = np.where(generator.rand(1000) < 0.6, 0.0, 150.0)
    amounts = 150 + 15 * generator.randn(1000)
    targets = np.where(prediction == 0, 0.0, np.round(amounts, 2))
    learned = prediction + generator.randn(1000)
    flagged = wrong_target_probability(targets, learned) > 0.5
    assert flagged.mean() < 0.03


def test_result_does_not_depend_on_the_unit():
    targets, prediction = make_targets(True)
    expected = wrong_target_probability(targets, prediction)
    scaled = wrong_target_probability(1000 * targets + 5, 1000 * prediction + 5)
    assert np.allclose(scaled, expected, atol=1e-4)


def make_spike(share, jitter=0.0, n_samples=2000):
    """Return targets most of which are (nearly) zero, and what a network says."""
    generator = np.random.RandomState(0)
    line = generator.randn(n_samples)
    targets = np.maximum(line - np.quantile(line, share), 0)
    noise = np.where(targets > 0, 0.1, 0.01) * generator.standard_t(6, n_samples)
    return targets + jitter * generator.randn(n_samples), targets + noise


@pytest.mark.parametrize("share", [0.6, 0.7, 0.74, 0.76, 0.8])
@pytest.mark.parametrize("jitter", [0.0, 1e-3])
def test_tail_and_spike_of_right_targets_are_left_alone(share, jitter):
    targets, prediction = make_spike(share, jitter)
    probability = wrong_target_probability(targets, prediction)
    assert (probability > 0.5)[targets > 0.01].mean() < 0.1
    assert (probability > 0.5)[targets <= 0.01].mean() < 0.01


@pytest.mark.parametrize("share", [0.7, 0.8])
def test_gross_errors_beside_a_spike_are_found(share):
    targets, prediction = make_spike(share)
    wrong = np.arange(0, len(targets), 20)
    targets[wrong] += 5
    probability = wrong_target_probability(targets, prediction)
    assert probability[wrong].min() > 0.5
    assert (np.delete(probability, wrong) > 0.5).mean() < 0.03


def test_spread_is_that_of_the_others_where_most_targets_are_equal():
    assert robust_spread(np.linspace(-1, 1, 400)) == pytest.approx(1.0)
    gross = np.r_[np.zeros(84), np.ones(13), [1e6] * 3]
    assert robust_spread(gross) == pytest.approx(2 * 0.4)
    assert robust_spread(np.ones(9)) == 0


def test_noise_of_each_neighborhood_counts_where_it_explains_more():
    generator = np.random.RandomState(0)
    prediction = generator.uniform(-1, 1, 1500)
    noise = np.where(prediction > 0, 0.5, 0.02)
    targets = prediction + noise * generator.randn(1500)
    assert (wrong_target_probability(targets, prediction) > 0.5).mean() < 0.03


def test_local_spread_goes_part_of_the_way_with_the_residuals():
    prediction = np.arange(800.0)
    residual = np.where(prediction < 400, 0.1, 1.0) * np.resize([1, -1], 800)
    spread = local_spread(residual, prediction, 0.25)
    assert spread[600] / spread[200] == pytest.approx(10**0.25)


def decide_targets(
    evidence, influence, window, scoring="residual", contamination="auto"
):
    judged_by = influence if scoring == "influence" else None
    return judge_targets(evidence, window, judged_by).decide(contamination)


def make_evidence(planted=True):
    targets, prediction = make_targets(planted)
    outputs = np.repeat(prediction[:, None], 3, axis=1)
    harm = np.zeros(N_SAMPLES)
    harm[PLANTED] = 1.0
    influence = np.repeat(-harm[None, :, None], 3, axis=2)
    return TargetEvidence(targets, outputs, outputs, n_folds=3), influence


@pytest.mark.parametrize("scoring", ["residual", "influence"])
def test_planted_errors_are_flagged_and_corrected(scoring):
    evidence, influence = make_evidence()
    decision = decide_targets(evidence, influence, slice(0, 3), scoring=scoring)
    assert decision.flagged[PLANTED].mean() > 0.9
    assert np.delete(decision.flagged, PLANTED).mean() < 0.02
    flagged = decision.flagged
    assert np.allclose(decision.suggestion[flagged], evidence.held_out[flagged, 0])
    assert np.array_equal(decision.suggestion[~flagged], evidence.targets[~flagged])


def test_outputs_outside_of_the_window_do_not_count():
    evidence, _ = make_evidence()
    outputs = evidence.held_out.copy()
    outputs[:, 2] = np.random.RandomState(1).randn(N_SAMPLES)
    other = replace(evidence, in_sample=outputs, held_out=outputs)
    found, expected = (judge_targets(each, slice(0, 2)) for each in (other, evidence))
    assert np.array_equal(found.suspicion, expected.suspicion)
    assert np.array_equal(found.alternative, expected.alternative)
    wider = judge_targets(other, slice(0, 3))
    assert not np.allclose(wider.suspicion, expected.suspicion)


def test_contamination_is_the_fraction_flagged():
    decision = decide_targets(*make_evidence(), slice(0, 3), contamination=0.1)
    assert decision.flagged.sum() == 30


def test_gross_errors_are_ranked_by_their_size():
    evidence, influence = make_evidence(planted=False)
    targets = evidence.targets.copy()
    targets[PLANTED] += np.geomspace(1e2, 1e6, len(PLANTED))
    gross = replace(evidence, targets=targets)
    decision = decide_targets(gross, influence, slice(0, 3), contamination=0.01)
    assert np.flatnonzero(decision.flagged).tolist() == PLANTED[-3:].tolist()
    assert (np.diff(decision.suspicion[PLANTED]) > 0).all()
    assert decision.suspicion.max() < 1


def test_of_samples_that_are_all_alike_none_is_flagged():
    same = np.zeros((20, 2))
    evidence = TargetEvidence(np.ones(20), same, same, n_folds=3)
    influence = np.zeros((1, 20, 2))
    decision = decide_targets(evidence, influence, slice(0, 2), contamination=0.1)
    assert not decision.flagged.any()
    assert np.isfinite(decision.suspicion).all()


def test_loss_is_the_mean_residual_of_which_gross_errors_have_little_hold():
    targets = np.array([0.0, 1.0, 2.0, 3.0, 4.0])  # an interquartile range of 2
    outputs = np.repeat(targets[:, None], 3, axis=1)
    outputs[:, 1] += [2.0, -2.0, 0.0, 0.0, 0.0]
    outputs[0, 2] = 1e9
    evidence = TargetEvidence(targets, outputs, outputs, n_folds=3)
    assert evidence.held_out_loss() == pytest.approx([0.0, 2 / 5, 2 / 5])
    assert evidence.guess_loss(np.array([0, 2])) == pytest.approx(1 / 2)


def test_margin_is_minus_the_residual_of_the_mean_prediction():
    held_out = np.array([[1.0, 3.0], [0.0, 0.0]])
    evidence = TargetEvidence(np.array([2.0, 1.0]), held_out, held_out, n_folds=3)
    assert np.allclose(evidence.margin(slice(0, 2)), [0.0, -1.0])
    assert np.allclose(evidence.margin(slice(0, 1)), [-1.0, -1.0])
