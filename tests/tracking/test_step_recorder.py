"""Plain torch loops: what a `StepRecorder` sees, and what it refuses."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence import check_replay
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from tests.nets import N_COLUMNS, N_LABELS, make_net, make_rows

LOSS = nn.CrossEntropyLoss()


def make_parts():
    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    body, head = nn.Linear(N_COLUMNS, 8), nn.Linear(8, N_LABELS)
    return nn.Sequential(body, nn.Tanh(), nn.Dropout(0.5), head), X, y


def record(net, optimizer, X, y, n_epochs=2, rows_of=lambda batch: batch, **options):
    """Return the trajectory of a plain loop; options replace parts of it."""
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    context = options.get("context", torch.enable_grad)
    before_step = options.get("before_step", lambda: None)
    for epoch in range(n_epochs):
        for batch in torch.arange(len(X)).split(15):
            with recorder.step(rows_of(batch), epoch):
                optimizer.zero_grad()
                with context():
                    loss = LOSS(net(X[batch]), y[batch])
                loss.backward()
                before_step()
                optimizer.step()
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
