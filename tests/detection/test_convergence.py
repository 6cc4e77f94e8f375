"""When training has converged."""

import numpy as np
import pytest

from dit_clean.detection import convergence_window
from dit_clean.detection.convergence import split_at_turn


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


def test_window_is_split_at_the_turning_point_into_two_that_are_never_empty():
    for start, stop, turn in np.ndindex(6, 7, 9):
        if start >= stop:
            continue
        before, after = split_at_turn(slice(start, stop), turn)
        assert before.start == start < before.stop
        assert after.start < after.stop == stop
        assert after.start == before.stop - 1
