"""States that were dropped come back to the bit."""

import weakref
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence import check_replay
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StateStore, StepRecorder, TrackedModel
from tests.cases import CASES, train
from tests.nets import N_COLUMNS, N_LABELS, Mixed, make_net, make_rows
from tests.tracking.loops import make_norm, record

OPTIMIZERS = {
    "sgd": {"optimizer": torch.optim.SGD},
    "nesterov": {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
        "optimizer__nesterov": True,
        "optimizer__weight_decay": 0.01,
    },
    "adam": {"optimizer": torch.optim.Adam, "lr": 0.01},
    "amsgrad": {
        "optimizer": torch.optim.Adam,
        "optimizer__amsgrad": True,
        "lr": 0.01,
    },
    "adamw": {"optimizer": torch.optim.AdamW, "lr": 0.01},
    "fused sgd": {"optimizer__momentum": 0.9, "optimizer__fused": True},
    "fused adam": {
        "optimizer": torch.optim.Adam,
        "optimizer__fused": True,
        "lr": 0.01,
    },
    "foreach adamw": {
        "optimizer": torch.optim.AdamW,
        "optimizer__foreach": True,
        "lr": 0.01,
    },
    "maximize": {
        "optimizer": torch.optim.SGD,
        "optimizer__maximize": True,
        "lr": 0.001,
    },
}

GROUPS = [("*.weight", {"lr": 0.02, "weight_decay": 0.1}), ("layers.1.*", {"lr": 0.01})]
"""Of linear layers the biases are the third group."""
OPTIONS = {
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adagrad": {"lr_decay": 0.1, "initial_accumulator_value": 0.1},
    "Adadelta": {},
    "Adamax": {},
    "NAdam": {"decoupled_weight_decay": True},
    "RAdam": {"decoupled_weight_decay": True},
}
ADAPTIVE = {
    f"groups {name}": {
        "optimizer": getattr(torch.optim, name),
        "optimizer__param_groups": GROUPS,
        "lr": 0.01,
        **{f"optimizer__{option}": value for option, value in options.items()},
    }
    for name, options in OPTIONS.items()
}
BY_OTHER_KERNELS = {
    "fused adagrad": {
        "optimizer": torch.optim.Adagrad,
        "optimizer__fused": True,
        "lr": 0.05,
    },
    "foreach nadam": {
        "optimizer": torch.optim.NAdam,
        "optimizer__foreach": True,
        "lr": 0.01,
    },
}


def same_state(found, expected):
    return (
        torch.equal(found.params, expected.params)
        and found.slots.keys() == expected.slots.keys()
        and all(torch.equal(found.slots[k], v) for k, v in expected.slots.items())
        and all(torch.equal(found.buffers[k], v) for k, v in expected.buffers.items())
    )


@pytest.mark.parametrize("name", CASES)
def test_replay_of_a_plain_loop_is_bit_exact(name):
    everything = train(CASES[name], store=StateStore())
    first = train(CASES[name], store=StateStore(max_bytes=1))
    for t in range(everything.n_steps + 1):
        assert same_state(first.state(t), everything.state(t))


@pytest.mark.parametrize("name", [*OPTIMIZERS, *ADAPTIVE, *BY_OTHER_KERNELS])
def test_replay_of_a_skorch_run_is_bit_exact(name):
    """With running statistics, dropout and shuffling, in float32."""
    X, y = make_rows()
    settings = (OPTIMIZERS | ADAPTIVE | BY_OTHER_KERNELS)[name]
    net = make_net(Mixed, iterator_train__shuffle=True, **settings)
    everything = track(net, X, y, record="all", random_state=0)
    first = track(net, X, y, record=1, random_state=0)
    kept = len(first.trajectory.store), len(everything.trajectory.store)
    assert kept == (2, everything.trajectory.n_steps + 1)
    for t in range(everything.trajectory.n_steps + 1):
        assert same_state(first.trajectory.state(t), everything.trajectory.state(t))
    query = MeanLoss(X, y)
    assert np.array_equal(first.influence(query), everything.influence(query))


