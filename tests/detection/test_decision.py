"""From evidence about labels to decisions."""

from dataclasses import replace

import numpy as np
import pytest

from dit_clean.detection import CleanEvidence, LabelEvidence, judge_labels
from dit_clean.detection.decision import (
    ALIKE_ODDS,
    ERRORS_ALIKE,
    EXPLANATIONS,
    Readings,
    _believed,
    _fitted,
    _known_labels,
)
from dit_clean.detection.evidence import (
    centered_log,
    influence_trust,
    label_help,
    mean_of_networks,
)
from dit_clean.detection.noise_model import true_label_posterior
from dit_clean.detection.weights import sample_weights

N_SAMPLES, N_EPOCHS, N_CLASSES = 120, 4, 3
WRONG = np.arange(0, 120, 10)


def decide_labels(
    evidence, influence, window, scoring="combined", contamination="auto"
):
    return judge_labels(evidence, window, influence, scoring).decide(contamination)


def make_evidence(seed=0, informative="both"):
    """Return evidence and influence, with the labels of the rows WRONG wrong."""
    generator = np.random.RandomState(seed)
    truth = np.arange(N_SAMPLES) % N_CLASSES
    labels = truth.copy()
    labels[WRONG] = (truth[WRONG] + 1) % N_CLASSES
    shape = (N_SAMPLES, N_EPOCHS, N_CLASSES)

    def probabilities(strength):
        scores = generator.randn(*shape) * 0.5 + strength * np.eye(3)[truth][:, None]
        scores = np.exp(scores)
        return scores / scores.sum(axis=2, keepdims=True)

    strength = 3.0 if informative in ("both", "outputs") else 0.0
    inside, outside = probabilities(strength), probabilities(strength)
    helps = 1.0 if informative in ("both", "influence") else 0.0
    influence = helps * np.eye(3)[truth][None, :, None] + 0.2 * generator.randn(
        1, *shape
    )
    return LabelEvidence(labels, inside, outside, n_folds=3), influence


@pytest.mark.parametrize("scoring", ["combined", "influence", "margin"])
def test_wrong_labels_are_flagged_and_corrected(scoring):
    evidence, influence = make_evidence()
    decision = decide_labels(evidence, influence, slice(1, 4), scoring=scoring)
    flagged = np.flatnonzero(decision.flagged)
    assert np.isin(WRONG, flagged).all()
    assert len(flagged) <= len(WRONG) + 6
    assert (decision.suggestion[WRONG] == WRONG % N_CLASSES).all()
    kept = ~decision.flagged
    assert (decision.suggestion[kept] == evidence.labels[kept]).all()


@pytest.mark.parametrize("scoring", ["combined", "influence", "margin"])
def test_noise_matrix_is_how_often_each_class_is_mistaken(scoring):
    evidence, influence = make_evidence()
    matrix = decide_labels(evidence, influence, slice(0, 4), scoring).noise_matrix
    truth = np.arange(N_SAMPLES) % N_CLASSES
    counts = np.zeros((N_CLASSES, N_CLASSES))
    np.add.at(counts, (truth, evidence.labels), 1)
    actual = counts / counts.sum(axis=1, keepdims=True)
    assert np.allclose(matrix.sum(axis=1), 1)
    assert np.abs(np.diag(matrix - actual)).max() < 0.05
    assert np.abs(matrix - actual).max() < 0.1


def test_scoring_chooses_the_evidence():
    window = slice(0, 4)
    only = make_evidence(informative="influence")
    by_influence = decide_labels(*only, window, scoring="influence").suspicion
    by_margin = decide_labels(*only, window, scoring="margin").suspicion
    is_wrong = np.isin(np.arange(N_SAMPLES), WRONG)
    assert by_influence[is_wrong].min() > np.median(by_influence)
    assert by_margin[is_wrong].mean() < by_influence[is_wrong].mean()


@pytest.mark.parametrize("informative", ["outputs", "influence"])
def test_influence_counts_as_far_as_it_explains_the_given_labels(informative):
    evidence, influence = make_evidence(informative=informative)
    window, decided = slice(0, 4), {}
    for scoring in ("combined", "margin"):
        decided[scoring] = judge_labels(evidence, window, influence, scoring).suspicion
    is_wrong = np.isin(np.arange(N_SAMPLES), WRONG)
    gap = {k: s[is_wrong].mean() - s[~is_wrong].mean() for k, s in decided.items()}
    if informative == "outputs":
        assert abs(gap["combined"] - gap["margin"]) < 0.1
    else:
        assert gap["combined"] > gap["margin"] + 0.3


