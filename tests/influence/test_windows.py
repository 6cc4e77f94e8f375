"""Windows by name, number, epochs and fractions."""

import numpy as np
import pytest

from dit_clean.influence import Steps, Window, resolve_window
from tests.cases import CASES, train


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        (None, (0, 30)),
        ("full", (0, 30)),
        ("early", (0, 10)),
        ("middle", (10, 20)),
        ("late", (20, 30)),
        ("convergence", (20, 30)),
        (1, (29, 30)),
        (np.int64(30), (0, 30)),
        ((3, 7), (3, 7)),
        ([3, 7], (3, 7)),
        ((0.0, 1.0), (0, 30)),
        ((0, 0.5), (0, 15)),
        ((0.5, 1), (15, 30)),
        ((0.999, 1.0), (29, 30)),
        ((0.0, 0.001), (0, 1)),
        (Window(2, 4), (2, 4)),
    ],
)
def test_window_of_epochs(window, expected):
    assert resolve_window(window, 30) == Window(*expected)


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 10, 31])
def test_thirds_are_never_empty_and_inside(n_epochs):
    for name in ("early", "middle", "late"):
        window = resolve_window(name, n_epochs)
        assert 0 <= window.start < window.stop <= n_epochs


@pytest.mark.parametrize("n_epochs", [7, 10, 30, 100])
@pytest.mark.parametrize("cut", [0.25, 0.29, 0.57, 0.75])
def test_adjacent_fractions_give_adjacent_windows(n_epochs, cut):
    left = resolve_window((0.0, cut), n_epochs)
    right = resolve_window((cut, 1.0), n_epochs)
    assert (left.start, left.stop, right.stop) == (0, right.start, n_epochs)


@pytest.mark.parametrize("window", [0, -1, 31, (3, 3), (5, 2), (-1, 4), (0, 31)])
def test_window_outside_of_training_is_refused(window):
    with pytest.raises(ValueError, match=r"outside of training: it has 30 epochs, so"):
        resolve_window(window, 30)


@pytest.mark.parametrize("window", [(0.5, 0.5), (0.5, 1.5), (-0.1, 0.5)])
def test_fractions_outside_of_training_are_refused(window):
    with pytest.raises(ValueError, match=r"fractions must satisfy .*whole epochs"):
        resolve_window(window, 30)


@pytest.mark.parametrize("window", [(1, 2, 3), 1.5, True, {"start": 1}, ("a", "b")])
def test_what_is_no_window_is_refused(window):
    with pytest.raises(ValueError, match=r"is no window. Give one of full, early"):
        resolve_window(window, 30)


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown window 'last'. Known names: full"):
        resolve_window("last", 30)


def test_window_behaves_like_range():
    window = Window(2, 5)
    assert len(window) == 3
    assert 2 in window
    assert 5 not in window
    assert list(range(10))[window.slice] == [2, 3, 4]


def test_epochs_become_steps():
    trajectory = train(CASES["sgd"])
    assert Window(1, 3).in_steps(trajectory) == Steps(4, 12)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        *[((2, 30), (2, 21)), ((2, 9), (2, 9))],
        *[(5, (16, 21)), (25, (0, 21)), ("late", (14, 21)), ((0.5, 1.0), (10, 21))],
    ],
)
def test_windows_of_runs_that_stopped_early_are_cut_off(window, expected):
    assert resolve_window(window, 21, n_scheduled=30) == Window(*expected)
    with pytest.raises(ValueError, match="it has 30 epochs"):
        resolve_window((2, 31), 21, n_scheduled=30)


def test_windows_that_a_run_did_not_reach_are_its_last_epoch():
    with pytest.warns(UserWarning, match="stopped after 21 epochs, before window=.25"):
        assert resolve_window((25, 30), 21, n_scheduled=30) == Window(20, 21)
