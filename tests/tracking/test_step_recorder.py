"""Plain torch loops: what a `StepRecorder` sees."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence import check_replay
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from tests.nets import N_COLUMNS, N_LABELS, make_net, make_rows
from tests.tracking.loops import LOSS, make_parts, record


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


def test_parameters_frozen_since_an_earlier_stage_do_not_hide_the_update_count():
    net, X, y = make_parts()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    record(net, optimizer, X, y)
    net[0].weight.requires_grad_(False)
    trajectory = record(net, optimizer, X, y)
    assert [count for step in trajectory for count in step.counts] == [*range(6, 12)]


def test_learning_rates_that_are_tensors_are_replayed_as_such():
    net, X, y = make_parts()
    net[2].p = 0.0
    optimizer = torch.optim.Adam(net.parameters(), lr=torch.tensor(0.01))
    trajectory = record(net, optimizer, X, y)
    states = trajectory.replayer.iterate_states(
        trajectory.model, trajectory.state(0), trajectory.records
    )
    assert torch.equal(list(states)[-1].params, trajectory.state(6).params)


def test_data_of_a_loop_are_copied_and_counted():
    net, X, y = make_parts()
    given = X.clone()
    model = TrackedModel.of(net, LOSS, given, y)
    given.zero_()
    assert torch.equal(model.inputs, X)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[5, 45\]"):
        TrackedModel.of(net, LOSS, X[:5], y)
    with pytest.raises(ValueError, match=r"numbers of samples: \[45, 5, 45\]"):
        TrackedModel.of(net, LOSS, {"one": X, "other": X[:5]}, y)


@pytest.mark.parametrize(
    "rows_of",
    [
        lambda batch: batch.numpy()[::-1],
        lambda batch: pd.Series(batch.numpy(), index=batch.numpy() + 7),
        lambda batch: range(int(batch[0]), int(batch[-1]) + 1),
        lambda batch: batch.numpy().astype(">i4"),
    ],
    ids=["backwards", "series", "range", "big-endian"],
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
