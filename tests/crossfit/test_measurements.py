"""What all networks have shown, averaged in the order of X."""

import weakref
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from dit_clean import InfluenceCleaner
from dit_clean.crossfit import CrossFit, Fold, FoldResult, Measurements
from dit_clean.crossfit.result import extended
from tests.nets import load_mixed_iris

N_SAMPLES, N_EPOCHS, N_CLASSES = 6, 4, 2


def make_result(train, held_out, n_epochs, value):
    """Return a result whose outputs are log(value) for the first class."""
    fold = Fold(np.array(train), np.array(held_out, dtype=int), seed=0)
    first = np.full((N_SAMPLES, n_epochs), value) * np.linspace(0.5, 1, n_epochs)
    outputs = list(np.log(np.stack([first, 1 - first], axis=2)).swapaxes(0, 1))
    seconds = {"training": 1.0, "influence": 2.0}
    nothing = np.array([], dtype=int)
    recorded = SimpleNamespace(fold=fold)
    return FoldResult(recorded, outputs, {}, seconds, [], nothing, [])


def iterate_results(n_epochs_of_whole=N_EPOCHS):
    rows = np.arange(N_SAMPLES)
    whole = make_result(rows, [], n_epochs_of_whole, 0.8)
    yield replace(whole, outputs=extended(whole.outputs, N_EPOCHS))
    for held, value in (([0, 1], 0.2), ([2, 3], 0.4), ([4, 5], 0.6)):
        yield make_result(np.setdiff1d(rows, held), held, N_EPOCHS, value)


def measure(results):
    return Measurements.of(results, n_folds=3, is_classifier=True)


def test_network_on_all_rows_counts_as_much_as_the_others_that_train_on_a_sample():
    measured = measure(iterate_results())
    last = measured.in_sample[:, -1, 0]
    others = np.repeat([(0.4 + 0.6) / 2, (0.2 + 0.6) / 2, (0.2 + 0.4) / 2], 2)
    assert np.allclose(last, (others + 0.8) / 2)
    assert np.allclose(measured.held_out[:, -1, 0], np.repeat([0.2, 0.4, 0.6], 2))
    assert measured.seconds == {"training": 4.0, "influence": 8.0}


def test_runs_that_stopped_earlier_keep_their_last_outputs():
    whole = measure(iterate_results())
    short = measure(iterate_results(n_epochs_of_whole=2))
    assert short.in_sample.shape == whole.in_sample.shape
    assert np.allclose(short.in_sample[:, -1], whole.in_sample[:, -1])
    assert not np.allclose(short.in_sample[:, 1], whole.in_sample[:, 1])
    results = list(iterate_results())
    results[1] = replace(results[1], outputs=results[1].outputs[:2])
    held_out = measure(iter(results)).held_out
    assert np.array_equal(held_out[:2, -1], held_out[:2, 1])
    assert np.array_equal(held_out[2:], whole.held_out[2:])


def test_outputs_of_one_network_at_a_time_are_held(monkeypatch):
    made, original = [], CrossFit.run_fold

    def watched(self, *args):
        assert [reference() for reference in made] == [None] * len(made)
        result = original(self, *args)
        made.append(weakref.ref(result.outputs[0]))
        return result

    monkeypatch.setattr(CrossFit, "run_fold", watched)
    InfluenceCleaner(max_epochs=2, random_state=0).fit(*load_mixed_iris())
    assert len(made) == 4
