"""What all networks have shown, averaged in the order of X."""

from types import SimpleNamespace

import numpy as np

from dit_clean.crossfit import Fold, FoldResult, Measurements
from dit_clean.crossfit.result import CrossFitResult

N_SAMPLES, N_EPOCHS, N_CLASSES = 6, 4, 2


def make_result(train, held_out, n_epochs, value):
    """Return a result whose outputs are log(value) for the first class."""
    fold = Fold(np.array(train), np.array(held_out, dtype=int), seed=0)
    first = np.full((N_SAMPLES, n_epochs), value) * np.linspace(0.5, 1, n_epochs)
    outputs = np.log(np.stack([first, 1 - first], axis=2))
    seconds = {"training": 1.0, "influence": 2.0}
    return FoldResult(SimpleNamespace(fold=fold), outputs, {}, seconds)


def make_trained(n_epochs_of_whole=N_EPOCHS):
    rows = np.arange(N_SAMPLES)
    folds = [
        make_result(np.setdiff1d(rows, held), held, N_EPOCHS, value)
        for held, value in (([0, 1], 0.2), ([2, 3], 0.4), ([4, 5], 0.6))
    ]
    return CrossFitResult(folds, make_result(rows, [], n_epochs_of_whole, 0.8))


def test_network_on_all_rows_counts_as_much_as_the_others_that_train_on_a_sample():
    measured = Measurements.of(make_trained(), is_classifier=True)
    last = measured.in_sample[:, -1, 0]
    others = np.repeat([(0.4 + 0.6) / 2, (0.2 + 0.6) / 2, (0.2 + 0.4) / 2], 2)
    assert np.allclose(last, (others + 0.8) / 2)
    assert np.allclose(measured.held_out[:, -1, 0], np.repeat([0.2, 0.4, 0.6], 2))
    assert measured.seconds == {"training": 4.0, "influence": 8.0}


def test_network_on_all_rows_that_stopped_earlier_keeps_its_last_outputs():
    whole = Measurements.of(make_trained(), is_classifier=True)
    short = Measurements.of(make_trained(n_epochs_of_whole=2), is_classifier=True)
    assert short.in_sample.shape == whole.in_sample.shape
    assert np.allclose(short.in_sample[:, -1], whole.in_sample[:, -1])
    assert not np.allclose(short.in_sample[:, 1], whole.in_sample[:, 1])
