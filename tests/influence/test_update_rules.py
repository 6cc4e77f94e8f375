"""Each update rule against torch.optim, over many steps and every option."""

import inspect
from itertools import product

import pytest
import torch

from dit_clean.influence import UPDATE_RULES, update_rule_of
from dit_clean.tracking.replay import read_hyper

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
N_PARAMS, N_STEPS = 7, 40
LR = 0.03


def sgd_options():
    for momentum, decay, maximize in product((0.0, 0.9), (0.0, 0.1), (False, True)):
        options = {"momentum": momentum, "weight_decay": decay, "maximize": maximize}
        yield options
        if momentum:
            yield options | {"dampening": 0.4}
            yield options | {"nesterov": True}


def adam_options():
    for decay, amsgrad, maximize in product((0.0, 0.1), (False, True), (False, True)):
        yield {"weight_decay": decay, "amsgrad": amsgrad, "maximize": maximize}
    yield {"betas": (0.5, 0.7), "eps": 1e-3}


CASES = [
    *((SGD, options) for options in sgd_options()),
    *((ADAM, options) for options in adam_options()),
    *((ADAMW, options) for options in adam_options()),
]
if "decoupled_weight_decay" in inspect.signature(ADAM).parameters:
    CASES.append((ADAM, {"decoupled_weight_decay": True, "weight_decay": 0.1}))


@pytest.mark.parametrize(("optimizer_type", "options"), CASES)
def test_rule_equals_torch_over_many_steps(optimizer_type, options):
    generator = torch.Generator().manual_seed(0)
    grads = torch.randn(N_STEPS, N_PARAMS, dtype=torch.float64, generator=generator)
    grads[:, 0] = 0  # a dead unit
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, N_PARAMS, dtype=torch.float64))
    optimizer = optimizer_type([parameter], lr=LR, **options)
    theta, slots = parameter.detach().clone(), {}
    for t, grad in enumerate(grads):
        optimizer.param_groups[0]["lr"] = LR / (1 + t)  # as a scheduler does
        (hyper,) = read_hyper(optimizer)
        theta, slots = update_rule_of(optimizer_type)(theta, slots, grad, hyper)
        parameter.grad = grad.clone()
        optimizer.step()
        assert (theta - parameter.detach()).abs().max() < 1e-12
        state = optimizer.state[parameter]
        for slot, values in slots.items():
            assert (values - state[slot]).abs().max() < 1e-12


@pytest.mark.parametrize("optimizer_type", UPDATE_RULES)
def test_rules_have_finite_derivatives_where_a_parameter_never_had_a_gradient(
    optimizer_type,
):
    parameter = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    (hyper,) = read_hyper(optimizer_type([parameter], lr=LR))
    grad = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    theta, _ = update_rule_of(optimizer_type)(parameter, {}, grad, hyper)
    (derivative,) = torch.autograd.grad(theta.sum(), grad)
    assert derivative.isfinite().all()


def test_unknown_optimizer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Adagrad cannot be tracked.*SGD, Adam, Ada"):
        update_rule_of(torch.optim.Adagrad)
