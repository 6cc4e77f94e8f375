"""When training has converged."""

from functools import partial

import numpy as np
import pytest
from scipy.special import softmax

from dit_clean.detection import (
    LabelEvidence,
    convergence_window,
    window_likelihood,
)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ([3.0], (0, 1)),
        ([1.0, 2.0, 3.0, 4.0], (0, 2)),
        ([4.0, 3.0, 2.0, 1.0], (0, 4)),
        ([5.0, 4.0, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0], (0, 6)),
        ([1.0, 1.0, 1.0], (0, 2)),
    ],
)
def test_window_goes_up_to_twice_the_best_epoch(loss, expected):
    assert convergence_window(np.array(loss)) == expected


def test_window_is_never_empty_and_holds_the_best_epoch():
    generator = np.random.RandomState(0)
    for n_epochs in range(1, 40):
        loss = generator.rand(n_epochs)
        start, stop = convergence_window(loss)
        assert 0 <= start <= loss.argmin() < stop <= n_epochs


@pytest.mark.parametrize(("fit_of_all", "stop"), [(-0.9, 8), (-1.0, 4), (-1.1, 4)])
def test_all_epochs_count_only_where_they_explain_the_labels_better(fit_of_all, stop):
    loss = np.array([2.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])
    fits = {4: -1.0, 8: fit_of_all}
    assert convergence_window(loss, lambda window: fits[window.stop]) == (0, stop)


def test_loss_that_rises_from_too_sure_answers_does_not_end_the_window():
    # Odds that go on to tell the classes better apart, and grow too large.
    generator = np.random.RandomState(0)
    labels, n_epochs = np.arange(600) % 2, 12
    signs = np.where(labels == 1, 1, -1)
    wrong = generator.rand(600) < 0.3
    noise = generator.randn(600, n_epochs)
    epochs = np.arange(1, n_epochs + 1)
    odds = epochs * signs[:, None] + noise * np.sqrt(epochs)
    held_out = softmax(np.stack([-odds, odds], axis=2), axis=2)
    evidence = LabelEvidence(
        np.where(wrong, 1 - labels, labels), held_out, held_out, n_folds=3
    )
    loss = evidence.held_out_loss()
    assert convergence_window(loss) == (0, 2)
    found = convergence_window(loss, partial(window_likelihood, evidence))
    assert found == (0, n_epochs)
