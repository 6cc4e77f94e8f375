"""Which states are kept: bounded memory, whatever the run's length."""

import pytest
import torch

from dit_clean.tracking import StateStore, StepRecorder, TrackedModel, TrainingState
from tests.cases import CASES, train

N_BYTES = 40


def make_state():
    return TrainingState(torch.zeros(N_BYTES // 4))


@pytest.mark.parametrize("n_kept", [3, 4, 7])
@pytest.mark.parametrize("n_steps", [2, 9, 100])
def test_memory_stays_below_the_bound(n_kept, n_steps):
    store = StateStore(max_bytes=n_kept * N_BYTES)
    for t in range(n_steps):
        if store.wants(t):
            store.put(t, make_state())
        assert store.nbytes == len(store) * N_BYTES <= store.max_bytes
    assert 0 in store


def test_kept_states_stay_evenly_spread():
    store = StateStore(max_bytes=5 * N_BYTES)
    for t in range(33):
        if store.wants(t):
            store.put(t, make_state())
    assert store.steps == [0, 8, 16, 24, 32]


@pytest.mark.parametrize("per_step, every", [(40, 1), (39, 2), (10, 4), (1, 32)])
def test_large_states_are_kept_less_often(per_step, every):
    store = StateStore(bytes_per_step=per_step)
    for t in range(33):
        if store.wants(t):
            store.put(t, make_state())
    assert store.steps == list(range(0, 33, every))


def test_recording_by_itself_is_bounded_and_thins_large_states():
    torch.manual_seed(0)
    X, y = torch.randn(48, 100), torch.arange(48) % 2
    module, loss = torch.nn.Linear(100, 100), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    recorder = StepRecorder(TrackedModel.of(module, loss, X, y), module, optimizer)
    states = []
    for batch in torch.arange(48).split(1):
        states.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
        with recorder.step(batch, 0):
            optimizer.zero_grad()
            loss(module(X[batch]), y[batch]).backward()
            optimizer.step()
    recorder.snapshot()
    store = recorder.trajectory.store
    assert (store.max_bytes, store.bytes_per_step) == (2**30, 2**10)
    assert store.steps == [0, 1, 32, 48]  # 40 kB: every 32nd, and the ends
    for t, state in enumerate(states):
        assert torch.equal(recorder.trajectory.state(t).params, state)


def test_following_is_the_first_kept_step_after():
    store = StateStore()
    for t in (0, 3, 7):
        store.put(t, make_state())
    assert [store.following(t) for t in (0, 2, 3, 6, 7)] == [3, 3, 7, 7, None]


def test_nearest_is_the_last_kept_step_that_is_not_after():
    store = StateStore()
    for t in (0, 3, 7):
        store.put(t, make_state())
    assert [store.nearest(t) for t in (0, 2, 3, 6, 7, 50)] == [0, 0, 3, 3, 7, 7]


def test_a_state_put_twice_counts_once():
    store = StateStore()
    store.put(0, make_state())
    store.put(0, make_state())
    assert (len(store), store.nbytes) == (1, N_BYTES)


def test_the_first_state_is_never_forgotten():
    store = StateStore()
    for t in range(4):
        store.put(t, make_state())
    store.keep_only(lambda t: False)
    assert store.steps == [0]


def test_a_bound_below_two_states_still_keeps_a_run_that_can_be_replayed():
    few = train(CASES["adam"], store=StateStore(max_bytes=1))
    everything = train(CASES["adam"])
    assert len(few.store) <= 2
    for t in range(everything.n_steps + 1):
        assert torch.equal(few.state(t).params, everything.state(t).params)


@pytest.mark.parametrize("bound", [0, -1, 0.5, "1GiB"])
@pytest.mark.parametrize("name", ["max_bytes", "bytes_per_step"])
def test_bounds_that_are_no_numbers_of_bytes_are_refused(name, bound):
    with pytest.raises(ValueError, match=f"{name} is a positive number of bytes, got"):
        StateStore(**{name: bound})
