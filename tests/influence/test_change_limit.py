"""Changes by single samples that no update could have made."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence.change_limit import ChangeLimit
from dit_clean.queries import MeanLoss
from dit_clean.tracking import TrainingState
from tests.nets import (
    N_COLUMNS,
    N_LABELS,
    make_cancelling_rows,
    make_net,
    make_rows,
)
from tests.tracking.loops import record

OPTIMIZERS = {
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.003),
    "NAdam": partial(torch.optim.NAdam, lr=0.01),
    "SGD": partial(torch.optim.SGD, lr=0.1),
}


def trained(optimizer):
    """Return a run whose gradients cancel at its third step; before it they are 0."""
    X, y = make_cancelling_rows(3, seed=0)
    X, y = torch.cat([torch.zeros(30, 3), X]), torch.cat([y[:30], y])
    net = nn.Linear(3, 3, bias=False)
    nn.init.zeros_(net.weight)
    return TrackedRun(record(net, OPTIMIZERS[optimizer](net.parameters()), X, y))


QUERY = MeanLoss(*make_cancelling_rows(2, seed=1))


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop", "NAdam"])
def test_influence_beyond_all_updates_is_warned_of(optimizer):
    run = trained(optimizer)
    with pytest.warns(UserWarning, match=f"cancel .*of {optimizer} .*leave_one_out"):
        influence = run.influence(QUERY)
    assert np.abs(influence).max() > 1e4 * np.abs(run.leave_one_out(QUERY)).max()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_later_steps_and_sgd_are_not_warned_of(optimizer):
    run = trained(optimizer)
    later = run.influence(QUERY, "late", history="window")
    assert np.abs(later).max() < 0.1
    if optimizer == "SGD":
        assert np.abs(run.influence(QUERY)).max() < 0.1


class Small(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(N_COLUMNS, 8), nn.Tanh(), nn.Linear(8, N_LABELS))


ORDINARY = {
    "Adam": (torch.optim.Adam, {"lr": 0.01}),
    "AdamW": (torch.optim.AdamW, {"lr": 0.03}),
    "Adadelta": (torch.optim.Adadelta, {"lr": 1.0}),
    "Adamax": (torch.optim.Adamax, {"lr": 0.001}),
    "RMSprop": (torch.optim.RMSprop, {"lr": 0.001, "optimizer__momentum": 0.9}),
}


@pytest.mark.parametrize("batch_size", [1, 15])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_training_is_not_warned_of(name, batch_size):
    optimizer, settings = ORDINARY[name]
    settings = settings | {"optimizer": optimizer, "batch_size": batch_size}
    net = make_net(Small, max_epochs=3 if batch_size == 1 else 15, **settings)
    X, y = make_rows()
    run = track(net, X, y, random_state=0)
    for query in (MeanLoss(X, y), MeanLoss(X[:1], y[:1])):
        assert np.isfinite(run.influence(query)).all()


def test_a_query_does_not_hide_another_and_no_number_is_none():
    states = TrainingState(torch.zeros(2)), TrainingState(torch.full((2,), 0.1))
    adjoint = torch.tensor([[1.0, 1.0], [1e6, 1e6]])
    with pytest.warns(UserWarning, match="By first order"):
        ChangeLimit("Adam").check(states, adjoint, torch.tensor([[9.0], [9.0]]))
    ChangeLimit("Adam").check(states, adjoint, torch.tensor([[torch.nan], [9.0]]))
