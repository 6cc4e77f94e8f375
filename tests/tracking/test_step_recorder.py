"""Plain torch loops: what a `StepRecorder` sees, and what it refuses."""

import copy
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence import check_replay
from dit_clean.queries import ClassProbability, MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from tests.nets import N_COLUMNS, N_LABELS, make_net, make_rows

LOSS = nn.CrossEntropyLoss()


def make_parts():
    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    body, head = nn.Linear(N_COLUMNS, 8), nn.Linear(8, N_LABELS)
    return nn.Sequential(body, nn.Tanh(), nn.Dropout(0.5), head), X, y


def nothing():
    pass


def record(net, optimizer, X, y, n_epochs=2, rows_of=lambda batch: batch, **options):
    """Return the trajectory of a plain loop; options replace parts of it."""
    criterion = options.get("criterion", LOSS)
    recorder = StepRecorder(TrackedModel.of(net, criterion, X, y), net, optimizer)
    context = options.get("context", torch.enable_grad)
    begin_step = options.get("begin_step", nothing)
    before_step = options.get("before_step", nothing)
    after_step = options.get("after_step", nothing)
    between_steps = options.get("between_steps", nothing)
    for epoch in range(n_epochs):
        for batch in torch.arange(len(X)).split(15):
            with recorder.step(rows_of(batch), epoch):
                begin_step()
                optimizer.zero_grad()
                with context():
                    loss = criterion(net(X[batch]), y[batch])
                loss.backward()
                before_step()
                optimizer.step()
                after_step()
            between_steps()
    recorder.snapshot()
    recorder.close()
    return recorder.trajectory


def test_layers_in_evaluation_mode_are_replayed_in_it():
    net, X, y = make_parts()
    net[2].eval()
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    assert all(step.modes == (True, True, True, False, True) for step in trajectory)
    run, query = TrackedRun(trajectory), MeanLoss(X, y)
    check_replay(trajectory)
    scores = run.influence(query)
    check_replay(trajectory)  # a question has switched modes
    assert np.array_equal(run.influence(query), scores)
    assert np.corrcoef(scores, run.leave_one_out(query))[0, 1] > 0.99
    assert np.array_equal(run.leave_out(query, [[]]), [0.0])


def test_autocast_is_refused():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def context():
        return torch.autocast("cpu", dtype=torch.bfloat16)

    with pytest.raises(RuntimeError, match=r"under autocast .*Train without"):
        record(net, optimizer, X, y, context=context)


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.Identity()])
def test_autocast_from_a_later_epoch_on_is_refused(layer):
    net, X, y = make_parts()
    net[2] = layer
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    rows = torch.arange(len(X))

    def train_epoch(epoch, *, is_mixed):
        with recorder.step(rows, epoch):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_mixed):
                loss = LOSS(net(X), y)
            loss.backward()
            optimizer.step()
        recorder.snapshot()

    train_epoch(0, is_mixed=False)
    with pytest.raises(RuntimeError, match="under autocast"):
        train_epoch(1, is_mixed=True)


@pytest.mark.parametrize(
    ("rows_of", "found"),
    [
        (lambda batch: torch.isin(torch.arange(45), batch), r"torch.bool .* \(45,\)"),
        (lambda batch: batch[:, None], r"torch.int64 .* \(15, 1\)"),
        (lambda batch: batch / 1, "torch.float32"),
    ],
)
def test_row_numbers_of_other_kinds_are_refused(rows_of, found):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(TypeError, match=f"row numbers of the batch.*{found}"):
        record(net, optimizer, X, y, rows_of=rows_of)


def test_a_skipped_batch_is_refused_with_what_to_do():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    with (
        pytest.raises(RuntimeError, match=r"0 updates.*before `recorder\.step`"),
        recorder.step(torch.arange(5), 0),
    ):
        pass


def test_parameter_groups_that_are_added_later_are_refused():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net[3].parameters(), lr=0.1)

    def add():
        if len(optimizer.param_groups) == 1:
            optimizer.add_param_group({"params": net[0].parameters()})

    with pytest.raises(RuntimeError, match=r"groups have changed.*of its own"):
        record(net, optimizer, X, y, before_step=add)


def test_a_stage_of_gradual_unfreezing():
    """The groups of an optimizer may have made different numbers of updates."""
    net, X, y = make_parts()
    net[2].p = 0.0
    # A large eps: first steps of Adam are all but signs, far from first order.
    optimizer = torch.optim.Adam(net[3].parameters(), lr=0.01, eps=0.1)
    record(net, optimizer, X, y)
    optimizer.add_param_group({"params": net[0].parameters()})
    run, query = TrackedRun(record(net, optimizer, X, y)), MeanLoss(X, y)
    check_replay(run.trajectory)
    assert np.array_equal(run.leave_out(query, [[]]), [0.0])
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.99


