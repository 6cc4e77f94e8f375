"""First updates whose scale one sample would change many times over."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun
from dit_clean.influence import Steps, Window
from dit_clean.queries import MeanLoss
from tests.nets import make_cancelling_rows, make_rows
from tests.tracking.loops import record

OPTIMIZERS = {
    "Adam": partial(torch.optim.Adam, lr=0.01),
    "Adam, L2": partial(torch.optim.Adam, lr=0.01, weight_decay=0.01),
    "AMSGrad": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "Adam, maximize": partial(torch.optim.Adam, lr=0.01, maximize=True),
    "AdamW": partial(torch.optim.AdamW, lr=0.01),
    "RMSprop": partial(torch.optim.RMSprop, lr=0.003),
    "RMSprop, centered": partial(torch.optim.RMSprop, lr=0.003, centered=True),
    "RMSprop, momentum": partial(torch.optim.RMSprop, lr=0.003, momentum=0.9),
    "NAdam": partial(torch.optim.NAdam, lr=0.01),
    "RAdam": partial(torch.optim.RAdam, lr=0.01),
    "Adamax": partial(torch.optim.Adamax, lr=0.01),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.01),
    "Adadelta": partial(torch.optim.Adadelta, lr=1.0),
}


def make_zeros():
    net = nn.Linear(3, 3, bias=False)
    nn.init.zeros_(net.weight)
    return net


def trained(optimizer, net=None, rows=None):
    net = make_zeros() if net is None else net
    X, y = make_cancelling_rows(3, seed=0) if rows is None else rows
    return TrackedRun(record(net, optimizer(net.parameters()), X, y))


QUERY = MeanLoss(*make_cancelling_rows(2, seed=1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_influence_is_as_large_as_what_retraining_changes(name):
    run = trained(OPTIMIZERS[name])
    influence, truth = run.influence(QUERY), run.leave_one_out(QUERY)
    assert np.abs(influence).max() < 5 * np.abs(truth).max()
    assert np.abs(influence).max() > np.abs(truth).max() / 3
    assert np.corrcoef(influence, truth)[0, 1] > 0.25


def test_adam_agrees_with_retraining():
    run = trained(OPTIMIZERS["Adam"])
    influence, truth = run.influence(QUERY), run.leave_one_out(QUERY)
    assert np.corrcoef(influence, truth)[0, 1] > 0.8  # of exact derivatives 0.38


def test_influence_stays_linear_in_the_query():
    run = trained(OPTIMIZERS["Adam"])
    X, y = make_cancelling_rows(2, seed=1)
    one, other = MeanLoss(X[:20], y[:20]), MeanLoss(X[20:], y[20:])
    together = run.influence(lambda params, r: one(params, r) + 2 * other(params, r))
    parts = run.influence(one) + 2 * run.influence(other)
    np.testing.assert_allclose(together, parts, rtol=1e-3, atol=1e-6)


def test_adjacent_windows_add_up():
    run = trained(OPTIMIZERS["Adam"])
    end = run.trajectory.n_steps
    parts = [
        run.influence(QUERY, window, "window", query_step=end)
        for window in (Steps(0, 1), Steps(1, 3), Steps(3, end))
    ]
    whole = run.influence(QUERY, Window(0, 2), "window", query_step=end)
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-4, atol=1e-7)


def test_each_parameter_group_has_its_own_scale():
    X, y = make_cancelling_rows(3, seed=0)
    net = nn.Sequential(nn.Identity(), make_zeros(), nn.Linear(3, 3))

    def optimizer(_):
        groups = [
            {"params": net[2].parameters(), "betas": (0.8, 0.9)},
            {"params": net[1].parameters()},
        ]
        return torch.optim.Adam(groups, lr=0.01)

    with torch.no_grad():
        net[2].weight.copy_(torch.eye(3))
        net[2].bias.zero_()
    run = trained(optimizer, net, (X, y))
    influence, truth = run.influence(QUERY), run.leave_one_out(QUERY)
    assert np.abs(influence).max() < 5 * np.abs(truth).max()


@pytest.mark.parametrize("betas", [(0.9, 0.0), (0.0, 0.999)])
def test_means_that_keep_nothing(betas):
    X, y = map(torch.as_tensor, make_rows(60))
    net = nn.Linear(X.shape[1], 3)
    run = trained(partial(torch.optim.Adam, lr=0.01, betas=betas), net, (X, y))
    assert np.isfinite(run.influence(MeanLoss(X, y))).all()
