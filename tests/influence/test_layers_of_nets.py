"""Layers with traps: attention, recurrence, running statistics, frozen parts."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun
from dit_clean.influence import (
    ClassProbability,
    MeanLoss,
    Steps,
    influence_scores,
    label_influence,
    queries,
)
from dit_clean.influence.batch_norm import (
    differentiable_norm,
    followed_statistics,
    statistics_names,
)
from dit_clean.queries import SampleLosses
from tests.cases import N_SAMPLES, QUERIES, Case, make_data, train
from tests.influence.reference import (
    differences,
    relative_error,
    unrolled_influence,
)
from tests.tracking.loops import record

WIDTH = 4


class Tokens(nn.Module):
    """Reads each feature as a token."""

    def __init__(self, body):
        super().__init__()
        self.embed, self.body = nn.Linear(1, WIDTH), body
        self.output = nn.Linear(WIDTH, 3)

    def forward(self, X):
        found = self.body(self.embed(X[..., None]))
        found = found[0] if isinstance(found, tuple) else found
        return self.output(found.mean(1))


class SelfAttention(nn.MultiheadAttention):
    def forward(self, X):
        return super().forward(X, X, X, need_weights=False)


NETS = {
    "attention": lambda: Tokens(SelfAttention(WIDTH, 2, batch_first=True)),
    "transformer": lambda: Tokens(
        nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, batch_first=True)
    ),
    "gru": lambda: Tokens(nn.GRU(WIDTH, WIDTH, batch_first=True)),
    "batch-norm": lambda: with_norm(nn.BatchNorm1d(5)),
}


def with_norm(norm):
    return nn.Sequential(nn.Linear(3, 5), norm, nn.Tanh(), nn.Linear(5, 3))


@pytest.fixture(scope="module", params=NETS)
def trajectory(request):
    return train(Case(NETS[request.param], "momentum"))


@pytest.mark.parametrize("training", [False, True])
def test_reverse_pass_matches_autograd_through_training(trajectory, training):
    """With BatchNorm too: by running statistics, or by those of the query's samples."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    X, y = make_data(seed=5, n_samples=6)

    def query(params, run):
        output = run.model.forward(params, X, training=training)
        return nn.functional.cross_entropy(output, y)

    window = Steps(2, trajectory.n_steps)
    found = influence_scores(trajectory, query, window, history="window").values
    with sdpa_kernel(SDPBackend.MATH):
        truth = unrolled_influence(
            trajectory, query, window, "window", trajectory.n_steps
        )
    assert relative_error(found, truth) < 1e-8


def test_several_queries_and_labels_at_once(trajectory):
    X, y = make_data(seed=5, n_samples=6)
    window = Steps(0, trajectory.n_steps)
    together = influence_scores(trajectory, ClassProbability(X, y, 3), window).values
    for label in range(3):
        rows = (y == label).nonzero()[:, 0]
        alone = influence_scores(
            trajectory, ClassProbability(X[rows], y[rows]), window
        ).values
        assert relative_error(together[label], alone[0]) < 1e-9
    assert label_influence(trajectory, MeanLoss(X, y), window).shape == (1, 14, 3)


class Adapted(nn.Module):
    """Takes a step on a loss of its inputs first, in the forward pass."""

    def __init__(self):
        super().__init__()
        self.body, self.output = nn.Conv1d(1, WIDTH, 2, bias=False), nn.Linear(8, 3)

    def forward(self, X):
        X, weight = X[:, None], self.body.weight
        with torch.enable_grad():
            loss = (nn.functional.conv1d(X, weight).tanh() - X[..., 1:]).square().mean()
            (grad,) = torch.autograd.grad(loss, weight, create_graph=True)
        hidden = nn.functional.conv1d(X, weight - 2 * grad)
        return self.output(hidden.tanh().flatten(1))


class Members(nn.Module):
    """An ensemble: each member's weights along the first axis."""

    def __init__(self):
        super().__init__()
        self.shared = nn.Conv1d(1, 1, 1)
        self.weights = nn.Parameter(torch.randn(2, WIDTH, 1, 2) / 2)
        self.output = nn.Linear(2 * WIDTH, 3)

    def forward(self, X):
        X = self.shared(X[:, None])
        of = torch.vmap(lambda weight: nn.functional.conv1d(X, weight).relu())
        return self.output(of(self.weights).mean(0).tanh().flatten(1))


class Slopes(nn.Module):
    """The gradient of a network by its inputs: a force, say."""

    def __init__(self):
        super().__init__()
        self.body, self.output = nn.Conv1d(1, WIDTH, 2), nn.Linear(2 * WIDTH, 1)

    def forward(self, X):
        def energy(x):
            return self.output(self.body(x[None, None]).tanh().flatten(1)).sum()

        return torch.vmap(torch.func.grad(energy))(X)


@pytest.mark.parametrize("make_module", [Members, Slopes])
def test_convolutions_within_transformations_are_followed(make_module):
    trajectory = train(Case(make_module, "momentum"))
    query, window = MeanLoss(*make_data(seed=5)), Steps(0, trajectory.n_steps)
    found = influence_scores(trajectory, query, window).values
    truth = unrolled_influence(trajectory, query, window, "full", window.stop)
    assert relative_error(found, truth) < 1e-8


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_gradients_that_a_network_takes_by_its_weights_are_followed(optimizer):
    trajectory = train(Case(Adapted, optimizer))
    query, window = MeanLoss(*make_data(seed=5)), Steps(0, trajectory.n_steps)
    found = influence_scores(trajectory, query, window).values
    truth = unrolled_influence(trajectory, query, window, "full", window.stop)
    assert relative_error(found, truth) < 1e-8