def test_combined_lies_between_its_answers():
    """For 840 samples in three classes, whose influence is trusted."""
    evidence, influence = repeated(make_evidence(), 7)
    rows = np.arange(len(evidence.labels))
    readings = Readings(evidence, label_help(influence), slice(0, 4))
    answers = np.array(
        [
            1 - _believed(readings, one, 1.0)[0][rows, evidence.labels]
            for one in EXPLANATIONS["combined"]
        ]
    )
    found = judge_labels(evidence, slice(0, 4), influence, "combined").suspicion
    low, high = answers.min(axis=0), answers.max(axis=0)
    apart = high - low > 1e-6
    assert apart.mean() > 0.2
    assert ((low < found) & (found < high))[apart].all()


def test_influence_that_is_not_trusted_is_not_looked_at():
    """Of 12 samples in three classes."""
    evidence, influence = make_evidence()
    rows = np.arange(12)
    few = LabelEvidence(
        rows % 3, evidence.in_sample[rows], evidence.held_out[rows], n_folds=3
    )
    assert influence_trust(few.labels, few.n_folds) == 0
    nothing = np.full_like(influence[:, rows], np.nan)
    found, expected = (
        judge_labels(few, slice(0, 4), nothing, scoring)
        for scoring in ("combined", "margin")
    )
    assert np.array_equal(found.suspicion, expected.suspicion)


@pytest.mark.parametrize("alike", [True, False])
def test_influence_gives_way_where_errors_are_alike_in_all_classes(alike):
    evidence, influence = make_evidence()
    if alike:
        labels = evidence.labels.copy()
        labels[WRONG[::2]] = (labels[WRONG[::2]] + 1) % N_CLASSES
        evidence = replace(evidence, labels=labels)
    else:
        evidence, influence = repeated((evidence, influence), 7)
    readings = Readings(evidence, label_help(influence), slice(0, 4))
    for explanation in EXPLANATIONS["combined"]:
        model = _fitted(readings, explanation)
        assert model.errors_alike == (alike or explanation is ERRORS_ALIKE)
        gives_way = alike and "influence" in explanation.kinds
        expected = len(evidence.labels) * model.worth
        expected += np.log(ALIKE_ODDS) if gives_way else 0
        assert _believed(readings, explanation, 1.0).log_odds == pytest.approx(expected)


def repeated(made, n_times):
    """Return evidence and influence with each sample so many times."""
    evidence, influence = made
    labels, outputs = evidence.labels, (evidence.in_sample, evidence.held_out)
    more = [np.concatenate([values] * n_times) for values in (labels, *outputs)]
    return LabelEvidence(*more, n_folds=3), np.concatenate([influence] * n_times, 1)


def test_influence_has_a_say_as_far_as_it_is_trusted():
    evidence, influence = repeated(make_evidence(), 7)
    readings = Readings(evidence, label_help(influence), slice(0, 4))
    by_influence = EXPLANATIONS["combined"][0]
    model = _fitted(readings, by_influence)
    weights = model.weights * [1, 1, 0.4]
    expected = true_label_posterior(
        replace(model, weights=weights),
        readings.full(by_influence.kinds),
        evidence.labels,
    )
    believed = _believed(readings, by_influence, 0.4)
    assert np.allclose(believed.posterior, expected)
    full_trust = _believed(readings, by_influence, 1.0).log_odds
    assert believed.log_odds == pytest.approx(full_trust + np.log(0.4))


def test_networks_on_the_sample_count_twice_as_often_as_the_folds_they_are():
    assert mean_of_networks(np.ones(1), np.zeros(1), 3) == pytest.approx(1 / 5)
    assert mean_of_networks(np.ones(1), np.zeros(1), 5) == pytest.approx(1 / 9)


def test_networks_that_trained_on_the_sample_count():
    evidence, influence = make_evidence()
    other = replace(evidence, in_sample=make_evidence(seed=1)[0].in_sample)
    found, expected = (
        judge_labels(each, slice(0, 4), influence, "margin").suspicion
        for each in (other, evidence)
    )
    assert not np.allclose(found, expected, atol=0.01)


