"""Every optimizer that can be tracked, from `track` to retraining."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import track
from dit_clean.influence import UPDATE_RULES
from dit_clean.queries import MeanLoss
from tests.nets import N_COLUMNS, N_LABELS, make_net, make_rows

N_ROWS, N_EPOCHS = 240, 5
LEARNING_RATES = {
    "SGD": 0.05,
    "Adam": 0.01,
    "AdamW": 0.01,
    "RMSprop": 0.001,  # of which its first step is ten
    "Adagrad": 0.005,
    "Adadelta": 0.3,
    "Adamax": 0.01,
    "NAdam": 0.01,
    "RAdam": 0.01,
}


class Net(nn.Module):
    """Large enough for `track` not to keep all of its states."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(N_COLUMNS, 16), nn.Tanh(), nn.Linear(16, N_LABELS)
        ).double()

    def forward(self, X):
        return self.layers(X)


def fit(name, record):
    """Train in batches of 60.

    The first step of most of them has one length whatever the gradient: what a sample
    adds to it counts linearly only where it is a small part of its batch.
    """
    optimizer, lr = getattr(torch.optim, name), LEARNING_RATES[name]
    net = make_net(Net, optimizer=optimizer, lr=lr, max_epochs=N_EPOCHS, batch_size=60)
    return track(net, *make_rows(N_ROWS), record=record, random_state=0)


def test_every_optimizer_that_can_be_tracked_is_here():
    known = {optimizer_type.__name__ for optimizer_type in UPDATE_RULES}
    assert known == LEARNING_RATES.keys()


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_influence_is_what_retraining_says(name):
    run, samples = fit(name, "auto"), range(0, N_ROWS, 6)
    query = MeanLoss(*make_rows(60, seed=1))
    found = run.influence(query)[list(samples)]
    assert np.corrcoef(found, run.leave_one_out(query, samples))[0, 1] > 0.97


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_influence_does_not_depend_on_what_is_recorded(name):
    everything, query = fit(name, "all"), MeanLoss(*make_rows(60, seed=1))
    expected = everything.influence(query)
    n_steps = everything.trajectory.n_steps
    for record in ("auto", 3 * everything.trajectory.state(1).nbytes):
        run = fit(name, record)
        assert len(run.trajectory.store) < n_steps
        assert np.array_equal(run.influence(query), expected)


@pytest.mark.parametrize("name", LEARNING_RATES)
def test_epochs_add_up_to_the_whole_run(name):
    run, query = fit(name, "all"), MeanLoss(*make_rows(60, seed=1))
    epochs = run.timeline(query, query_step=run.trajectory.n_steps)
    assert epochs.shape == (N_ROWS, N_EPOCHS)
    assert np.allclose(epochs.sum(1), run.influence(query), rtol=1e-10, atol=1e-14)
