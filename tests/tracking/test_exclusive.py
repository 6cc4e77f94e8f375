"""Torch's global state, used by one thread at a time."""

import os
import pickle
import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from dit_clean import InfluenceCleaner, track
from dit_clean.influence import check_replay
from dit_clean.queries import MeanLoss
from dit_clean.tracking.exclusive import TorchSettings, borrowed_generators
from tests.nets import Linear, Mixed, make_net, make_rows
from tests.tracking.loops import record


def run_beside(function):
    """Run a function in a thread of its own, and return the thread."""
    thread = threading.Thread(target=function)
    thread.start()
    return thread


@pytest.fixture
def many_processors(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)


@pytest.mark.usefixtures("many_processors")
def test_number_of_threads_is_not_read_while_a_fit_has_changed_it():
    before, entered = torch.get_num_threads(), threading.Event()

    def fit():
        with replace(TorchSettings.now(), n_threads=before + 2).in_force():
            entered.set()
            threading.Event().wait(0.2)

    thread = run_beside(fit)
    assert entered.wait(5)
    assert TorchSettings.now().n_threads == before
    thread.join()


@pytest.mark.usefixtures("many_processors")
def test_settings_are_those_of_before_after_a_fit():
    before = TorchSettings.now()
    precisions = ("bf16", *before.precisions[1:])
    changed = TorchSettings(before.n_threads + 1, torch.float64, precisions)
    with changed.in_force():
        assert TorchSettings.now() == changed
    assert TorchSettings.now() == before


def test_no_more_threads_than_processors_and_those_of_before_after(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(5)
    try:
        with replace(TorchSettings.now(), n_threads=4).in_force():
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(before)


@contextmanager
def set_by_the_caller(settings):
    before = TorchSettings.now()
    settings._set()
    try:
        yield
    finally:
        before._set()


class Noting(Linear):
    """Notes the settings that its passes run under."""

    noted: ClassVar[list] = []

    def forward(self, X):
        self.noted.append(TorchSettings.now())
        return super().forward(X)


@pytest.mark.usefixtures("many_processors")
def test_what_is_asked_of_a_run_is_computed_under_the_settings_of_its_training():
    X, y = make_rows()
    query, before = MeanLoss(X, y), TorchSettings.now()
    run = track(make_net(Noting), X, y, record=1, random_state=0)
    precisions = ("bf16", *before.precisions[1:])
    Noting.noted.clear()
    others = TorchSettings(before.n_threads + 1, torch.float64, precisions)
    with set_by_the_caller(others):
        run.influence(query)
        run.timeline(query)
        run.leave_one_out(query, [0])
        check_replay(run.trajectory)
        params = run.trajectory.params(2)
        run.model.losses(params, torch.as_tensor(X), torch.as_tensor(y))
    assert set(Noting.noted) == {before}


@pytest.mark.usefixtures("many_processors")
def test_a_cleaner_predicts_and_asks_under_the_settings_of_its_training():
    X, y = make_rows()
    before = TorchSettings.now()
    cleaner = InfluenceCleaner(make_net(Noting, max_epochs=3), random_state=0)
    cleaner.fit(X, y)
    Noting.noted.clear()
    with set_by_the_caller(replace(before, dtype=torch.float64)):
        cleaner.influence((1, 2), history="full")
        cleaner.influence_on(X[:2])
    trained = {replace(noted, n_threads=1) for noted in Noting.noted}
    assert trained == {replace(before, n_threads=1)}


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


def test_questions_asked_in_threads_are_answered_as_if_alone():
    """Each replays states in the one network of the run."""
    X, y = make_rows()
    run = track(make_net(Mixed, max_epochs=6), X, y, record=1, random_state=0)
    windows, found = [(0, 2), (1, 4), (3, 6)], {}

    def ask(window):
        found[window] = run.influence(MeanLoss(X, y), window)

    alone = {window: run.influence(MeanLoss(X, y), window) for window in windows}
    threads = [run_beside(lambda window=window: ask(window)) for window in windows]
    for thread in threads:
        thread.join()
    for window in windows:
        assert np.array_equal(found[window], alone[window])


def test_seeding_does_not_touch_generators_of_gpus(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    with borrowed_generators(seed=3):
        drawn = torch.rand(3)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        assert torch.equal(torch.rand(3), drawn)
    track(make_net(Mixed), *make_rows(), random_state=0)
    assert seeded == [3]  # by this test's own manual_seed


@contextmanager
def asked_beside(run):
    """Have a thread ask a run again and again inside; yields its answers."""
    query, stopped, answers = MeanLoss(*make_rows()), threading.Event(), []

    def ask():
        while not stopped.is_set():
            answers.append(run.influence(query))

    thread = run_beside(ask)
    try:
        yield answers
    finally:
        stopped.set()
        thread.join()


def test_loops_that_record_draw_their_own_random_numbers():
    """Questions borrow the generator, but not in the midst of a step."""
    run = track(make_net(Mixed), *make_rows(), random_state=0)
    X, y = map(torch.as_tensor, make_rows())
    net = Mixed()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with asked_beside(run):
        trajectory = record(net, optimizer, X, y, n_epochs=70)
    check_replay(trajectory, range(210))


def test_losses_that_a_query_reads_are_its_own_in_every_thread():
    X, y = map(torch.as_tensor, make_rows())
    run = track(make_net(Mixed), *make_rows(), random_state=0)
    params = run.trajectory.variables(run.trajectory.state(3))
    alone = run.influence(MeanLoss(X, y))
    expected = run.model.losses(params, X, y)
    with asked_beside(run) as answers:
        found = [run.model.losses(params, X, y) for _ in range(300)]
    assert all(torch.equal(losses, expected) for losses in found)
    assert len(answers) > 1
    assert all(np.array_equal(answer, alone) for answer in answers)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_training_has_gradients_whatever_the_caller_asked_for(context):
    X, y = make_rows()
    nets = Linear, None
    expected = [fitted(net, X, y) for net in nets]
    with context():
        found = [fitted(net, X, y) for net in nets]
        assert not torch.is_grad_enabled()
    assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_loaded_cleaners_decide_anew_whatever_the_caller_asked_for(context):
    cleaner = InfluenceCleaner(max_epochs=8, random_state=0).fit(*make_rows())
    cleaner.set_params(window=(5, 6))  # which has to be replayed
    loaded = pickle.loads(pickle.dumps(cleaner))
    with context():
        loaded.rescore()
    assert np.array_equal(loaded.suspicion_, cleaner.rescore().suspicion_)


def fitted(module, X, y):
    """Return influence of a run of a module, or by a cleaner without one."""
    if module is None:
        return InfluenceCleaner(max_epochs=3, random_state=0).fit(X, y).influence_
    return track(make_net(module), X, y, random_state=0).influence(MeanLoss(X, y))
