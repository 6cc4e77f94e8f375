"""Plain loops that no record can repeat, and that are told so."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import track
from dit_clean.influence import check_replay
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from tests.nets import N_COLUMNS, N_LABELS, make_net, make_rows
from tests.tracking.loops import LOSS, make_parts, record


@pytest.mark.parametrize(
    ("rows_of", "found"),
    [
        (lambda batch: torch.isin(torch.arange(45), batch), r"torch.bool .* \(45,\)"),
        (lambda batch: batch[:, None], r"torch.int64 .* \(15, 1\)"),
        (lambda batch: batch / 1, "torch.float32"),
        (lambda batch: batch.to(torch.complex64), "torch.complex64"),
        (iter, "object"),
        (lambda batch: batch.numpy() / 2, "float64"),
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


def test_unequal_numbers_of_updates_in_a_group_are_refused():
    net, X, y = make_parts()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    net[0].requires_grad_(False)
    record(net, optimizer, X, y)
    net[0].requires_grad_(True)
    with pytest.raises(ValueError, match=r"'3\.weight' 6 times and '0\.weight' 0"):
        record(net, optimizer, X, y)


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


class Switched(nn.Module):
    """Uses a branch where it is told to."""

    uses_branch = True

    def __init__(self):
        super().__init__()
        self.branch = nn.Linear(N_COLUMNS, N_COLUMNS)
        self.head = nn.Linear(N_COLUMNS, N_LABELS)

    def forward(self, X):
        return self.head(X + torch.tanh(self.branch(X)) if self.uses_branch else X)


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
    ("uses", "is_known"),
    [([True, False, True], True), ([False, True], True), ([False, True], False)],
)
def test_branches_that_are_skipped_under_weight_decay_are_not_to_be_removed(
    uses, is_known
):
    """Known from the first step of the recording, or from the optimizer's state."""
    torch.manual_seed(0)
    net, (X, y) = Switched(), map(torch.as_tensor, make_rows())
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    if is_known and not uses[0]:
        LOSS(net(X), y).backward()
        optimizer.step()
    switches = iter(uses)

    def switch():
        net.uses_branch = next(switches)

    what = "a gradient in some steps" if is_known else "no gradient.*skipped in some"
    message = f"'branch.weight' gets {what}.*Multiply the branch by 0"
    with pytest.raises(ValueError, match=message):
        record(net, optimizer, X, y, begin_step=switch)


@pytest.mark.parametrize(
    "make",
    [partial(torch.optim.SGD, lr=0.1, momentum=0.9), torch.optim.Adam],
    ids=["momentum", "adam"],
)
def test_branches_that_only_an_earlier_stage_has_trained_are_to_be_frozen(make):
    torch.manual_seed(0)
    net, (X, y) = Switched(), map(torch.as_tensor, make_rows())
    optimizer = make(net.parameters())
    record(net, optimizer, X, y)
    net.uses_branch = False
    with pytest.raises(ValueError, match=r"'branch.weight'.*earlier stage.*freeze it"):
        record(net, optimizer, X, y)


@pytest.mark.parametrize(
    "settings", [{}, {"module__multiplies": True, "optimizer__momentum": 0.9}]
)
def test_branches_that_are_skipped_harmlessly_are_tracked(settings):
    X, y = make_rows()
    run = track(make_net(Branching, **settings), X, y, record=1, random_state=0)
    query = MeanLoss(X, y)
    assert np.array_equal(run.leave_out(query, [[]]), [0.0])
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.98


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


@pytest.mark.parametrize(("shift", "odd"), [(-1, -1), (20, 45)])
def test_rows_that_the_data_do_not_have_are_named(shift, odd):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(IndexError, match=rf"has row {odd}, but .* rows 0 to 44"):
        record(net, optimizer, X, y, rows_of=lambda batch: batch + shift)


def test_a_step_without_gradients_is_refused():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    clear = partial(optimizer.zero_grad, set_to_none=True)
    with pytest.raises(RuntimeError, match=r"nothing to make an update of\. Where"):
        record(net, optimizer, X, y, before_step=clear)


def test_after_a_step_that_was_refused_before_its_update_the_loop_may_go_on():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    with (
        pytest.raises(RuntimeError, match="nothing to make an update of"),
        recorder.step(torch.arange(45), 0),
    ):
        optimizer.step()
    with recorder.step(torch.arange(45), 0):
        LOSS(net(X), y).backward()
        optimizer.step()
    assert len(recorder.trajectory) == 1


def record_with_late_momentum(dampening, begun, *, in_earlier_stage=False, frozen=()):
    """Record 6 steps; momentum of the second group is there from step `begun` on."""
    net, X, y = make_parts()
    for layer in frozen:
        net[layer].requires_grad_(False)
    groups = [
        {"params": net[0].parameters(), "momentum": 0.9},
        {"params": net[3].parameters(), "dampening": dampening},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.3)
    if in_earlier_stage:
        LOSS(net(X), y).backward()
        optimizer.step()
    steps = iter(range(6))

    def switch():
        optimizer.param_groups[1]["momentum"] = 0.9 if next(steps) >= begun else 0.0

    return record(net.double(), optimizer, X.double(), y, begin_step=switch)


@pytest.mark.parametrize(
    ("begun", "in_earlier_stage"), [(2, False), (2, True), (0, True)]
)
def test_dampened_momentum_that_begins_late_in_a_group_is_refused(
    begun, in_earlier_stage
):
    with pytest.raises(ValueError, match=r"group of '3\.weight' begins.*dampening=0"):
        record_with_late_momentum(0.5, begun, in_earlier_stage=in_earlier_stage)


@pytest.mark.parametrize(
    ("dampening", "begun", "frozen"),
    [(0.0, 2, ()), (0.5, 0, ()), (0.5, 6, ()), (0.5, 2, (0,)), (0.5, 2, (3,))],
)
def test_momentum_that_begins_late_or_is_dampened_is_tracked(dampening, begun, frozen):
    trajectory = record_with_late_momentum(dampening, begun, frozen=frozen)
    check_replay(trajectory, range(6))
    replayed = copy.deepcopy(trajectory)
    replayed.store.keep_only(lambda t: t == 0)
    assert torch.equal(replayed.state(6).params, trajectory.state(6).params)


def test_parameters_that_move_to_another_group_are_refused():
    net, X, y = make_parts()
    groups = [{"params": [*net[0].parameters()]}, {"params": [*net[3].parameters()]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    first, second = (group["params"] for group in optimizer.param_groups)
    move = lambda: second.append(first.pop()) if len(first) > 1 else None  # noqa: E731
    with pytest.raises(RuntimeError, match="parameter groups have changed"):
        record(net, optimizer, X, y, between_steps=move)


def test_a_recorder_after_one_that_was_not_closed_is_told_so():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    with pytest.raises(RuntimeError, match="that of an earlier recorder"):
        record(net, optimizer, X, y)