@pytest.mark.parametrize("name", OPTIONS)
def test_groups_that_begin_at_different_steps_are_replayed(name):
    """One has been trained before the recording, when the other was frozen."""
    X, y = map(torch.as_tensor, make_rows())
    loss, runs = nn.CrossEntropyLoss(), []
    for store in (StateStore(), StateStore(max_bytes=1)):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(N_COLUMNS, 5), nn.Tanh(), nn.Linear(5, 3))
        groups = [{"params": module[i].parameters()} for i in (2, 0)]
        optimizer = getattr(torch.optim, name)(groups, lr=0.01, **OPTIONS[name])
        for frozen in (True, False):
            module[0].requires_grad_(not frozen)
            if not frozen:
                model = TrackedModel.of(module, loss, X, y)
                recorder = StepRecorder(model, module, optimizer, store)
            for batch in torch.arange(len(X)).split(9):
                with nullcontext() if frozen else recorder.step(batch, 0):
                    optimizer.zero_grad()
                    loss(module(X[batch]), y[batch]).backward()
                    optimizer.step()
        recorder.snapshot()
        recorder.close()
        runs.append(TrackedRun(recorder.trajectory))
    everything, first = (run.trajectory for run in runs)
    assert [record.counts for record in first] == [(5 + t, t) for t in range(5)]
    for t in range(everything.n_steps + 1):
        assert same_state(first.state(t), everything.state(t))
    check_replay(everything, range(everything.n_steps))
    found, expected = (run.influence(MeanLoss(X, y)) for run in runs)
    assert np.array_equal(found, expected)


def test_a_step_draws_its_own_dropout_mask_again():
    X, y = make_rows()
    net = make_net(Mixed, iterator_train__shuffle=True)
    trajectory = track(net, X, y, random_state=0).trajectory
    drawn_from = [r.draws_from(trajectory.state(r.step).rng_state) for r in trajectory]
    assert not torch.equal(drawn_from[0], drawn_from[1])
    replayed = trajectory.replayer.iterate_states(
        trajectory.model, trajectory.state(4), trajectory.records[4:6]
    )
    assert same_state(list(replayed)[-1], trajectory.state(6))


def test_random_states_of_another_kind_of_device_are_refused():
    trajectory = track(make_net(Mixed), *make_rows(), record=1).trajectory
    of_a_gpu = torch.zeros(16, dtype=torch.uint8)
    trajectory.records[0] = trajectory.records[0]._replace(rng_state=of_a_gpu)
    with pytest.raises(RuntimeError, match="another kind of device than 'cpu'"):
        trajectory.state(2)


def test_a_moved_run_is_one_of_its_own():
    X, y = make_rows()
    run = track(make_net(Mixed), X, y, record=1, random_state=0)
    expected = run.influence(MeanLoss(X, y))
    moved = TrackedRun(run.trajectory.to("cpu"))
    for parameter in run.model.module.parameters():
        parameter.requires_grad_(False).zero_()
    for parameter in run.trajectory.replayer.module.parameters():
        parameter.requires_grad_(False).zero_()
    assert np.array_equal(moved.influence(MeanLoss(X, y)), expected)


def test_nets_without_random_layers_store_no_random_state():
    trajectory = track(make_net(), *make_rows()).trajectory
    assert all(record.rng_state is None for record in trajectory)


@pytest.mark.parametrize("n_fitting", [8, 12, 100])
@pytest.mark.parametrize("start", [0, 4])
def test_going_back_holds_no_more_states_than_fit(monkeypatch, n_fitting, start):
    X, y = make_rows()
    net = make_net(optimizer=torch.optim.Adam, lr=1e-3, batch_size=5, max_epochs=4)
    everything = track(net, X, y, record="all", random_state=0).trajectory
    bound = n_fitting * everything.state(1).nbytes
    few = track(net, X, y, record=bound, random_state=0).trajectory
    few.store.keep_only(lambda t: False)
    alive, n_replayed, iterate_states = [], 0, few.replayer.iterate_states

    def watched(*args):
        nonlocal n_replayed
        for state in iterate_states(*args):
            n_replayed += 1
            alive[:] = [other for other in alive if other() is not None]
            assert len(alive) <= n_fitting  # and the one just computed
            alive.append(weakref.ref(state))
            yield state

    monkeypatch.setattr(few.replayer, "iterate_states", watched)
    going_back = few.iterate_back(start, everything.n_steps)
    for step in range(everything.n_steps - 1, start - 1, -1):
        record, state = next(going_back)
        assert record.step == step
        assert same_state(state, everything.state(step))
        del state
    assert next(going_back, None) is None
    assert n_replayed <= 4 * everything.n_steps


