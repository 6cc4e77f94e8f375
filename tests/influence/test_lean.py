"""Lean second derivatives are torch's own, with the wasted work left out."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from dit_clean.influence.lean import lean_derivatives
from dit_clean.influence.stand_ins import StandIns

F64 = {"dtype": torch.float64}


class Squares(nn.Module):
    """Smooth and not linear, so that every second derivative matters."""

    def forward(self, X):
        return X * X


class SharedInput(nn.Module):
    """Two uses of one activation, one of them changed in place."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(2, 3, 2), nn.Conv1d(3, 3, 3, padding="same")

    def forward(self, X):
        hidden = self.first(X)
        return hidden + nn.functional.relu(self.second(hidden) * 1.0, inplace=True)


class Standardized(nn.Conv1d):
    """Its weights are computed from its parameters."""

    def forward(self, X):
        weight = self.weight - self.weight.mean((1, 2), keepdim=True)
        weight = weight / weight.std((1, 2), keepdim=True)
        return nn.functional.conv1d(X, weight, self.bias)


def make_normed(n_in, n_out, size):
    return weight_norm(nn.Conv1d(n_in, n_out, size))


def conv_net(conv, n_in, **options):
    first = conv(n_in, 4, 3, **options)
    return nn.Sequential(first, nn.ReLU(), conv(4, 4, 3, **options), Squares())


def freeze(module, part):
    getattr(module[2], part).requires_grad_(False)
    return module


NETS = {
    "conv1d": (lambda: conv_net(nn.Conv1d, 2), (2, 9)),
    "conv2d": (lambda: conv_net(nn.Conv2d, 1, padding=1), (1, 6, 5)),
    "conv3d": (lambda: conv_net(nn.Conv3d, 1, padding=1), (1, 3, 4, 3)),
    "stride": (lambda: conv_net(nn.Conv2d, 2, stride=2, padding=(2, 1)), (2, 7, 8)),
    "dilation": (lambda: conv_net(nn.Conv1d, 2, dilation=2), (2, 11)),
    "groups": (lambda: conv_net(nn.Conv2d, 2, groups=2), (2, 6, 6)),
    "no bias": (lambda: conv_net(nn.Conv2d, 2, bias=False), (2, 6, 6)),
    "same padding": (lambda: conv_net(nn.Conv1d, 2, padding="same"), (2, 7)),
    "circular": (
        lambda: conv_net(nn.Conv1d, 2, padding=1, padding_mode="circular"),
        (2, 7),
    ),
    "standardized": (lambda: conv_net(Standardized, 2), (2, 9)),
    "shared, in place": (SharedInput, (2, 6)),
    "frozen weight": (lambda: freeze(conv_net(nn.Conv1d, 2), "weight"), (2, 9)),
    "frozen bias": (lambda: freeze(conv_net(nn.Conv1d, 2), "bias"), (2, 9)),
}


def second_derivatives(module, X, n_queries, forward=None):
    """Return the products of the Hessian and of sample gradients with vectors.

    `forward` is the context of the forward pass.
    """
    leaves = [p for p in module.parameters() if p.requires_grad]
    weights = torch.ones(len(X), requires_grad=True, **F64)
    with forward or nullcontext():
        output = module(X)
    total = (weights * output.flatten(1).sum(1)).sum()
    grads = torch.autograd.grad(total, leaves, create_graph=True)
    torch.manual_seed(1)
    v = [torch.randn(n_queries, *leaf.shape, **F64) for leaf in leaves]
    single = n_queries == 1
    return grads, torch.autograd.grad(
        grads,
        [*leaves, weights],
        [part[0] for part in v] if single else v,
        is_grads_batched=not single,
    )


@pytest.mark.parametrize("n_queries", [1, 3])
@pytest.mark.parametrize("name", NETS)
def test_derivatives_are_those_of_torch(name, n_queries):
    make, shape = NETS[name]
    torch.manual_seed(0)
    module, X = make().double(), torch.randn(5, *shape, **F64)
    expected = second_derivatives(module, X, n_queries)
    lean = lean_derivatives(nn.Sequential(nn.Conv1d(1, 1, 1), module))
    found = second_derivatives(module, X, n_queries, lean)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    lean = lean_derivatives(module, module.parameters())
    _, products = second_derivatives(module, X, n_queries, lean)
    torch.testing.assert_close(products, expected[1], rtol=1e-12, atol=1e-12)


def test_gradients_that_nobody_asks_for_are_not_formed():
    module, X = conv_net(nn.Conv1d, 2).double(), torch.randn(5, 2, 9, **F64)
    lean = lean_derivatives(module, module.parameters())
    grads, _ = second_derivatives(module, X, 1, lean)
    assert not any(grad.any() for grad in grads)


def test_gradients_that_the_forward_pass_takes_are_formed():
    class Adapted(nn.Conv1d):
        def forward(self, X):
            loss = super().forward(X).square().mean()
            (grad,) = torch.autograd.grad(loss, self.weight, create_graph=True)
            return nn.functional.conv1d(X, self.weight - grad, self.bias).sin()

    module, X = Adapted(2, 3, 2).double(), torch.randn(5, 2, 6, **F64)
    _, expected = second_derivatives(module, X, 1)
    lean = lean_derivatives(module, module.parameters())
    _, found = second_derivatives(module, X, 1, lean)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lean", [True, False])
def test_networks_without_convolution_are_left_alone(lean):
    module = nn.Conv1d(1, 1, 1) if lean else nn.Linear(1, 1)
    with lean_derivatives(nn.Sequential(module)) as context:
        assert isinstance(context, StandIns) == lean


def test_weights_that_are_computed_from_parameters_keep_their_gradient():
    """Torch's own second derivative takes the norm for a constant: no truth for it."""
    module, X = conv_net(make_normed, 2).double(), torch.randn(5, 2, 9, **F64)
    _, expected = second_derivatives(module, X, 1, lean_derivatives(module))
    lean = lean_derivatives(module, module.parameters())
    _, found = second_derivatives(module, X, 1, lean)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
