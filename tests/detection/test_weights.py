"""Weights: in [0, 1], and what flags and classes do to them."""

import numpy as np
import pytest

from dit_clean.detection import sample_weights

SUSPICION = np.array([0.1, 0.9, 0.2, 0.6, 0.0, 0.3])
FLAGGED = np.array([False, True, False, True, False, False])
CLASSES = np.array([0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("classes", [None, CLASSES])
def test_weights_lie_between_0_and_1(soft, classes):
    weights = sample_weights(SUSPICION, FLAGGED, classes, soft=soft)
    assert 0 <= weights.min() <= weights.max() <= 1
    assert ((weights == 0) == (FLAGGED & (not soft))).all()


@pytest.mark.parametrize("n_certain", [10, 20])
def test_classes_whose_weights_are_all_0_stay_without(n_certain):
    suspicion = np.where(np.arange(20) < n_certain, 1.0, 0.1)
    unflagged, classes = np.zeros(20, bool), np.repeat([0, 1], 10)
    weights = sample_weights(suspicion, unflagged, classes, soft=True)
    assert weights.tolist() == [0.0] * n_certain + [1.0] * (20 - n_certain)


@pytest.mark.parametrize("soft", [False, True])
def test_classes_keep_their_shares(soft):
    weights = sample_weights(SUSPICION, FLAGGED, CLASSES, soft=soft)
    totals = np.bincount(CLASSES, weights)
    assert totals[0] == pytest.approx(totals[1])
    assert weights.max() == 1