def test_large_states_are_replayed_to_the_same_scores():
    """3 x 19 KiB are kept at every 32nd step, and around the ends of epochs."""
    kept = sorted({0, 1, 9, 10, 18, 19, 27})

    class Wide(torch.nn.Sequential):
        def __init__(self):
            wide = torch.nn.Linear(N_COLUMNS, 600), torch.nn.ReLU()
            super().__init__(*wide, torch.nn.Linear(600, N_LABELS))

    X, y = make_rows()
    net = make_net(Wide, optimizer=torch.optim.Adam, lr=1e-3, batch_size=5)
    some, everything = (
        track(net, X, y, record=record, random_state=0) for record in ("auto", "all")
    )
    assert some.trajectory.store.steps == kept
    query = MeanLoss(X, y)
    assert np.array_equal(some.influence(query), everything.influence(query))


class Counts(nn.Module):
    """Counts its passes in a buffer, also those in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(N_COLUMNS, 5), nn.Linear(5, N_LABELS)
        self.register_buffer("n_passes", torch.tensor(0))

    def forward(self, X):
        self.n_passes += 1
        return self.head(torch.tanh(self.body(X))) * (1 + 0.05 * self.n_passes)


def test_questions_do_not_change_the_run_they_ask():
    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    net = Counts()
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    run, query = TrackedRun(trajectory), MeanLoss(X, y)
    first = run.timeline(query)
    run.leave_one_out(query, range(3))
    trajectory.params(0)["head.bias"].add_(1)
    assert np.array_equal(run.timeline(query), first)
    counts = [int(trajectory.state(t).buffers["n_passes"]) for t in range(7)]
    assert counts == list(range(7))
    check_replay(trajectory)


def test_values_of_buffers_have_to_be_given():
    X, y = map(torch.as_tensor, make_rows())
    net = Counts()
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    with pytest.raises(ValueError, match=r"not for 'n_passes'.*trajectory.variables"):
        trajectory.model.forward(trajectory.params(0), X)
    end = trajectory.variables(trajectory.state(trajectory.n_steps))
    assert torch.equal(trajectory.model.forward(end, X), net(X))


class Skips(nn.Module):
    """Leaves out a branch in every second pass."""

    def __init__(self):
        super().__init__()
        self.body, self.branch = nn.Linear(N_COLUMNS, 5), nn.Linear(N_COLUMNS, 5)
        self.head = nn.Linear(5, N_LABELS)
        self.register_buffer("n_passes", torch.tensor(0))

    def forward(self, X):
        if self.training:
            self.n_passes += 1
        hidden = self.body(X)
        if int(self.n_passes) % 2:
            hidden = hidden + self.branch(X)
        return self.head(torch.tanh(hidden))


@pytest.mark.parametrize("optimizer_type", [torch.optim.SGD, torch.optim.Adam])
def test_gradients_that_a_loop_sets_to_zero_move_what_a_step_does_not_use(
    optimizer_type,
):
    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    net = Skips()
    settings = {"momentum": 0.9} if optimizer_type is torch.optim.SGD else {}
    optimizer = optimizer_type(net.parameters(), lr=0.05, **settings)
    zero_grad = optimizer.zero_grad
    optimizer.zero_grad = lambda: zero_grad(set_to_none=False)
    store = StateStore()
    trajectory = record(net, optimizer, X, y, n_epochs=3, store=store)
    again = trajectory.replayer.iterate_states(
        trajectory.model, store[0], trajectory.records
    )
    for t, state in enumerate(again, start=1):
        assert torch.equal(state.params, store[t].params)


def test_centered_inputs_of_batch_normalization_are_no_passes_beside_the_steps():
    """Their running mean is rounding error, which no two kernels share."""
    X, y = map(torch.as_tensor, make_rows())
    X = (X - X.mean(0)) / X.std(0)
    net = nn.Sequential(nn.BatchNorm1d(N_COLUMNS), nn.Linear(N_COLUMNS, N_LABELS))
    model = TrackedModel.of(net, nn.CrossEntropyLoss(), X, y)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(model, net, optimizer, StateStore())
    for epoch in range(40):
        with recorder.step(torch.arange(len(X)), epoch):
            optimizer.zero_grad()
            model.loss.criterion(net(X), y).backward()
            optimizer.step()
    recorder.close()
    check_replay(recorder.trajectory)
    influence = TrackedRun(recorder.trajectory).influence(MeanLoss(X, y))
    assert np.isfinite(influence).all()


def test_passes_in_training_mode_beside_those_of_steps_are_noticed():
    """They move running statistics, which questions depend on."""
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def look():
        with torch.no_grad():
            net(X)

    trajectory = record(net, optimizer, X, y, after_step=look)
    run, query = TrackedRun(trajectory), MeanLoss(X, y)
    with pytest.raises(RuntimeError, match="forward passes in training mode beside"):
        run.influence(query)
    with pytest.raises(RuntimeError, match=r"recorded buffer '2.running_var'"):
        run.leave_one_out(query, [0])


class Caches(nn.Module):
    """Makes a mask as long as the longest batch so far."""

    def __init__(self, is_registered=True):
        super().__init__()
        self.body = nn.Linear(N_COLUMNS, N_LABELS)
        if is_registered:
            self.register_buffer("mask", torch.ones(1, 1, dtype=torch.bool))

    def forward(self, X):
        if not hasattr(self, "mask"):
            mask = torch.ones(1, 1, dtype=torch.bool)
            self.register_buffer("mask", mask, persistent=False)
        if len(self.mask) < len(X):
            self.mask = self.mask.new_ones(len(X), 1)
        return self.body(X) * self.mask[: len(X)]


class CountsLate(Counts):
    """Registers its count in the first pass."""

    def __init__(self):
        super().__init__()
        del self.n_passes

    def forward(self, X):
        if not hasattr(self, "n_passes"):
            self.register_buffer("n_passes", torch.tensor(0))
        return super().forward(X)


class AveragesLate(nn.Module):
    """Registers an average in the first pass, and reads it in evaluation mode only."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(N_COLUMNS, N_LABELS)

    def forward(self, X):
        if not hasattr(self, "average"):
            self.register_buffer("average", torch.zeros(N_LABELS))
        output = self.body(X)
        if not self.training:
            return output - self.average
        self.average.lerp_(output.detach().mean(0), 0.1)
        return output


