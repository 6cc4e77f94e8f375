"""Flagged labels and targets that are more likely right."""

import re
from dataclasses import replace

import numpy as np
import pytest

from dit_clean.detection.doubts import (
    are_skewed,
    doubts_about_labels,
    doubts_about_targets,
)
from dit_clean.detection.judgement import Decision

CODES = np.repeat([0, 1], [180, 20])
CLASSES = np.array(["no", "yes"])


def make_decision(suspicion, n_flagged, contamination=0.1):
    """Return a decision that flags the last samples, each of the same suspicion."""
    flagged = np.arange(len(CODES)) >= len(CODES) - n_flagged
    return Decision(
        suspicion=np.where(flagged, suspicion, 0.0),
        flagged=flagged,
        threshold=suspicion,
        contamination=contamination,
        suggestion=CODES,
    )


def about_labels(decision, has_signal=True):
    (doubt,) = doubts_about_labels(decision, CODES, CLASSES, has_signal=has_signal)
    return doubt


def about_targets(decision, targets, residual=None, has_signal=True):
    """Return what is said of a value, and what of flags."""
    residual = np.zeros(len(targets)) if residual is None else residual
    return doubts_about_targets(decision, targets, residual, has_signal=has_signal)


def test_a_class_that_is_mostly_flagged_and_mostly_right_is_named():
    doubt = about_labels(make_decision(0.4, 15))
    assert re.search(r"Many rows of a class.*: 'yes' \(75%\); by", doubt)


@pytest.mark.parametrize(
    ("suspicion", "n_flagged", "is_doubted"),
    [(0.32, 20, True), (0.8, 20, False), (0.32, 16, False)],
)
def test_a_third_of_a_class_is_doubted_where_most_of_it_is_right(
    suspicion, n_flagged, is_doubted
):
    codes = np.repeat([0, 1], [140, 60])
    flagged = np.arange(200) >= 200 - n_flagged
    decision = Decision(flagged * suspicion, flagged, suspicion, 0.1, codes)
    (doubt,) = doubts_about_labels(decision, codes, CLASSES, has_signal=True)
    assert ("'yes' (33%)" in doubt) == bool(doubt) == is_doubted


def test_implausibly_many_wrong_labels_are_doubted():
    doubt = about_labels(make_decision(0.4, 15, contamination=0.5))
    assert re.search("^50% of the labels.*X here: give better", doubt)
    assert "measure" not in doubt
    counts, decision = np.arange(11), make_decision(0.4, 15, contamination=0.5)
    (doubt,) = doubts_about_labels(decision, CODES, counts, has_signal=True)
    match = 'If they measure .* set task="regression", or use CleanedRegressor'
    assert re.search(match, doubt)


def test_without_a_signal_nothing_more_is_said_of_labels():
    decision = make_decision(0.4, 15, contamination=0.5)
    assert not list(doubts_about_labels(decision, CODES, CLASSES, has_signal=False))


@pytest.mark.parametrize(
    ("suspicion", "n_flagged"),
    [(0.8, 15), (0.4, 9)],
    ids=["really wrong", "few"],
)
def test_other_classes_are_not_named(suspicion, n_flagged):
    assert about_labels(make_decision(suspicion, n_flagged, 0.42)) == ""


def flag_largest(residual, share=0.04):
    size = np.abs(residual - np.median(residual))
    return size > np.quantile(size, 1 - share)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("spread", [0.5, 0.8, 1.0])
def test_the_long_tail_of_right_targets_is_recognized(side, spread):
    residual = side * np.exp(spread * np.random.RandomState(0).randn(600))
    residual -= np.median(residual)
    assert are_skewed(residual, flag_largest(residual))