def test_outputs_before_and_after_the_turning_point_are_two_kinds():
    evidence, influence = make_evidence()
    held_out = evidence.held_out.copy()
    held_out[:, [0, 3]] = 1 / N_CLASSES  # best in the middle
    held_out[:, 1] = 0.9 * held_out[:, 1] + 0.1 / N_CLASSES
    evidence = replace(evidence, held_out=held_out)
    readings = Readings(evidence, label_help(influence), slice(0, 4))
    assert readings.stages == (slice(0, 3), slice(2, 4))
    early, late = np.moveaxis(readings.blind(("outputs",)), -1, 0)
    assert np.allclose(early, evidence.outside(slice(0, 3)))
    assert np.allclose(late, evidence.outside(slice(2, 4)))


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (0, 1), (1, 4), (3, 4)])
def test_stages_meet_at_the_best_epoch_and_are_never_empty(start, stop):
    evidence, influence = make_evidence()
    readings = Readings(evidence, label_help(influence), slice(start, stop))
    before, after = readings.stages
    assert before.start == start < before.stop
    assert after.start == before.stop - 1
    assert after.start < after.stop == stop
    assert after.start == start + evidence.held_out_loss()[start:stop].argmin()


def test_clean_samples_count_once_however_many_networks_see_them():
    evidence, clean, _ = make_one_sided()
    influence, window = np.zeros((1, N_SAMPLES, N_EPOCHS, N_CLASSES)), slice(0, 4)
    twice = CleanEvidence(clean.labels, np.concatenate([clean.outputs] * 2))
    found, expected = (
        judge_labels(replace(evidence, clean=one), window, influence, "margin")
        for one in (twice, clean)
    )
    assert np.allclose(found.suspicion, expected.suspicion, atol=1e-4)


def test_help_is_relative_to_other_labels_and_to_its_spread():
    influence = make_evidence()[1]
    found = label_help(influence)
    alike = np.random.RandomState(1).randn(1, N_SAMPLES, 1, 1)
    assert np.allclose(label_help(influence + alike), found)
    two = np.concatenate([influence, 1000 * influence[:, ::-1]])
    assert np.allclose(label_help(two).std(axis=(1, 2)), 1)


def make_one_sided(seed=0):
    """Return evidence where most of class 0 is labeled 1, clean samples, and who is.

    The networks have learned just that: they are torn on every sample of class 0.
    """
    generator = np.random.RandomState(seed)

    def probabilities(truth):
        scores = generator.randn(len(truth), N_EPOCHS, N_CLASSES)
        scores += 3 * np.eye(N_CLASSES)[truth][:, None]
        scores[truth == 0, :, 1] += 3
        scores = np.exp(scores)
        return scores / scores.sum(axis=2, keepdims=True)

    truth, known = np.arange(N_SAMPLES) % N_CLASSES, np.arange(30) % N_CLASSES
    wrong = (truth == 0) & (generator.rand(N_SAMPLES) < 0.65)
    labels = np.where(wrong, 1, truth)
    clean = CleanEvidence(known, np.stack([probabilities(known) for _ in range(2)]))
    return (
        LabelEvidence(labels, probabilities(truth), probabilities(truth), 3),
        clean,
        wrong,
    )


@pytest.mark.parametrize("seed", range(4))
def test_clean_samples_find_what_the_majority_of_labels_hides(seed):
    evidence, clean, wrong = make_one_sided(seed)
    influence, window = np.zeros((1, N_SAMPLES, N_EPOCHS, N_CLASSES)), slice(0, 4)
    blind = decide_labels(evidence, influence, window)
    seeing = decide_labels(replace(evidence, clean=clean), influence, window)
    found = [each.flagged[wrong].mean() for each in (seeing, blind)]
    assert found[0] > max(0.8, found[1])
    assert (seeing.suggestion[wrong & seeing.flagged] == 0).all()
    errors = [abs(each.contamination - wrong.mean()) for each in (seeing, blind)]
    assert errors[0] < min(0.05, errors[1])