def recorded(net, store):
    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    net = net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    return TrackedRun(record(net, optimizer, X, y, store=store))


@pytest.mark.parametrize("is_registered", [True, False])
@pytest.mark.parametrize("max_bytes", [None, 400])
def test_buffers_that_the_first_pass_makes_are_constants(is_registered, max_bytes):
    run = recorded(partial(Caches, is_registered), StateStore(max_bytes))
    query = MeanLoss(*make_rows())
    plain = recorded(lambda: nn.Linear(N_COLUMNS, N_LABELS), None)
    expected = plain.influence(query, "late")
    check_replay(run.trajectory)
    for moves in (False, True):  # once it has been asked, its copy holds the mask
        trajectory = run.trajectory.to("cpu") if moves else run.trajectory
        found = TrackedRun(trajectory)
        np.testing.assert_allclose(found.influence(query, "late"), expected, rtol=1e-5)
        assert np.isfinite(found.leave_one_out(query, [0])).all()


def test_copies_of_a_run_hold_no_buffers_that_a_pass_has_made():
    run = recorded(lambda: nn.Sequential(Caches(False), nn.BatchNorm1d(N_LABELS)), None)
    query = MeanLoss(*make_rows())
    before = run.leave_one_out(query, [0])  # a replay, so that its copy holds the mask
    moved = run.trajectory.to("cpu")
    check_replay(moved)
    assert np.array_equal(TrackedRun(moved).leave_one_out(query, [0]), before)


@pytest.mark.parametrize("module", [CountsLate, AveragesLate])
def test_buffers_that_the_first_pass_makes_and_others_change_are_refused(module):
    with pytest.raises(ValueError, match=r"registers its buffer .* in its first pass"):
        track(make_net(module), *make_rows())
