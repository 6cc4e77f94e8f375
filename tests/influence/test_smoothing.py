"""First updates whose scale one sample would change many times over."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun
from dit_clean.influence import Steps, Window
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StateStore
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
    "Adamax": partial(torch.optim.Adamax, lr=0.01),
    "Adagrad": partial(torch.optim.Adagrad, lr=0.01),
}


def make_zeros():
    net = nn.Linear(3, 3, bias=False)
    nn.init.zeros_(net.weight)
    return net


def trained(optimizer, net=None, rows=None, **options):
    net = make_zeros() if net is None else net
    X, y = make_cancelling_rows(3, seed=0) if rows is None else rows
    return TrackedRun(record(net, optimizer(net.parameters()), X, y, **options))


QUERY = MeanLoss(*make_cancelling_rows(2, seed=1))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_influence_is_as_large_as_what_retraining_changes(name):
    run = trained(OPTIMIZERS[name])
    influence, truth = run.influence(QUERY), run.leave_one_out(QUERY)
    assert np.abs(influence).max() < 5 * np.abs(truth).max()
    assert np.abs(influence).max() > np.abs(truth).max() / 3
    assert np.corrcoef(influence, truth)[0, 1] > 0.25


@pytest.mark.parametrize("n_batch", [2, 4, 6, 10, 12, 20])
@pytest.mark.parametrize("name", ["Adam", "Adamax", "RMSprop"])
def test_two_classes_in_turn_cancel_in_batches_of_any_size(name, n_batch):
    X, y = make_cancelling_rows(2, seed=0)
    net = nn.Linear(3, 2, bias=False)
    nn.init.zeros_(net.weight)
    run = trained(OPTIMIZERS[name], net, (X, y), n_batch=n_batch)
    influence, truth = run.influence(QUERY), run.leave_one_out(QUERY)
    assert np.abs(influence).max() < 5 * np.abs(truth).max()
    assert np.abs(influence).max() > np.abs(truth).max() / 5


@pytest.mark.parametrize("noise", [(1e-6, 1e-6), (1e-7, 1e-4), (1e-8, 1e-3)])
@pytest.mark.parametrize("optimizer", ["Adam", "NAdam", "Adamax"])
def test_gradients_that_cancel_better_in_the_first_batch_than_in_the_second(
    optimizer, noise
):
    # What the first has left in the averages decides on the scale of the second update.
    generator = torch.Generator().manual_seed(0)
    factors = torch.tensor(noise).repeat_interleave(15)[:, None]
    X = 1 + factors * torch.randn(30, 1, generator=generator)
    net = nn.Linear(1, 3, bias=False).double()
    nn.init.zeros_(net.weight)
    optimizer = partial(getattr(torch.optim, optimizer), lr=1e-5)
    run = trained(optimizer, net, (X.double(), torch.arange(30) % 3), n_epochs=1)
    query = MeanLoss(torch.ones(20, 1).double(), torch.arange(20) % 2)
    influence, truth = run.influence(query), run.leave_one_out(query)
    assert np.abs(influence).max() < 2 * np.abs(truth).max()
    assert np.corrcoef(influence, truth)[0, 1] > 0.65


def test_updates_are_first_ones_after_the_optimizer_has_forgotten():
    rows, made = make_cancelling_rows(3, seed=0), []

    def optimizer(parameters):
        made.append(torch.optim.Adam(parameters, lr=0.0))
        return made[0]

    steps = iter(range(8))

    def begin_step():
        if next(steps) == 4:
            made[0].state.clear()
            made[0].param_groups[0]["lr"] = 0.01

    later = trained(optimizer, rows=rows, begin_step=begin_step, store=StateStore())
    first = trained(OPTIMIZERS["Adam"], rows=rows, n_epochs=1)
    found, expected = later.influence(QUERY), first.influence(QUERY)
    # But for the draw of signs, which is that of the step.
    assert np.corrcoef(found, expected)[0, 1] > 0.999
    assert np.abs(found).max() == pytest.approx(np.abs(expected).max(), rel=0.1)


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