@pytest.mark.parametrize(("n_each", "is_heard"), [(9, False), (10, True)])
def test_influence_on_few_clean_samples_is_no_evidence(n_each, is_heard):
    evidence, influence = make_evidence()
    both = np.concatenate([influence, influence[:, ::-1]])
    labels = np.repeat(np.arange(N_CLASSES), n_each)
    outputs = np.full((2, len(labels), N_EPOCHS, N_CLASSES), 1 / N_CLASSES)
    evidence = replace(evidence, clean=CleanEvidence(labels, outputs))
    alone, beside = (
        decide_labels(evidence, values, slice(0, 4)).suspicion
        for values in (influence, both)
    )
    assert np.array_equal(alone, beside) != is_heard


def test_clean_samples_say_nothing_of_influence():
    evidence, clean, _ = make_one_sided()
    stages = slice(0, 3), slice(2, 4)
    known = _known_labels(replace(evidence, clean=clean), stages, n_evidence=4)
    assert known.evidence.shape == (4, N_CLASSES, 2 * 30)
    assert (known.evidence[2:] == 0).all()
    late = centered_log(clean.outputs[1][:, stages[1]].mean(axis=1))
    assert np.allclose(known.evidence[1, :, 30:], late.T)


@pytest.mark.parametrize("contamination", [0.05, 0.1, 0.3])
def test_contamination_is_the_fraction_flagged(contamination):
    decision = decide_labels(*make_evidence(), slice(0, 4), contamination=contamination)
    assert decision.flagged.sum() == round(contamination * N_SAMPLES)
    assert (decision.suspicion[decision.flagged] >= decision.threshold).all()


def test_decision_is_consistent():
    decision = decide_labels(*make_evidence(), slice(0, 4))
    assert 0 <= decision.suspicion.min() <= decision.suspicion.max() <= 1
    weight = sample_weights(decision.suspicion, decision.flagged)
    assert ((weight == 0) == decision.flagged).all()
    assert 0 <= weight.min() <= weight.max() <= 1
    assert abs(decision.contamination - len(WRONG) / N_SAMPLES) < 0.06


def test_outputs_after_the_window_do_not_count():
    evidence, influence = make_evidence()
    evidence.held_out[:, 3] = evidence.in_sample[:, 3] = 1 / N_CLASSES
    expected = decide_labels(evidence, influence, slice(0, 3)).suspicion
    evidence.held_out[:, 3] = 0.1 + 0.7 * np.eye(N_CLASSES)[evidence.labels]
    evidence.in_sample[:, 3] = [0.8, 0.1, 0.1]
    assert evidence.held_out_loss().argmin() == 3
    found = decide_labels(evidence, influence, slice(0, 3)).suspicion
    assert np.array_equal(found, expected)


def test_unit_of_influence_does_not_matter():
    evidence, influence = make_evidence()
    expected = decide_labels(evidence, influence, slice(0, 4)).suspicion
    scaled = decide_labels(evidence, 1e-6 * influence, slice(0, 4)).suspicion
    assert np.allclose(scaled, expected, atol=1e-4)


def test_influence_is_not_trusted_where_few_rows_of_a_class_are_held_out():
    few, many = np.repeat(np.arange(5), 9), np.repeat(np.arange(5), 90)
    assert influence_trust(few, 3) == 0
    assert influence_trust(many, 3) == 1
    assert 0 < influence_trust(np.repeat(np.arange(5), 45), 3) < 1


def test_two_classes_and_certain_outputs_are_finite():
    labels = np.arange(40) % 2
    sure = np.repeat(np.eye(2)[labels][:, None], 2, axis=1)
    evidence = LabelEvidence(labels, sure, sure, n_folds=3)
    decision = decide_labels(evidence, np.zeros((1, 40, 2, 2)), slice(0, 2))
    assert np.isfinite(decision.suspicion).all()
    assert not decision.flagged.any()


def test_margin_is_the_lead_of_the_given_label_over_its_strongest_rival():
    held_out = np.array([[[0.9, 0.1, 0.0]] * 2, [[0.6, 0.3, 0.1], [0.8, 0.1, 0.1]]])
    evidence = LabelEvidence(np.array([0, 1]), held_out, held_out, n_folds=3)
    assert np.allclose(evidence.margin(slice(0, 2)), [0.8, -0.5])
    assert np.allclose(evidence.margin(slice(0, 1)), [0.8, -0.3])
