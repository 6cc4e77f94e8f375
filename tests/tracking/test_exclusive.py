"""Torch's global state, used by one thread at a time."""

import os
import threading

import numpy as np
import pytest
import torch

from dit_clean import track
from dit_clean.queries import MeanLoss
from dit_clean.tracking.exclusive import (
    borrowed_generators,
    fixed_threads,
    thread_count,
)
from tests.nets import Mixed, make_net, make_rows


def run_beside(function):
    """Run a function in a thread of its own, and return the thread."""
    thread = threading.Thread(target=function)
    thread.start()
    return thread


def test_number_of_threads_is_not_read_while_a_fit_has_changed_it():
    before, entered = torch.get_num_threads(), threading.Event()

    def fit():
        with fixed_threads(before + 2):
            entered.set()
            threading.Event().wait(0.2)

    thread = run_beside(fit)
    assert entered.wait(5)
    assert thread_count() == before
    thread.join()


def test_runs_tracked_in_threads_are_those_tracked_alone():
    X, y = make_rows()
    found = [None] * 4

    def fit(seed):
        run = track(make_net(Mixed, max_epochs=4), X, y, random_state=seed)
        found[seed] = run.influence(MeanLoss(X, y))

    threads = [run_beside(lambda seed=seed: fit(seed)) for seed in range(4)]
    for thread in threads:
        thread.join()
    beside = list(found)
    for seed in range(4):
        fit(seed)
    assert np.array_equal(beside, found)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_forked_process_does_not_wait_for_a_thread_of_its_parent():
    entered, done = threading.Event(), threading.Event()

    def hold():
        with borrowed_generators():
            entered.set()
            done.wait(10)

    thread = run_beside(hold)
    assert entered.wait(5)
    child = os.fork()
    if child == 0:
        with borrowed_generators():
            os._exit(0)
    waited = run_beside(lambda: os.waitpid(child, 0))
    waited.join(5)
    is_hanging = waited.is_alive()
    if is_hanging:
        os.kill(child, 9)
    done.set()
    thread.join()
    assert not is_hanging
