"""What cross-fitted training has shown of labeled samples."""

import numpy as np
import pytest

from dit_clean.detection import LabelEvidence

N_SAMPLES, N_EPOCHS = 200, 9


def make_evidence(n_right):
    """Return evidence whose networks predict so many labels, epoch by epoch, surely."""
    right = np.arange(N_SAMPLES)[:, None] < np.asarray(n_right)
    sureness = np.linspace(0.6, 0.9, right.shape[1])
    own = np.where(right, sureness, 1 - sureness)
    outputs = np.stack([own, 1 - own], axis=2)
    return LabelEvidence(np.zeros(N_SAMPLES, int), outputs, outputs, n_folds=3)


@pytest.mark.parametrize(
    ("n_right", "learns"),
    [
        (np.linspace(100, 190, N_EPOCHS), True),
        (np.repeat([120, 150, 152], 3), True),
        (np.repeat([120, 150, 150], 3), False),  # surer, but no better
        (np.repeat([120, 150, 140], 3), False),
        ([120, 190], False),
    ],
)
def test_late_learning_is_told_from_growing_sureness(n_right, learns):
    assert make_evidence(n_right).learns_late() == learns