def test_unequal_numbers_of_updates_in_a_group_are_refused():
    net, X, y = make_parts()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    net[0].requires_grad_(False)
    record(net, optimizer, X, y)
    net[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"'3\.weight' 6 times and '0\.weight' 0"):
        record(net, optimizer, X, y)


def test_learning_rates_that_are_tensors_are_replayed_as_such():
    net, X, y = make_parts()
    net[2].p = 0.0
    optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.01))
    trajectory = record(net, optimizer, X, y)
    states = trajectory.replayer.iterate_states(
        trajectory.model, trajectory.state(0), trajectory.records
    )
    assert torch.equal(list(states)[-1].params, trajectory.state(6).params)


class Branching(nn.Module):
    """Passes over a branch in some steps, or multiplies it by 0."""

    def __init__(self, multiplies=False):
        super().__init__()
        self.multiplies, self.n_calls = multiplies, 0
        self.stem, self.branch = nn.Linear(N_COLUMNS, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, N_LABELS)

    def forward(self, X):
        hidden = torch.tanh(self.stem(X))
        draws = self.training and bool(torch.rand(()) < 0.5)
        if self.multiplies:
            hidden = hidden + (not draws) * torch.tanh(self.branch(hidden))
        elif not draws:
            hidden = hidden + torch.tanh(self.branch(hidden))
        return self.head(hidden)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": torch.optim.Adam, "lr": 0.01},
        {"optimizer__momentum": 0.9},
        {"optimizer__weight_decay": 0.1},
    ],
)
def test_branches_that_are_skipped_are_refused(settings):
    net = make_net(Branching, **settings)
    message = r"'branch.weight' gets (a gradient in some steps|no gradient)"
    with pytest.raises(ValueError, match=message):
        track(net, *make_rows(), random_state=0)


@pytest.mark.parametrize(
    "settings", [{}, {"module__multiplies": True, "optimizer__momentum": 0.9}]
)
def test_branches_that_are_skipped_harmlessly_are_tracked(settings):
    X, y = make_rows()
    run = track(make_net(Branching, **settings), X, y, record=1, random_state=0)
    query = MeanLoss(X, y)
    assert np.array_equal(run.leave_out(query, [[]]), [0.0])
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.98


def make_norm():
    net, X, y = make_parts()
    net[2] = nn.BatchNorm1d(8)
    return net, X, y


def test_modes_are_those_of_the_forward_pass():
    """Whatever the loop does before and after it, within the step."""
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def look():
        net.eval()
        with torch.no_grad():
            net(X)

    options = {"n_epochs": 1, "before_step": look, "between_steps": net.train}
    trajectory = record(net, optimizer, X, y, **options)
    assert [step.modes for step in trajectory] == [None] * 3
    check_replay(trajectory)


def test_forward_passes_in_training_mode_beside_the_steps_are_noticed():
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    options = {"n_epochs": 1, "between_steps": lambda: net(X)}  # moves statistics
    trajectory = record(net, optimizer, X, y, **options)
    with pytest.raises(RuntimeError, match=r"forward passes in training mode beside"):
        check_replay(trajectory)


@pytest.mark.parametrize("make", ["momentum", "adam"])
def test_optimizer_state_that_the_loop_changes_is_noticed(make):
    net, X, y = make_parts()
    optimizer = {
        "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9),
        "adam": torch.optim.Adam,
    }[make](net.parameters())
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)

    def train():
        with recorder.step(torch.arange(15), 0):
            optimizer.zero_grad()
            LOSS(net(X[:15]), y[:15]).backward()
            optimizer.step()

    train()
    recorder.snapshot()
    for state in optimizer.state.values():
        slot = "momentum_buffer" if make == "momentum" else "exp_avg"
        state[slot].zero_()
    with pytest.raises(RuntimeError, match="changed the optimizer's state between"):
        train()


def test_an_update_in_a_step_that_failed_is_not_passed_over():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)

    def update():
        optimizer.zero_grad()
        LOSS(net(X[:15]), y[:15]).backward()
        optimizer.step()

    with pytest.raises(ZeroDivisionError), recorder.step(torch.arange(15), 0):
        1 / 0  # noqa: B018
    with pytest.raises(RuntimeError, match=r"outside of `recorder\.step"):
        update()
    with recorder.step(torch.arange(15), 0):
        update()
    assert recorder.trajectory.n_steps == 1
    with pytest.raises(ZeroDivisionError), recorder.step(torch.arange(15), 0):
        update()
        1 / 0  # noqa: B018
    with pytest.raises(RuntimeError, match=r"the record misses.*new StepRecorder"):
        recorder.begin(torch.arange(15), 0)