def test_frozen_parameters_move_nothing():
    def make_frozen():
        net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
        net[0].requires_grad_(False)
        return net

    trajectory = train(Case(make_frozen, "adam"))
    assert trajectory.layout.names == ("2.weight", "2.bias")
    window = Steps(0, trajectory.n_steps)
    X, y = make_data(seed=5, n_samples=6)
    found = influence_scores(trajectory, MeanLoss(X, y), window).values
    truth = unrolled_influence(
        trajectory, MeanLoss(X, y), window, "full", trajectory.n_steps
    )
    assert relative_error(found, truth) < 1e-8
    assert np.isfinite(found).all()


def test_running_statistics_are_not_moved_by_the_reverse_pass():
    trajectory = train(Case(NETS["batch-norm"], "sgd"))
    before = {k: v.clone() for k, v in trajectory.state(3).buffers.items()}
    X, y = make_data(seed=5, n_samples=6)
    influence_scores(trajectory, MeanLoss(X, y), Steps(0, trajectory.n_steps))
    after = trajectory.state(3).buffers
    assert all(torch.equal(after[name], values) for name, values in before.items())


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 4), (6, 5, 4, 3)])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_that_can_be_differentiated_is_torchs(shape, affine, training):
    layers = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}
    torch.manual_seed(0)
    layer = layers[len(shape)](5, affine=affine).double()
    X = torch.randn(shape, dtype=torch.float64)
    layer(3 * X + 1)  # moves the running statistics
    if affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    layer.train(training)
    with differentiable_norm():
        found = layer(X)
    torch.testing.assert_close(found, layer(X))


def test_statistics_of_a_layer_that_is_used_twice_are_moved_twice():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, X):
            return self.norm(torch.tanh(self.norm(self.first(X))))

    torch.manual_seed(0)
    module = Twice().double()
    names = statistics_names(module)
    assert names == ["norm.running_mean", "norm.running_var"]
    before = {name: module.get_buffer(name).clone() for name in names}
    with followed_statistics(dict(module.named_buffers()), before) as after:
        module(make_data()[0])
    with torch.no_grad():
        module(make_data()[0])  # torch's own; inside, buffers are left alone
    for name in names:
        torch.testing.assert_close(after[name], module.get_buffer(name))


class CalledByForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5)

    def forward(self, X):
        return self.norm.forward(X)


class CalledByKeyword(CalledByForward):
    def forward(self, X):
        return self.norm(input=X)


class Negated(nn.BatchNorm1d):
    """Normalizes something else than what it is given."""

    def __init__(self):
        super().__init__(5)

    def forward(self, X):
        return -super().forward(-X)


@pytest.mark.parametrize("make_norm", [CalledByForward, CalledByKeyword, Negated])
def test_batch_norm_is_followed_however_it_is_called(make_norm):
    X, y = make_data(seed=5, n_samples=6)
    found = []
    for make in (lambda: nn.BatchNorm1d(5), make_norm):
        case = Case(lambda make=make: with_norm(make()), "momentum")
        trajectory = train(case)
        window = Steps(0, trajectory.n_steps)
        found.append(influence_scores(trajectory, MeanLoss(X, y), window).values)
    assert relative_error(found[1], found[0]) < 1e-12


class Recentered(nn.BatchNorm1d):
    """Reads what earlier batches have left, before it is moved."""

    def forward(self, X):
        earlier = self.running_mean.clone()
        return super().forward(X) + earlier


def test_statistics_that_a_pass_reads_while_training_are_followed():
    case = Case(lambda: with_norm(Recentered(5, momentum=0.4)), "sgd")
    trajectory, query = train(case), QUERIES["loss"]
    window = Steps(0, trajectory.n_steps)
    found = influence_scores(trajectory, query, window).values

    def train_with(weights):
        return train(case, removal_weight=weights)

    train_with.n_samples = N_SAMPLES
    for sample in (0, 5):
        truth = differences(train_with, query, sample)
        assert np.allclose(found[:, sample], truth, rtol=1e-5, atol=1e-8)


class RecenteredLate(nn.BatchNorm1d):
    def forward(self, X):
        return super().forward(X) + self.running_mean


def test_statistics_that_a_pass_reads_once_they_are_moved_are_refused():
    trajectory = train(Case(lambda: with_norm(RecenteredLate(5, momentum=0.01))))
    with pytest.raises(ValueError, match=r"Sequential reads .* after .*moved them"):
        influence_scores(trajectory, QUERIES["loss"], Steps(0, trajectory.n_steps))


@pytest.mark.parametrize("make_module", [NETS["batch-norm"], Slopes])
def test_queries_on_many_rows_are_asked_in_parts(make_module, monkeypatch):
    """With batch norm: gradients of parts are taken when the query is done.

    And with networks that take gradients by torch.func themselves.
    """
    trajectory = train(Case(make_module, "momentum"))
    query, window = MeanLoss(*make_data(seed=5)), Steps(0, trajectory.n_steps)
    whole = influence_scores(trajectory, query, window).values
    monkeypatch.setattr(queries, "QUERY_ROWS", 4)
    parts = influence_scores(trajectory, query, window).values
    assert relative_error(parts, whole) < 1e-12


def test_losses_without_curvature_are_asked_about_several_queries_at_once():
    torch.manual_seed(0)
    X, y = torch.randn(30, 4).double(), torch.randn(30, 1).double()
    net = nn.Linear(4, 1).double()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    run = TrackedRun(record(net, optimizer, X, y, criterion=nn.L1Loss()))
    found = run.influence(SampleLosses(X[:3], y[:3]))
    each = [run.influence(MeanLoss(X[i : i + 1], y[i : i + 1])) for i in range(3)]
    assert np.allclose(found, each, rtol=1e-10, atol=1e-14)
