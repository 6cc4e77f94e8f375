"""What steps draw from: kept where they do not go on from the step before."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence import Steps, check_replay, influence_scores
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StateStore, StepRecorder, TrackedModel, TrainingState
from tests.influence.reference import relative_error, unrolled_influence
from tests.nets import N_COLUMNS, N_LABELS, Mixed, make_net, make_rows
from tests.tracking.test_replay import same_state

N_EPOCHS, N_BATCH = 3, 9  # five steps an epoch
RNG_BYTES = torch.get_rng_state().nbytes


class Focal(nn.Module):
    """A loss of one's own, which may draw random numbers for all that is known."""

    reduction = "mean"

    def forward(self, output, target):
        each = nn.functional.cross_entropy(output, target, reduction="none")
        each = (1 - (-each).exp()) * each
        return each.mean() if self.reduction == "mean" else each


class NoisyLoss(nn.CrossEntropyLoss):
    def forward(self, output, target):
        return super().forward(output + 0.3 * torch.randn_like(output), target)


class Twice(nn.Module):
    """Calls itself, and draws random numbers after that."""

    def __init__(self):
        super().__init__()
        self.output, self.is_inner = nn.Linear(N_COLUMNS, N_LABELS), False

    def forward(self, X):
        if self.is_inner:
            return self.output(X)
        self.is_inner = True
        found = self(X)
        self.is_inner = False
        return nn.functional.dropout(found, 0.3, self.training)


def make_dropout(layer=None):
    layer = nn.Dropout(0.4) if layer is None else layer
    body, head = nn.Linear(N_COLUMNS, 6), nn.Linear(6, N_LABELS)
    return nn.Sequential(body, nn.Tanh(), layer, head)


def draw():
    torch.rand(3)


def nothing(*_):
    pass


def train(make_module=make_dropout, max_bytes=None, **options):
    """Return the trajectory of a plain loop in double precision.

    Options are called at their place of each step: `at_pass` in place of the module,
    `before_step` with module and number of the step. But for `loss`, `weight` of each
    sample's loss, and whether the update has a `closure`.
    """
    X, y = map(torch.as_tensor, make_rows())
    X = X.double()
    torch.manual_seed(0)
    module = make_module().double()
    loss = options.get("loss", nn.CrossEntropyLoss())
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    model = TrackedModel.of(module, loss, X, y)
    recorder = StepRecorder(model, module, optimizer, StateStore(max_bytes))
    at = {"at_pass": module, **options}

    def compute(batch):
        optimizer.zero_grad()
        output = at["at_pass"](X[batch])
        at.get("after_pass", nothing)()
        value = loss(output, y[batch])
        if "weight" in options:
            each = nn.functional.cross_entropy(output, y[batch], reduction="none")
            value = (each * options["weight"][batch]).sum() / len(batch)
        value.backward()
        at.get("after_loss", nothing)()
        return value

    for epoch in range(N_EPOCHS):
        for batch in torch.randperm(len(X)).split(N_BATCH):
            at.get("before_step", nothing)(module, recorder.trajectory.n_steps)
            with recorder.step(batch, epoch):
                at.get("before_pass", nothing)()
                closure = partial(compute, batch)
                if "closure" not in options:
                    closure()
                optimizer.step(closure if "closure" in options else None)
                at.get("after_update", nothing)()
        recorder.snapshot()
    recorder.close()
    return recorder.trajectory


def n_kept(trajectory):
    return sum(record.rng_state is not None for record in trajectory)


def check_same(few, everything):
    """Compare all states and influence of a run that is replayed with the same one."""
    assert len(few.store) < len(everything.store) == everything.n_steps + 1
    for t in range(everything.n_steps + 1):
        assert same_state(few.state(t), everything.state(t))
    query = MeanLoss(everything.model.inputs, everything.model.targets)
    found, expected = (TrackedRun(run).influence(query) for run in (few, everything))
    assert np.array_equal(found, expected)
    for run in (few, everything):
        check_replay(run, range(run.n_steps))


def check_left_out(run, without):
    """Compare leaving sample 3 out with a run that was trained without its loss."""
    query = MeanLoss(run.model.inputs, run.model.targets)
    found = TrackedRun(run).leave_one_out(query, [3])
    values = [query(one.params(15), one) for one in (without, run)]
    assert found[0] == pytest.approx(float(values[0] - values[1]), rel=1e-9)