def make_recorder():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)

    def step(rows, *, fails=False):
        with recorder.step(rows, 0):
            optimizer.zero_grad()
            LOSS(net(X[:15]), y[:15]).backward()
            optimizer.step()
            if fails:
                raise KeyboardInterrupt

    return recorder, step


def test_a_step_is_refused_before_its_update():
    recorder, step = make_recorder()
    before = copy.deepcopy(recorder.module.state_dict())
    with pytest.raises(TypeError, match="one whole number for"):
        step(torch.ones(45, dtype=torch.bool))
    for name, values in recorder.module.state_dict().items():
        assert torch.equal(values, before[name])
    step(torch.arange(15))
    assert recorder.trajectory.n_steps == 1


def test_a_state_that_follows_no_recorded_step_is_not_kept():
    recorder, step = make_recorder()
    step(torch.arange(15))
    with pytest.raises(KeyboardInterrupt):
        step(torch.arange(15), fails=True)
    before = recorder.trajectory.state(1).params.clone()
    with pytest.raises(RuntimeError, match="which the record misses"):
        recorder.snapshot()
    assert torch.equal(recorder.trajectory.state(1).params, before)


def test_loops_that_diverge_are_told_at_the_end_of_an_epoch():
    _, X, y = make_parts()
    net = nn.Linear(N_COLUMNS, N_LABELS)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e38)
    with pytest.raises(FloatingPointError, match=r"after step 5 \(epoch 1\)\. Lower"):
        record(net, optimizer, 100 * X, y)
    net, X = nn.Linear(N_COLUMNS, N_LABELS), torch.full_like(X, torch.inf)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(FloatingPointError, match="X holds NaN or infinite values"):
        record(net, optimizer, X, y)


@pytest.mark.parametrize("frozen", [True, False])
def test_freezing_and_unfreezing_while_recording_is_refused(frozen):
    net, X, y = make_parts()
    net[0].requires_grad_(frozen)
    optimizer = torch.optim.Adam(net.parameters())
    change = (net[0].requires_grad_, not frozen)
    what = r"'0\.(weight|bias)' was " + ("frozen" if frozen else "unfrozen")
    with pytest.raises(ValueError, match=what + r" in epoch 0"):
        record(net, optimizer, X, y, before_step=lambda: change[0](change[1]))


def test_copies_of_the_module_go_without_the_recorder(tmp_path):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    torch.save(net, tmp_path / "net.pt")
    for other in (
        copy.deepcopy(net),
        torch.load(tmp_path / "net.pt", weights_only=False),
    ):
        assert torch.equal(other.eval()(X), copy.deepcopy(net).eval()(X))
        (hook,) = other._forward_pre_hooks.values()
        assert hook.watch is None
    recorder.close()
    assert not net._forward_pre_hooks


def test_data_of_a_loop_are_copied_and_counted():
    net, X, y = make_parts()
    given = X.clone()
    model = TrackedModel.of(net, LOSS, given, y)
    given.zero_()
    assert torch.equal(model.inputs, X)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[5, 45\]"):
        TrackedModel.of(net, LOSS, X[:5], y)


def test_losses_that_draw_random_numbers_are_repeated():
    class Noisy(nn.CrossEntropyLoss):
        def forward(self, output, target):
            noise = 0.3 * torch.randn_like(output)
            return super().forward(output + noise, target)

    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    net, loss = nn.Linear(N_COLUMNS, N_LABELS), Noisy()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trajectory = record(net, optimizer, X, y, n_epochs=1, criterion=loss)
    check_replay(trajectory)
    run, query = TrackedRun(trajectory), ClassProbability(X, y, N_LABELS)
    assert np.array_equal(run.influence(query), run.influence(query))


@pytest.mark.parametrize(
    "rows_of",
    [
        lambda batch: batch.numpy()[::-1],
        lambda batch: pd.Series(batch.numpy(), index=batch.numpy() + 7),
        lambda batch: range(int(batch[0]), int(batch[-1]) + 1),
    ],
    ids=["backwards", "series", "range"],
)
def test_row_numbers_in_any_container_are_taken(rows_of):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trajectory = record(net, optimizer, X, y, n_epochs=1, rows_of=rows_of)
    found = [sorted(step.sample_indices.tolist()) for step in trajectory]
    assert found == torch.arange(45).view(3, 15).tolist()


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32])
def test_row_numbers_of_any_integer_type_are_taken(dtype):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trajectory = record(net, optimizer, X, y, rows_of=lambda batch: batch.to(dtype))
    assert TrackedRun(trajectory).influence(MeanLoss(X, y)).shape == (45,)


