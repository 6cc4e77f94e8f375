"""Gradients that stop in evaluation mode, or later, and outputs that only seem to."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import track
from dit_clean.influence import derivative_check
from dit_clean.queries import MeanLoss
from tests.influence.layers import Layers
from tests.nets import N_COLUMNS, make_net, make_regressor, make_rows
from tests.tracking.loops import record


class StopsInEvaluation(Layers):
    """Its gradients are right while it trains."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, X):
        is_stopped = not self.training
        with torch.set_grad_enabled(not (is_stopped and self.how == "grad mode")):
            hidden = self.body(X).tanh()
        if is_stopped and self.how == "detached":
            hidden = hidden + self.more(hidden).detach()
        if is_stopped and self.how == "numpy":
            hidden = torch.as_tensor(hidden.detach().numpy())
        if is_stopped and self.how == "all":
            return self.head(hidden).detach()
        if is_stopped and self.how == "rounded":
            return self.head(hidden).round()
        if is_stopped and self.how == "labels":
            return self.head(hidden).argmax(1, keepdim=True)
        if self.how == "draws":
            hidden = nn.functional.dropout(hidden, 0.5)
        if self.how == "saturates":
            hidden = (1e3 * hidden).sigmoid()
        return self.head(hidden)


@pytest.mark.parametrize(
    "how", ["grad mode", "detached", "numpy", "all", "rounded", "labels"]
)
def test_gradients_that_stop_in_evaluation_mode_are_refused(how):
    net = make_net(StopsInEvaluation, module__how=how)
    with pytest.raises(
        ValueError, match=r"gradients of StopsInEvaluation in evaluation mode"
    ):
        track(net, *make_rows(), random_state=0)


@pytest.mark.parametrize("how", ["nothing", "draws", "saturates"])
def test_gradients_that_go_on_in_evaluation_mode_are_right(how):
    X, y = make_rows()
    run = track(make_net(StopsInEvaluation, module__how=how), X, y, random_state=0)
    assert run.influence(MeanLoss(X, y)).any()


class Closed(nn.Module):
    """Never negative, and 0 for the first rows: these have no gradients."""

    def __init__(self, n_outputs=1):
        super().__init__()
        self.body = nn.Linear(N_COLUMNS, n_outputs)
        nn.init.constant_(self.body.bias, -1.0)
        nn.init.constant_(self.body.weight, 1.0)

    def forward(self, X):
        return self.body(X).relu()


def test_outputs_that_do_not_move_for_the_first_rows_are_right():
    X, y = make_rows()
    X[:9] = 0
    net = make_regressor(Closed, lr=0.01)
    run = track(net, X, y[:, None].astype(np.float32), random_state=0)
    assert run.influence(MeanLoss(X, y[:, None].astype(np.float32))).any()


class StopsLater(Layers):
    """Its gradients stop after some steps, which it counts."""

    def __init__(self, after):
        super().__init__()
        self.after = after
        self.register_buffer("n_passes", torch.zeros((), dtype=torch.long))

    def forward(self, X):
        self.n_passes += self.training
        hidden = self.body(X).tanh()
        is_stopped = self.n_passes > self.after
        return self.head(hidden + (hidden.detach() if is_stopped else hidden).sin())


def test_gradients_that_stop_later_are_refused():
    X, y = make_rows()
    track(make_net(StopsLater, module__after=1000), X, y, random_state=0)
    with pytest.raises(ValueError, match=r"derivatives of StopsLater are wrong"):
        track(make_net(StopsLater, module__after=3), X, y, random_state=0)


class ShowsAttention(Layers):
    """Returns beside its outputs what no loss reads."""

    def forward(self, X):
        hidden = self.body(X).sin()
        return self.head(hidden), hidden.softmax(1).detach()


class OfFirst(nn.CrossEntropyLoss):
    def forward(self, output, target):
        return super().forward(output[0], target)


def test_outputs_that_no_loss_reads_may_be_detached():
    X, y = map(torch.as_tensor, make_rows())
    net = ShowsAttention()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trajectory = record(net, optimizer, X, y, criterion=OfFirst())
    derivative_check.check_differentiable(trajectory)
    assert trajectory.is_differentiable


class ReadsAside(Layers):
    """Computes with a parameter that is held in a list, in evaluation mode only."""

    def __init__(self):
        super().__init__()
        self.aside = [self.head.weight]

    def forward(self, X):
        weight = self.head.weight if self.training else self.aside[0]
        return nn.functional.linear(self.body(X).tanh(), weight, self.head.bias)


def test_parameters_that_evaluation_alone_reads_aside_are_refused():
    with pytest.raises(ValueError, match="computes with a parameter of shape"):
        track(make_net(ReadsAside), *make_rows(), random_state=0)
