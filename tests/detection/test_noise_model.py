"""The latent-label model, on simulated evidence."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from dit_clean.detection.noise_model import (
    MIN_WEIGHT,
    KnownLabels,
    _objective,
    _Problem,
    fit_label_noise,
    softmax,
    symmetric_transition,
    true_label_posterior,
)

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
    model = fit_label_noise(evidence, given)
    assert np.abs(model.transition - transition).max() < 0.08
    assert np.allclose(model.transition.sum(axis=1), 1)
    assert model.weights.min() >= 0


@pytest.mark.parametrize("transition", [ONE_SIDED, SYMMETRIC])
def test_posterior_finds_the_wrong_labels(transition):
    evidence, given, truth = simulate(transition)
    model = fit_label_noise(evidence, given)
    posterior = true_label_posterior(model, evidence, given)
    suspicion = 1 - posterior[np.arange(len(given)), given]
    wrong = given != truth
    assert suspicion[wrong].min() > np.quantile(suspicion[~wrong], 0.5)
    assert (posterior.argmax(axis=1) == truth)[wrong].mean() > 0.85


@pytest.mark.parametrize("confusion", [0.0, 0.2])
def test_posterior_sums_to_one(confusion):
    evidence, given, _ = simulate(SYMMETRIC, n_samples=60)
    model = fit_label_noise(evidence, given)
    posterior = true_label_posterior(model, evidence, given, confusion=confusion)
    assert np.allclose(posterior.sum(axis=1), 1)
    assert posterior.min() >= 0


@pytest.mark.parametrize("n_known", [0, 6])
@pytest.mark.parametrize("seed", range(3))
def test_analytic_gradient_equals_differences(seed, n_known):
    generator = np.random.RandomState(seed)
    evidence, given, _ = simulate(SYMMETRIC, n_samples=30, seed=seed)
    evidence = np.concatenate([evidence, generator.randn(*evidence.shape)], axis=2)
    flat = np.concatenate([[0.7, 0.4], generator.randn(3), generator.randn(9)])
    problem = _Problem.of(evidence, given)
    known = generator.randn(n_known, 3, 2), generator.randint(3, size=n_known)
    sure = _Problem.of(*known, weight=0.5) if n_known else None
    rest = (problem, symmetric_transition(0.3, 3), 20.0, 1e-3, sure)
    error = check_grad(
        lambda x: _objective(x, *rest)[0], lambda x: _objective(x, *rest)[1], flat
    )
    assert error < 1e-5


def test_known_labels_tell_noise_from_overlap():
    # Half of class 0 is labeled 1, or classes 0 and 1 overlap: given labels alone
    # cannot say.
    one_sided = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    evidence, given, _ = simulate(one_sided, n_samples=300, sharpness=1.0)
    more, _, known = simulate(CLEAN, n_samples=90, seed=1, sharpness=1.0)
    errors = [
        np.abs(fit_label_noise(evidence, given, known=labels).transition - one_sided)
        for labels in (None, KnownLabels(more, known))
    ]
    assert errors[1].max() < 0.7 * errors[0].max()


def test_known_labels_count_by_their_weight():
    evidence, given, _ = simulate(SYMMETRIC, n_samples=90)
    more, _, known = simulate(CLEAN, n_samples=30, seed=1)
    once = fit_label_noise(evidence, given, known=KnownLabels(more, known))
    twice = KnownLabels(np.tile(more, (2, 1, 1)), np.tile(known, 2), weight=0.5)
    listed_twice = fit_label_noise(evidence, given, known=twice)
    assert np.allclose(once.weights, listed_twice.weights)
    assert np.allclose(once.transition, listed_twice.transition)


def test_useless_evidence_gets_less_weight_than_good_evidence():
    evidence, given, _ = simulate(SYMMETRIC)
    noise = np.random.RandomState(1).randn(*evidence.shape)
    model = fit_label_noise(np.concatenate([evidence, noise], axis=2), given)
    assert model.weights[0] > 3 * model.weights[1]


def test_symmetric_transition_rows_sum_to_one_at_every_rate():
    for rate in (0.0, 0.3, 1.0):
        transition = symmetric_transition(rate, 4)
        assert np.allclose(transition.sum(axis=1), 1)
        assert (np.diag(transition) > 0).all()


def test_softmax_of_large_logits_is_finite():
    assert np.allclose(
        softmax(np.array([[1e4, 0.0], [-1e4, -1e4]])), [[1, 0], [0.5, 0.5]]
    )


def test_misleading_evidence_keeps_the_least_weight():
    evidence, given, _ = simulate(SYMMETRIC)
    misleading = np.random.RandomState(1).permutation(evidence)
    model = fit_label_noise(np.concatenate([evidence, misleading], axis=2), given)
    assert model.weights[1] == pytest.approx(MIN_WEIGHT)
    assert model.weights[1] > 0.1  # no kind of evidence is dropped
    assert model.weights[0] > 3 * MIN_WEIGHT