@pytest.mark.parametrize(("shift", "odd"), [(-1, -1), (20, 45)])
def test_rows_that_the_data_do_not_have_are_named(shift, odd):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(IndexError, match=rf"has row {odd}, but .* rows 0 to 44"):
        record(net, optimizer, X, y, rows_of=lambda batch: batch + shift)


class Masked(nn.Module):
    """With a causal mask, and a statistic that is not known yet."""

    def __init__(self):
        super().__init__()
        self.output = nn.Linear(N_COLUMNS, N_LABELS)
        mask = torch.full((N_COLUMNS, N_COLUMNS), -torch.inf).triu(1)
        self.register_buffer("mask", mask)
        self.register_buffer("level", torch.tensor(torch.nan))

    def forward(self, X):
        return self.output(torch.softmax(X[:, None] + self.mask, dim=2).sum(1))


def test_buffers_may_hold_what_is_no_number():
    X, y = make_rows()
    run = track(make_net(Masked), X, y, random_state=0)
    check_replay(run.trajectory)
    assert np.isfinite(run.influence(MeanLoss(X, y))).all()


def test_a_look_at_the_outputs_within_a_step_changes_no_modes():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def look():
        net.eval()
        net(X)  # with gradients
        net.train()

    trajectory = record(net, optimizer, X, y, n_epochs=1, after_step=look)
    assert [step.modes for step in trajectory] == [None] * 3
    check_replay(trajectory)


def evaluated(net, X, *, gradients):
    with torch.set_grad_enabled(gradients):
        net.eval()
        net(X)
        net.train()


@pytest.mark.parametrize("before", ["begin_step", "before_step"])
def test_a_look_before_the_update_is_told_by_its_gradients(before):
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    look = {before: partial(evaluated, net, X, gradients=False)}
    trajectory = record(net, optimizer, X, y, n_epochs=1, **look)
    assert [step.modes for step in trajectory] == [None] * 3
    check_replay(trajectory)
    look = {before: partial(evaluated, net, X, gradients=True)}
    with pytest.raises(RuntimeError, match=r"under torch\.no_grad"):
        record(net, optimizer, X, y, n_epochs=1, **look)


def test_where_no_layer_minds_its_mode_a_look_may_have_gradients():
    net, X, y = make_parts()
    net[2] = nn.Identity()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    look = partial(evaluated, net, X, gradients=True)
    trajectory = record(net, optimizer, X, y, begin_step=look, before_step=look)
    assert [step.modes for step in trajectory] == [None] * 6
    check_replay(trajectory)


@pytest.mark.parametrize("draws", [True, False])
def test_random_numbers_that_the_loop_draws_in_a_step_are_not_those_of_layers(draws):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    begin = partial(torch.rand, 1) if draws else nothing
    trajectory = record(net, optimizer, X, y, n_epochs=2, begin_step=begin)
    check_replay(trajectory)


class OwnNorm(nn.BatchNorm1d):
    """Moves its running statistics by itself, which influence does not follow."""

    def forward(self, X):
        mean, variance = X.mean(0), X.var(0, unbiased=False)
        if self.training:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(variance, self.momentum)
        else:
            mean, variance = self.running_mean, self.running_var
        return (X - mean) / (variance + self.eps).sqrt()


def test_statistics_that_influence_does_not_follow_are_warned_of():
    net, X, y = make_parts()
    net[2] = OwnNorm(8, affine=False)
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    with pytest.warns(UserWarning, match=r"changes 2.running_mean, 2.running_var"):
        check_replay(trajectory)


@pytest.mark.parametrize("momentum", [0.1, 0.001])
def test_slow_statistics_that_influence_does_not_follow_are_warned_of(momentum):
    net, X, y = make_parts()
    net[2] = OwnNorm(8, affine=False, momentum=momentum)
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    with pytest.warns(UserWarning, match=r"2\.running_var while"):
        check_replay(trajectory)


def test_batch_norm_in_half_precision_is_followed():
    net, X, y = make_norm()
    net, X = net.to(torch.bfloat16), X.to(torch.bfloat16)
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    check_replay(trajectory)


def test_data_that_the_loop_casts_are_cast():
    net, X, y = make_parts()
    found = []
    for rows, labels in ((X, y), (X.double().numpy(), y.int().numpy())):
        torch.manual_seed(0)
        module = copy.deepcopy(net)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        recorder = StepRecorder(
            TrackedModel.of(module, LOSS, rows, labels), module, optimizer
        )
        for batch in torch.arange(45).split(15):
            with recorder.step(batch, 0):
                optimizer.zero_grad()
                LOSS(module(X[batch]), y[batch]).backward()
                optimizer.step()
        recorder.close()
        found.append(TrackedRun(recorder.trajectory).influence(MeanLoss(X, y)))
    assert np.array_equal(*found)
