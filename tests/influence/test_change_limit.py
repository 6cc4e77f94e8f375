"""Changes by single samples that no update could have made."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun
from dit_clean.queries import MeanLoss
from tests.tracking.loops import record

OPTIMIZERS = {
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.003),
    "NAdam": partial(torch.optim.NAdam, lr=0.01),
    "SGD": partial(torch.optim.SGD, lr=0.1),
}


def make_data(n_classes, seed):
    """Return rows of one class after another, with a column that is (nearly) constant.

    From equal outputs for three classes, gradients of its weights cancel in a batch.
    """
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(60) % n_classes
    X = torch.randn(60, 3, generator=generator) + y[:, None]
    X[:, 2] = 1 + 1e-6 * torch.randn(60, generator=generator)
    return X, y


def trained(optimizer):
    net = nn.Linear(3, 3, bias=False)
    nn.init.zeros_(net.weight)
    made = OPTIMIZERS[optimizer](net.parameters())
    return TrackedRun(record(net, made, *make_data(3, seed=0)))


QUERY = MeanLoss(*make_data(2, seed=1))


@pytest.mark.parametrize("optimizer", ["Adam", "RMSprop", "NAdam"])
def test_influence_beyond_all_updates_is_warned_of(optimizer):
    run = trained(optimizer)
    with pytest.warns(UserWarning, match=f"cancel .*of {optimizer} .*leave_one_out"):
        influence = run.influence(QUERY)
    assert np.abs(influence).max() > 1e4 * np.abs(run.leave_one_out(QUERY)).max()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_other_steps_and_optimizers_are_not_warned_of(optimizer):
    run = trained(optimizer)
    later = run.influence(QUERY, "late", history="window")
    assert np.abs(later).max() < 0.1
    if optimizer == "SGD":
        assert np.abs(run.influence(QUERY)).max() < 0.1
