"""The latent-label model, on simulated evidence."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from dit_clean.detection import class_noise, uniform_noise
from dit_clean.detection.class_noise import fit_class_noise, without_exchange
from dit_clean.detection.latent_labels import MIN_WEIGHT, Problem
from dit_clean.detection.noise_model import (
    LabelNoiseModel,
    symmetric_transition,
    true_label_posterior,
)
from dit_clean.detection.uniform_noise import fit_uniform_noise

ONE_SIDED = np.array([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
SYMMETRIC = symmetric_transition(0.2, 3)
CLEAN = np.eye(3)


def simulate(transition, n_samples=900, seed=0, sharpness=4.0):
    """Return evidence about true labels, given labels and true labels."""
    generator = np.random.RandomState(seed)
    truth = np.arange(n_samples) % 3
    logits = generator.randn(n_samples, 3) + sharpness * np.eye(3)[truth]
    logits -= logits.mean(axis=1, keepdims=True)
    given = np.array([generator.choice(3, p=transition[t]) for t in truth])
    return logits[:, :, None], given, truth


@pytest.mark.parametrize("transition", [ONE_SIDED, SYMMETRIC, CLEAN])
def test_transition_matrix_is_recovered(transition):
    evidence, given, _ = simulate(transition)
    model = fit_class_noise(evidence, given)
    assert np.abs(model.transition - transition).max() < 0.08
    assert np.allclose(model.transition.sum(axis=1), 1)
    assert model.weights.min() >= MIN_WEIGHT


@pytest.mark.parametrize("seed", range(3))
def test_two_classes_that_overlap_beside_clear_ones_are_not_suspected(seed):
    generator, truth = np.random.RandomState(seed), np.arange(900) % 4
    means = 4 * np.eye(4)
    means[1:3, 1:3] = 2
    logits = generator.randn(900, 4) + means[truth]
    evidence = (logits - logits.mean(axis=1, keepdims=True))[:, :, None]
    model = fit_class_noise(evidence, truth)
    assert np.diag(model.transition).min() > 0.98
    posterior = true_label_posterior(model, evidence, truth)
    assert (posterior[np.arange(900), truth] < 0.5).mean() < 0.1  # a quarter before


@pytest.mark.parametrize("n_clear", [30, 300])
def test_errors_both_ways_are_found_beside_a_clear_class(n_clear):
    generator = np.random.RandomState(0)
    truth = np.r_[np.arange(900) % 2, np.full(n_clear, 2)]
    logits = generator.randn(len(truth), 3) + 4 * np.eye(3)[truth]
    evidence = (logits - logits.mean(axis=1, keepdims=True))[:, :, None]
    wrong = (generator.rand(len(truth)) < 0.2) & (truth < 2)
    given = np.where(wrong, 1 - truth, truth)
    model = fit_class_noise(evidence, given)
    assert model.transition[0, 1] == pytest.approx(0.2, abs=0.05)
    assert model.transition[1, 0] == pytest.approx(0.2, abs=0.05)


def test_errors_one_way_stay_where_an_exchange_is_taken_out():
    transition = np.array(
        [
            [0.70, 0.10, 0.15, 0.05],
            [0.02, 0.60, 0.36, 0.02],
            [0.02, 0.26, 0.70, 0.02],
            [0.30, 0.00, 0.00, 0.70],
        ]
    )
    found = without_exchange(transition)
    assert np.allclose(found.sum(axis=1), 1)
    assert np.allclose(found[1], [0.02, 0.84, 0.12, 0.02])
    assert np.allclose(found[2], [0.02, 0.02, 0.94, 0.02])
    assert np.allclose(found[[0, 3]], transition[[0, 3]])
    small = np.array([[0.8, 0.2, 0.0], [0.2, 0.8, 0.0], [0.0, 0.0, 1.0]])
    assert np.array_equal(without_exchange(small), small)  # told from overlap
    two = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert without_exchange(two) is two


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.5])
def test_uniform_rate_is_recovered(rate):
    evidence, given, _ = simulate(symmetric_transition(rate, 3), n_samples=1500)
    model = fit_uniform_noise(evidence, given)
    assert 1 - model.transition[0, 0] == pytest.approx(rate, abs=0.05)


def test_free_entries_of_T_explain_more_only_where_errors_go_by_class():
    lead = {}
    for name, transition in {"one-sided": ONE_SIDED, "uniform": SYMMETRIC}.items():
        evidence, given, _ = simulate(transition)
        free, uniform = (
            fit(evidence, given).log_likelihood
            for fit in (fit_class_noise, fit_uniform_noise)
        )
        lead[name] = free - uniform
    assert lead["one-sided"] > 0.02
    assert abs(lead["uniform"]) < 0.01


@pytest.mark.parametrize(
    "fit, transition",
    [
        (fit_class_noise, ONE_SIDED),
        (fit_class_noise, SYMMETRIC),
        (fit_uniform_noise, SYMMETRIC),
    ],
)
def test_posterior_finds_the_wrong_labels(fit, transition):
    evidence, given, truth = simulate(transition)
    model = fit(evidence, given)
    posterior = true_label_posterior(model, evidence, given)
    suspicion = 1 - posterior[np.arange(len(given)), given]
    wrong = given != truth
    assert suspicion[wrong].min() > np.quantile(suspicion[~wrong], 0.5)
    assert (posterior.argmax(axis=1) == truth)[wrong].mean() > 0.85


def even_model(n_classes, *, transition=None, confusion=0.0):
    """Return a model that takes one kind of evidence as it is."""
    transition = np.eye(n_classes) if transition is None else transition
    return LabelNoiseModel(
        np.ones(1), np.zeros(n_classes), transition, 0.0, 0.0, confusion=confusion
    )


@pytest.mark.parametrize("confusion", [0.0, 1.0])
def test_posterior_sums_to_one(confusion):
    evidence, given, _ = simulate(SYMMETRIC, n_samples=60)
    model = even_model(3, transition=SYMMETRIC, confusion=confusion)
    posterior = true_label_posterior(model, evidence, given)
    assert np.allclose(posterior.sum(axis=1), 1)
    assert posterior.min() >= 0


def test_confusion_is_with_the_strongest_rival_alone():
    prior = np.array([[0.2, 0.5, 0.3]])
    model = even_model(3, confusion=0.4)
    (posterior,) = true_label_posterior(
        model, np.log(prior)[:, :, None], np.zeros(1, int)
    )
    rival = 0.4 * 0.2 * (1 + 0.5 - 0.2) / 2
    assert np.allclose(posterior, np.array([0.2, rival, 0]) / (0.2 + rival))


def test_confusion_of_two_classes_is_the_chance_that_they_meet():
    prior = np.array([[0.3, 0.7]])
    model = even_model(2, confusion=0.4)
    (posterior,) = true_label_posterior(
        model, np.log(prior)[:, :, None], np.zeros(1, int)
    )
    assert np.allclose(posterior, np.array([0.3, 0.4 * 0.3 * 0.7]) / (0.3 + 0.084))


@pytest.mark.parametrize("n_known", [0, 6])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [class_noise, uniform_noise])
def test_analytic_gradient_equals_differences(noise, seed, n_known):
    generator = np.random.RandomState(seed)
    evidence, given, _ = simulate(SYMMETRIC, n_samples=30, seed=seed)
    evidence = np.concatenate([evidence, generator.randn(*evidence.shape)], axis=2)
    known = generator.randn(n_known, 3, 2), generator.randint(3, size=n_known)
    known = Problem.of(*known, weight=0.5) if n_known else None
    problem = Problem.of(evidence, given, known)
    if noise is class_noise:
        n_free, rest = 9, (problem, symmetric_transition(0.3, 3), 20.0)
    else:
        n_free, rest = 1, (problem,)
    flat = np.concatenate([[0.7, 0.4], generator.randn(3 + n_free)])
    error = check_grad(
        lambda x: noise._objective(x, *rest)[0],
        lambda x: noise._objective(x, *rest)[1],
        flat,
    )
    assert error < 1e-5


def test_known_labels_tell_noise_from_overlap():
    # Half of class 0 is labeled 1, or classes 0 and 1 overlap: given labels alone
    # cannot say.
    one_sided = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    evidence, given, _ = simulate(one_sided, n_samples=300, sharpness=1.0)
    more, _, known = simulate(CLEAN, n_samples=90, seed=1, sharpness=1.0)
    errors = [
        np.abs(fit_class_noise(evidence, given, known=labels).transition - one_sided)
        for labels in (None, Problem.of(more, known))
    ]
    assert errors[1].max() < 0.7 * errors[0].max()


@pytest.mark.parametrize("fit", [fit_class_noise, fit_uniform_noise])
def test_known_labels_count_by_their_weight(fit):
    evidence, given, _ = simulate(SYMMETRIC, n_samples=90)
    more, _, known = simulate(CLEAN, n_samples=30, seed=1)
    once = fit(evidence, given, known=Problem.of(more, known))
    twice = Problem.of(np.tile(more, (2, 1, 1)), np.tile(known, 2), weight=0.5)
    listed_twice = fit(evidence, given, known=twice)
    assert np.allclose(once.weights, listed_twice.weights)
    assert np.allclose(once.transition, listed_twice.transition)


@pytest.mark.parametrize("fit", [fit_uniform_noise, fit_class_noise])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_rate_stays_below_that_of_labels_at_random(n_classes, fit):
    given = np.arange(300) % n_classes
    against = -4 * np.eye(n_classes)[given][:, :, None]
    model = fit(against - against.mean(axis=1, keepdims=True), given)
    assert np.diag(model.transition) == pytest.approx(1 / n_classes, abs=1e-6)


def test_useless_evidence_gets_less_weight_than_good_evidence():
    evidence, given, _ = simulate(SYMMETRIC)
    noise = np.random.RandomState(1).randn(*evidence.shape)
    model = fit_class_noise(np.concatenate([evidence, noise], axis=2), given)
    assert model.weights[0] > 3 * model.weights[1]


def test_symmetric_transition_rows_sum_to_one_at_every_rate():
    for rate in (0.0, 0.3, 1.0):
        transition = symmetric_transition(rate, 4)
        assert np.allclose(transition.sum(axis=1), 1)
        assert (np.diag(transition) > 0).all()


def test_misleading_evidence_keeps_the_least_weight():
    evidence, given, _ = simulate(SYMMETRIC)
    misleading = np.random.RandomState(1).permutation(evidence)
    model = fit_class_noise(np.concatenate([evidence, misleading], axis=2), given)
    assert model.weights[1] == pytest.approx(MIN_WEIGHT)
    assert model.weights[1] > 0.1  # no kind of evidence is dropped
    assert model.weights[0] > 3 * MIN_WEIGHT


@pytest.mark.parametrize("seed", range(3))
def test_frequent_errors_that_outputs_predict_are_found_by_influence(seed):
    """From weights alike, outputs explain them as no errors at all."""
    generator, n, rate = np.random.RandomState(seed), 3000, 0.3
    truth = generator.randint(10, size=n)
    wrong = generator.rand(n) < rate
    labels = np.where(wrong, (truth + 1) % 10, truth)
    own, next_ = np.eye(10)[truth], np.eye(10)[(truth + 1) % 10]
    outputs = 2 * np.log((1 - rate) * own + rate * next_ + 1e-3)
    outputs += 0.5 * generator.randn(n, 10)
    influence = 3 * own + generator.randn(n, 10)
    evidence = np.stack([outputs, influence], axis=-1)
    evidence -= evidence.mean(axis=1, keepdims=True)
    model = fit_class_noise(evidence, labels)
    assert np.allclose(np.diag(model.transition), 1 - rate, atol=0.05)
    alone = fit_class_noise(evidence[:, :, 1:], labels)
    assert model.log_likelihood > alone.log_likelihood