@pytest.mark.parametrize("options", [{}, {"closure": True}], ids=["plain", "closure"])
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), Focal()])
def test_one_random_state_is_kept_for_each_shuffling(options, loss):
    trajectory = train(loss=loss, **options)
    starts = trajectory.epoch_starts[:-1]
    kept = [r.step for r in trajectory if r.rng_state is not None]
    assert kept == starts
    check_same(train(loss=loss, max_bytes=1, **options), trajectory)


def test_a_shuffled_skorch_run_keeps_one_random_state_an_epoch():
    net = make_net(Mixed, iterator_train__shuffle=True, batch_size=5)
    trajectory = track(net, *make_rows(), random_state=0).trajectory
    assert n_kept(trajectory) == trajectory.n_epochs < trajectory.n_steps


@pytest.mark.parametrize("n_states", [3, 5])
def test_random_states_lie_within_the_bound(n_states):
    bound = n_states * train().state(2).nbytes
    trajectory = train(max_bytes=bound)
    store = trajectory.store
    states = [store[t] for t in store.steps]
    assert all(state.rng_state.nbytes == RNG_BYTES for state in states if state.slots)
    assert store.nbytes == sum(state.nbytes for state in states) <= bound
    n_numbers = sum(x.numel() for x in (*states[-1].slots.values(), states[-1].params))
    assert states[-1].nbytes == 8 * n_numbers + RNG_BYTES


def test_what_steps_draw_from_is_what_they_drew_from():
    """Whether it is kept with the record, with the state, or comes with a replay."""
    seen = []
    see = lambda module, X: seen.append(torch.get_rng_state()) or module(X)  # noqa: E731
    module = make_dropout()
    run = train(lambda: module, at_pass=partial(see, module), max_bytes=1)
    for record, expected in zip(run, seen, strict=True):
        found = record.draws_from(run.state(record.step).rng_state)
        assert torch.equal(found, expected)


PLACES = ["before_pass", "after_pass", "after_loss", "after_update"]


@pytest.mark.parametrize("options", [{}, {"closure": True}], ids=["plain", "closure"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), Focal()])
def test_what_a_loop_draws_within_steps_is_seen(place, loss, options):
    options = {place: draw, "loss": loss} | options
    few, everything = (train(max_bytes=bound, **options) for bound in (1, None))
    assert n_kept(everything) == everything.n_steps
    check_same(few, everything)


def test_what_a_loop_draws_now_and_then_is_seen():
    def sometimes(module, step):
        if step % 4 == 2:
            draw()

    few, everything = (train(max_bytes=b, before_step=sometimes) for b in (1, None))
    kept = [r.step for r in everything if r.rng_state is not None]
    assert kept == sorted({0, 5, 10} | {2, 6, 10, 14})
    check_same(few, everything)


def test_a_look_in_training_mode_is_no_part_of_the_step():
    """It draws masks of its own, without gradients."""
    modules = []

    def make():
        modules[:] = [make_dropout()]
        return modules[0]

    def look():
        with torch.no_grad():
            modules[0](torch.zeros(5, N_COLUMNS, dtype=torch.float64))

    for place in PLACES:
        check_same(*(train(make, bound, **{place: look}) for bound in (1, None)))


@pytest.mark.parametrize("shift", [0, 1])
def test_steps_that_draw_nothing_leave_the_generator_to_the_next_one(shift):
    def switch(module, step):
        module[2].train((step + shift) % 3 == 0)

    few, everything = (train(max_bytes=b, before_step=switch) for b in (1, None))
    assert n_kept(everything) <= 1 + N_EPOCHS
    check_same(few, everything)


def test_draws_of_the_loss_are_repeated():
    for make in (make_dropout, partial(make_dropout, nn.Identity())):
        few, everything = (train(make, b, loss=NoisyLoss()) for b in (1, None))
        assert n_kept(everything) == everything.n_steps
        for t in range(everything.n_steps + 1):
            assert same_state(few.state(t), everything.state(t))
        check_replay(few, range(few.n_steps))


