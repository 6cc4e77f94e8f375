"""Rows of T: a class's own, or that of all classes."""

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.special import betaln, gamma

from dit_clean.detection.class_noise import fit_class_noise
from dit_clean.detection.latent_labels import Problem
from dit_clean.detection.noise_model import symmetric_transition
from dit_clean.detection.row_pooling import (
    CHARGE,
    _log_marginal,
    _options,
    pool_rows,
)
from dit_clean.detection.uniform_noise import fit_uniform_noise

N_CLASSES, N_SAMPLES = 20, 1000


def simulate(transition, seed=0, sharpness=5.0):
    """Return evidence (n_samples, n_classes, 1) and given labels."""
    n_classes = len(transition)
    generator = np.random.RandomState(seed)
    truth = np.arange(N_SAMPLES) % n_classes
    logits = (
        generator.randn(N_SAMPLES, n_classes) + sharpness * np.eye(n_classes)[truth]
    )
    logits -= logits.mean(axis=1, keepdims=True)
    given = [generator.choice(n_classes, p=transition[t]) for t in truth]
    return logits[:, :, None], np.array(given)


def pair_flips(rate, bad_classes):
    """Return T where samples of the bad classes get the label of the next class."""
    transition = np.eye(N_CLASSES)
    for bad in bad_classes:
        transition[bad, bad] -= rate
        transition[bad, (bad + 1) % N_CLASSES] += rate
    return transition


@pytest.mark.parametrize("seed", range(3))
def test_errors_alike_in_all_classes_pool_nearly_every_row(seed):
    evidence, given = simulate(symmetric_transition(0.2, N_CLASSES), seed)
    kept = np.diag(fit_class_noise(evidence, given).transition)
    assert np.isclose(kept, np.median(kept)).sum() >= N_CLASSES - 2
    assert np.median(kept) == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_single_bad_class_keeps_its_row_beside_errors_alike_in_all_others(seed):
    truth = symmetric_transition(0.1, N_CLASSES)
    truth[3] = pair_flips(0.4, [3])[3]
    evidence, given = simulate(truth, seed)
    transition = fit_class_noise(evidence, given).transition
    assert transition[3, 4] == pytest.approx(0.4, abs=0.15)
    kept = np.delete(np.diag(transition), 3)
    assert np.isclose(kept, np.median(kept)).sum() > N_CLASSES / 2
    assert np.median(kept) == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_single_bad_class_with_errors_spread_over_all_others_keeps_its_rate(seed):
    truth = symmetric_transition(0.05, N_CLASSES)
    truth[3] = symmetric_transition(0.4, N_CLASSES)[3]
    evidence, given = simulate(truth, seed, sharpness=3.0)
    transition = fit_class_noise(evidence, given).transition
    assert transition[3, 3] == pytest.approx(0.6, abs=0.12)
    others = np.delete(transition[3], 3)
    assert np.ptp(others) < 1e-12
    assert np.median(np.diag(transition)) == pytest.approx(0.95, abs=0.05)


def test_single_row_of_three_classes_is_a_free_one_of_two_choices():
    counts = np.array([[50.0, 9.0, 1.0], [0.5, 40.0, 2.5], [3.0, 3.5, 60.0]])
    pooled = symmetric_transition(0.1, 3)
    options = _options(counts, pooled, 2.0)
    _, _, free, single = zip(options.rows, options.worth, strict=True)
    assert np.allclose(single[0], free[0])
    assert np.allclose(single[1], free[1] - np.log(2))


def test_row_of_its_own_rate_has_odds_of_one_to_the_number_of_classes():
    counts = np.diag(np.full(N_CLASSES, 50.0)) + 0.1
    counts[3, 4:10] = 3
    options = _options(counts, symmetric_transition(0.05, N_CLASSES), 4.0)
    right, wrong = 50.1, counts[3].sum() - 50.1
    likelihood = betaln(right + 4 * 0.95, wrong + 4 * 0.05) - betaln(3.8, 0.2)
    likelihood -= wrong * np.log(N_CLASSES - 1)  # each other class alike
    assert options.worth[1, 3] == pytest.approx(likelihood - np.log(N_CLASSES))


def test_single_row_is_worth_more_than_a_free_one_where_one_entry_stands_out():
    counts = np.diag(np.full(N_CLASSES, 50.0)) + 0.1
    counts[3, 4] = 20
    _, even, free, single = _options(
        counts, symmetric_transition(0.05, N_CLASSES), 4.0
    ).worth[:, 3]
    assert single > max(free, even) + 5


def test_rows_are_charged_for_what_they_leave_open():
    evidence, given = simulate(pair_flips(0.3, range(N_CLASSES)))
    model = fit_class_noise(evidence, given)
    assert model.worth == model.log_likelihood - model.charge
    # About one row of its own for each class.
    least = CHARGE * N_CLASSES * np.log(N_CLASSES) / N_SAMPLES
    assert least / 2 < model.charge < 5 * least
    alike = fit_uniform_noise(evidence, given)
    assert alike.worth == alike.log_likelihood


def test_rows_stay_free_where_all_classes_go_wrong_in_ways_of_their_own():
    evidence, given = simulate(pair_flips(0.3, range(N_CLASSES)))
    transition = fit_class_noise(evidence, given).transition
    to_next = transition[np.arange(N_CLASSES), (np.arange(N_CLASSES) + 1) % N_CLASSES]
    assert np.median(to_next) == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("n_classes", [2, 3, 20])
def test_rows_of_pooled_matrix_are_distributions(n_classes):
    generator = np.random.RandomState(0)
    evidence, given = simulate(symmetric_transition(0.2, n_classes))
    problem = Problem.of(evidence, given)
    prior = problem.prior(np.ones(1), np.zeros(n_classes))
    start = generator.dirichlet(np.ones(n_classes), size=n_classes)
    transition = pool_rows(start, prior, problem, strength=4.0).transition
    assert np.allclose(transition.sum(axis=1), 1)
    assert transition.min() > 0


def test_class_that_nothing_speaks_for_leaves_no_gap():
    # Class 1 is given to half of the samples and true of none.
    evidence = np.zeros((40, 2, 1))
    evidence[:, 1] = -2000
    problem = Problem.of(evidence, np.arange(40) % 2)
    prior = problem.prior(np.ones(1), np.zeros(2))
    rows = pool_rows(np.full((2, 2), 0.5), prior, problem, strength=2.0)
    transition = rows.transition
    assert np.allclose(transition.sum(axis=1), 1)
    assert transition[0] == pytest.approx([0.5, 0.5], abs=0.01)


def test_marginal_likelihood_is_the_integral_over_the_dirichlet():
    counts, pull = np.array([3.0, 2.0, 1.0]), np.array([2.5, 1.2, 1.3])

    def integrand(b, a):
        p = np.array([a, b, 1 - a - b])
        density = gamma(pull.sum()) / gamma(pull).prod() * (p ** (pull - 1)).prod()
        return (p**counts).prod() * density

    truth, _ = dblquad(integrand, 0, 1, 0, lambda a: 1 - a, epsabs=1e-10)
    assert np.exp(_log_marginal(counts[None], pull[None]))[0] == pytest.approx(
        truth, rel=1e-6
    )