@pytest.mark.parametrize("n_samples", [300, 1000])
@pytest.mark.parametrize("size", [3.0, 1e3])
@pytest.mark.parametrize("seed", range(5))
def test_gross_errors_to_one_side_are_no_tail(n_samples, size, seed):
    residual = np.random.RandomState(seed).standard_t(5, n_samples)
    residual[: n_samples // 15] += 5 * size
    assert not are_skewed(residual, residual > 6)


@pytest.mark.parametrize("seed", range(5))
def test_errors_to_one_side_next_to_an_even_spread_are_no_tail(seed):
    residual = np.random.RandomState(seed).uniform(-1, 1, 600)
    residual[:20] = np.linspace(1.1, 1.9, 20)
    assert not are_skewed(residual, residual > 1)


def test_errors_far_beyond_a_skewed_tail_are_none_of_it():
    residual = np.random.RandomState(0).exponential(size=600) - 0.7
    residual[:20] += 100
    assert not are_skewed(residual, residual > 50)


def test_few_or_two_sided_flags_are_no_tail():
    residual = np.random.RandomState(0).exponential(size=300)
    assert not are_skewed(residual, residual >= np.sort(residual)[-9])
    residual -= np.median(residual)
    order = np.argsort(residual)
    two_sided = np.isin(np.arange(300), np.r_[order[:12], order[-12:]])
    assert not are_skewed(residual, two_sided)


@pytest.mark.parametrize("has_signal", [True, False])
@pytest.mark.parametrize(("side", "word"), [(1, "above"), (-1, "below")])
def test_skewed_targets_are_doubted_where_there_is_a_signal(side, word, has_signal):
    residual = side * np.random.RandomState(0).exponential(size=len(CODES))
    targets = 10 * np.random.RandomState(1).randn(len(CODES))
    decision = make_decision(0.9, 0)
    flagged = np.abs(residual) >= np.sort(np.abs(residual))[-12]
    decision = Decision(decision.suspicion, flagged, 0.9, 0.1, residual)
    _, doubt = about_targets(decision, targets, residual, has_signal)
    assert (f"the 12 flagged targets lie {word}" in doubt) == has_signal
    assert bool(doubt) == has_signal


def test_the_share_on_the_longer_side_is_said():
    residual = np.random.RandomState(0).exponential(size=600) - 0.3
    order = np.argsort(residual)
    flagged = np.isin(np.arange(600), np.r_[order[:11], order[-33:]])
    residual[order[:11]] -= 5
    targets = 10 * np.random.RandomState(1).randn(600)
    _, doubt = about_targets(decide(flagged), targets, residual)
    assert doubt.startswith("75% of the 44 flagged targets lie above the prediction,")


def test_implausibly_many_wrong_targets_are_doubted():
    targets = np.random.RandomState(0).randn(len(CODES))
    _, doubt = about_targets(make_decision(0.9, 0, contamination=0.4), targets)
    assert re.search("^40% of the targets look wrong.*logarithm", doubt)
    _, doubt = about_targets(make_decision(0.9, 0, contamination=0.2), targets)
    assert doubt == ""


@pytest.mark.parametrize(("shift", "word"), [(90.0, "above"), (-90.0, "below")])
def test_predictions_far_from_all_targets_are_doubted(shift, word):
    targets = 500 + 100 * np.random.RandomState(0).randn(300)
    residual = (targets - 500) / 2
    nothing = decide(np.zeros(300, bool))
    _, doubt = about_targets(nothing, targets, residual + shift)
    assert re.search(rf"lies [\d.]+ {word} its prediction.*HuberLoss", doubt)
    _, doubt = about_targets(nothing, targets, residual)
    assert doubt == ""


def test_predictions_of_mostly_equal_targets_are_not_taken_for_shifted():
    generator = np.random.RandomState(0)
    targets = np.where(generator.rand(500) < 0.8, 0, generator.exponential(size=500))
    nothing = decide(np.zeros(500, bool))
    _, doubt = about_targets(nothing, targets, targets - targets.mean())
    assert doubt == ""


def decide(flagged):
    return Decision(flagged.astype(float), flagged, 0.5, flagged.mean(), flagged)


def test_amounts_that_are_rare_wherever_they_occur_are_doubted():
    amounts = np.where(np.arange(200) < 40, np.arange(200) + 1.0, 0.0)
    _, doubt = about_targets(decide(np.arange(200) < 20), amounts)
    assert re.search(r"80% of .* 0\.0, .*others 50% .*y != 0\.0", doubt)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("n_of_the_rule", [0, 40])
def test_a_few_amounts_beside_a_rule_are_doubted_where_nobody_could_foresee_them(
    side, n_of_the_rule
):
    generator = np.random.RandomState(0)
    has_one = np.arange(1000) < 360
    amounts = side * has_one * np.exp(generator.randn(1000))
    order = np.argsort(np.abs(amounts))
    flagged = np.isin(np.arange(1000), np.r_[order[-40:], order[:n_of_the_rule]])
    decision = decide(flagged)
    _, doubt = about_targets(decision, amounts, amounts - 0.1 * side)
    assert re.search(r"^64% of .* 0\.0, .*others 11% are flagged.*two steps", doubt)
    even = generator.randn(1000)  # who has one is foreseen, and how much
    _, doubt = about_targets(decision, amounts, even)
    assert doubt == ""


@pytest.mark.parametrize(
    "kind", ["few others", "the rule too", "no rule", "few", "hardly any"]
)
def test_other_flags_are_not_taken_for_rare_amounts(kind):
    rows = np.arange(200)
    rows = np.arange(1000) if kind == "hardly any" else rows
    flagged = rows < {"few others": 12, "the rule too": 60, "few": 9}.get(kind, 20)
    n_others = {"no rule": 130, "few": 20}.get(kind, 40)
    amounts = np.where(rows < n_others, rows + 1.0, 0.0)
    decision = replace(decide(flagged), contamination=0.1)
    _, doubt = about_targets(decision, amounts)
    assert doubt == ""


def make_amounts(generator, n_samples=2000):
    """Return predictions that spread over powers of ten, and right targets."""
    prediction = np.exp(8 + generator.randn(n_samples))
    return prediction, prediction * np.exp(0.5 * generator.randn(n_samples))


@pytest.mark.parametrize("factor", [100, 1000])
@pytest.mark.parametrize("n_flagged", [0, 20])
def test_amounts_too_small_by_a_factor_are_named_where_they_pass(factor, n_flagged):
    prediction, targets = make_amounts(np.random.RandomState(0))
    targets[:60] /= factor
    decision = decide(np.arange(2000) < n_flagged)
    _, doubt = about_targets(decision, targets, targets - prediction)
    assert doubt.startswith(f"{60 - n_flagged} targets lie below a thirtieth")
    _, doubt = about_targets(decision, targets, targets - prediction, has_signal=False)
    assert doubt == ""


@pytest.mark.parametrize(
    "kind", ["right", "few", "found", "no amounts", "exponential", "gamma", "wide"]
)
def test_other_targets_are_not_taken_for_too_small(kind):
    generator = np.random.RandomState(0)
    prediction, targets = make_amounts(generator)
    targets[: {"few": 9, "found": 60, "no amounts": 60}.get(kind, 0)] /= 1000
    if kind == "no amounts":
        targets[70] = 0
    elif kind in ("exponential", "gamma"):
        shape = 1.0 if kind == "exponential" else 0.3
        targets = prediction * generator.gamma(shape, size=2000)
    elif kind == "wide":
        targets = prediction * np.exp(2 * generator.randn(2000))
    flagged = (np.arange(2000) < 60) & (kind == "found")
    decision = decide(flagged)
    _, doubt = about_targets(decision, targets, targets - prediction)
    assert "thirtieth" not in doubt


def test_many_targets_of_one_value_are_doubted():
    targets = np.random.RandomState(0).normal(size=1000)
    targets[:250] = -9
    doubt, _ = about_targets(decide(np.zeros(1000, bool)), targets)
    assert re.search(r"25% of the targets are -9\. .*leave these", doubt)


@pytest.mark.parametrize("kind", ["few", "most", "counts", "ratings", "distinct"])
def test_targets_that_repeat_by_their_nature_are_not(kind):
    random = np.random.RandomState(0)
    targets = random.normal(size=1000)
    if kind in ("few", "most"):
        targets[: 150 if kind == "few" else 600] = 0
    elif kind == "counts":
        targets = random.poisson(1.0, size=1000).astype(float)
    elif kind == "ratings":
        targets = random.randint(1, 6, size=1000).astype(float)
    doubt, _ = about_targets(decide(np.zeros(1000, bool)), targets)
    assert doubt == ""