@pytest.mark.parametrize(
    "make", [make_dropout, partial(make_dropout, nn.RReLU()), Twice]
)
def test_passes_that_are_not_seen_keep_their_own_random_states(make):
    """Those of module.forward."""
    modules = []

    def make_hidden():
        modules[:] = [make()]
        return modules[0]

    def forward(X):
        return modules[0].forward(X)

    few, everything = (train(make_hidden, b, at_pass=forward) for b in (1, None))
    assert n_kept(everything) == everything.n_steps
    check_same(few, everything)


def test_a_module_that_calls_itself_is_followed_to_its_end():
    few, everything = (train(Twice, bound) for bound in (1, None))
    assert n_kept(everything) == N_EPOCHS
    check_same(few, everything)


def test_layers_that_draw_by_value_draw_the_recorded_numbers_without_a_sample():
    """How many numbers RReLU draws changes with the parameters."""
    make, seen = partial(make_dropout, nn.RReLU()), []
    run = train(make, before_step=lambda *_: seen.append(torch.get_rng_state()))
    assert n_kept(run) == run.n_steps
    weight = torch.ones(45)
    weight[3] = 0
    again = lambda module, step: torch.set_rng_state(seen[step])  # noqa: E731
    check_left_out(run, train(make, before_step=again, weight=weight))


def test_a_layer_that_never_draws_keeps_nothing():
    class Own(nn.Linear):
        pass

    trajectory = train(lambda: Own(N_COLUMNS, N_LABELS), before_step=lambda *_: draw())
    assert n_kept(trajectory) == 0
    assert all(trajectory.store[t].rng_state is None for t in trajectory.store.steps)


@pytest.mark.parametrize("max_bytes", [1, 4 * RNG_BYTES, None])
def test_influence_is_that_of_autograd_through_training(max_bytes):
    def draws(module, step):
        module[2].train(step % 5 != 1)
        if step % 4 == 2:
            draw()

    trajectory = train(max_bytes=max_bytes, before_step=draws)
    query = MeanLoss(trajectory.model.inputs, trajectory.model.targets)
    for window in (Steps(0, 15), Steps(3, 9)):
        found = influence_scores(trajectory, query, window)
        truth = unrolled_influence(trajectory, query, window, "full", window.stop)
        assert relative_error(found.values, truth) < 1e-8


@pytest.mark.parametrize("record", ["auto", "10KiB", 1])
def test_storage_changes_no_score(record):
    X, y = make_rows()
    net = make_net(Mixed, iterator_train__shuffle=True, batch_size=5)
    query = MeanLoss(X, y)
    some, everything = (
        track(net, X, y, record=record, random_state=0) for record in (record, "all")
    )
    assert len(some.trajectory.store) < len(everything.trajectory.store)
    for ask in (
        lambda run: run.influence(query),
        lambda run: run.influence(query, window=(1, 2)),
        lambda run: run.leave_one_out(query, [0, 7]),
    ):
        assert np.array_equal(ask(some), ask(everything))


@pytest.mark.parametrize("max_bytes", [1, None])
def test_leaving_a_sample_out_is_training_without_its_loss(max_bytes):
    weight = torch.ones(45)
    weight[3] = 0
    check_left_out(train(max_bytes=max_bytes), train(weight=weight))


def test_a_pickled_run_answers_as_before():
    query = MeanLoss(*make_rows())
    for bound in (1, 4 * RNG_BYTES, None):
        run = TrackedRun(train(max_bytes=bound))
        loaded = pickle.loads(pickle.dumps(run))
        assert np.array_equal(loaded.influence(query), run.influence(query))
        asked = [r.leave_one_out(query, [2]) for r in (loaded, run)]
        assert np.array_equal(*asked)


def test_random_states_stay_on_the_cpu():
    state = TrainingState(torch.zeros(3), rng_state=torch.get_rng_state())
    moved = state.to("meta")
    assert moved.params.device.type == "meta"
    assert moved.rng_state.device.type == "cpu"
    assert state.nbytes == 12 + RNG_BYTES


def test_a_kept_random_state_of_another_kind_of_device_is_refused():
    trajectory = train()
    state = trajectory.store[2]
    of_a_gpu = TrainingState(
        state.params, state.slots, state.buffers, torch.zeros(16, dtype=torch.uint8)
    )
    trajectory.store.put(2, of_a_gpu)
    trajectory.store.keep_only(lambda t: t == 2)
    with pytest.raises(RuntimeError, match="another kind of device than 'cpu'"):
        trajectory.state(4)
