"""When training has converged."""

import numpy as np
import pytest

from dit_clean.detection import convergence_window


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ([3.0], (0, 1)),
        ([1.0, 2.0, 3.0, 4.0], (0, 2)),
        ([4.0, 3.0, 2.0, 1.0], (1, 4)),
        ([5.0, 4.0, 1.0, 4.0, 5.0, 6.0, 7.0, 8.0], (1, 6)),
        ([1.0, 1.0, 1.0], (0, 2)),
    ],
)
def test_window_lies_around_the_best_epoch(loss, expected):
    assert convergence_window(np.array(loss)) == expected


def test_window_is_never_empty_and_holds_the_best_epoch():
    generator = np.random.RandomState(0)
    for n_epochs in range(1, 40):
        loss = generator.rand(n_epochs)
        start, stop = convergence_window(loss)
        assert 0 <= start <= loss.argmin() < stop <= n_epochs
