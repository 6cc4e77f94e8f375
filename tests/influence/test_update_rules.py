"""Each update rule against torch.optim, over many steps and every option."""

import inspect
from functools import partial
from itertools import product

import pytest
import torch

from dit_clean.influence import (
    UPDATE_RULES,
    Window,
    influence_scores,
    influence_timeline,
    label_influence,
    update_rule_of,
)
from dit_clean.influence.adjoint import rule_vjp
from dit_clean.influence.update_vjps import UPDATE_VJPS
from dit_clean.tracking import StepRecord, TrainingState
from dit_clean.tracking.replay import StateReader
from tests.cases import OPTIMIZERS, QUERIES, Case, make_linear, one_group, train

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


def hyper_of(reader):
    settings, counts = reader.settings(), reader.counts()
    return StepRecord(0, 0, torch.arange(1), settings, counts).hyper


@pytest.mark.parametrize(("optimizer_type", "options"), CASES)
def test_rule_equals_torch_over_many_steps(optimizer_type, options):
    generator = torch.Generator().manual_seed(0)
    grads = torch.randn(N_STEPS, N_PARAMS, dtype=torch.float64, generator=generator)
    grads[:, 0] = 0  # a dead unit
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, N_PARAMS, dtype=torch.float64))
    optimizer = optimizer_type([parameter], lr=LR, **options)
    reader = StateReader(torch.nn.Identity(), optimizer)
    theta, slots = parameter.detach().clone(), {}
    for t, grad in enumerate(grads):
        optimizer.param_groups[0]["lr"] = LR / (1 + t)  # as a scheduler does
        (hyper,) = hyper_of(reader)
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
    optimizer = optimizer_type([parameter], lr=LR)
    (hyper,) = hyper_of(StateReader(torch.nn.Identity(), optimizer))
    grad = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    theta, _ = update_rule_of(optimizer_type)(parameter, {}, grad, hyper)
    (derivative,) = torch.autograd.grad(theta.sum(), grad)
    assert derivative.isfinite().all()


def test_unknown_optimizer_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Adagrad cannot be tracked.*SGD, Adam, Ada"):
        update_rule_of(torch.optim.Adagrad)


@pytest.mark.parametrize("ask", [influence_scores, influence_timeline, label_influence])
def test_questions_about_unknown_optimizers_are_refused_by_name(ask, monkeypatch):
    """NAdam keeps a number beside what has the shape of its parameters."""
    make = partial(one_group, optimizer=torch.optim.NAdam)
    monkeypatch.setitem(OPTIMIZERS, "nadam", make)
    trajectory = train(Case(make_linear, "nadam"))
    trajectory.store.keep_only(lambda t: t % 5 == 0)
    window = Window(0, 12)
    windows = [window] if ask is influence_timeline else window
    with pytest.raises(ValueError, match="NAdam cannot be tracked"):
        ask(trajectory, QUERIES["loss"], windows)


@pytest.mark.parametrize("n_queries", [1, 3])
@pytest.mark.parametrize(("optimizer_type", "options"), CASES)
def test_closed_products_equal_autograds(optimizer_type, options, n_queries):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    parameter = torch.nn.Parameter(draw(N_PARAMS))
    optimizer = optimizer_type([parameter], lr=LR, **options)
    reader = StateReader(torch.nn.Identity(), optimizer)
    rule = update_rule_of(optimizer_type)
    for _ in range(3):
        state, (hyper,) = reader.state(), hyper_of(reader)
        parameter.grad = draw(N_PARAMS)
        parameter.grad[0] = 0  # a dead unit
        grad = parameter.grad.clone()
        optimizer.step()
        adjoint = {"params": draw(n_queries, N_PARAMS)}
        for late in (False, True):
            if late:
                slots = reader.state().slots
                adjoint |= {slot: draw(n_queries, N_PARAMS) for slot in slots}
            given = {name: value.clone() for name, value in adjoint.items()}
            found = UPDATE_VJPS[optimizer_type](state.slots, grad, hyper, adjoint)
            assert all(torch.equal(adjoint[name], given[name]) for name in given)
            if found is None:
                continue
            record = StepRecord(0, 0, torch.arange(1), (hyper,), (0,))
            groups = (slice(0, N_PARAMS),)
            truth = rule_vjp(rule, groups, record, state, grad, adjoint)
            # Of a dead unit they are as large as 1 / eps: 1e8 roundings of 1.
            exact = {"rtol": 1e-12, "atol": 1e-12}
            torch.testing.assert_close(found[0], truth[0], **exact)
            torch.testing.assert_close(found[1], truth[1], **exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.5)])
@pytest.mark.parametrize("size", [1e-22, 5e-22, 1e-12])
@pytest.mark.parametrize("optimizer_type", [torch.optim.Adam, torch.optim.AdamW])
def test_closed_products_where_squares_underflow(optimizer_type, size, betas, dtype):
    """The mean of gradients may be left where the mean of their squares is 0."""
    optimizer = optimizer_type([torch.nn.Parameter(torch.zeros(3))], betas=betas)
    (hyper,) = hyper_of(StateReader(torch.nn.Identity(), optimizer))
    hyper = hyper | {"step": 3}
    grad = torch.tensor([0.0, size, 1.0], dtype=dtype)
    slots = {
        "exp_avg": torch.tensor([1e-3, 0.0, 0.1], dtype=dtype),
        "exp_avg_sq": torch.tensor([0.0, 0.0, 0.1], dtype=dtype),
    }
    adjoint = {name: torch.ones(1, 3, dtype=dtype) for name in ("params", *slots)}
    found = UPDATE_VJPS[optimizer_type](slots, grad, hyper, adjoint)
    state = TrainingState(torch.zeros(3, dtype=dtype), slots, {})
    record = StepRecord(0, 0, torch.arange(1), (hyper,), (0,))
    rule = update_rule_of(optimizer_type)
    truth = rule_vjp(rule, (slice(0, 3),), record, state, grad, adjoint)
    exact = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found[0], truth[0], **exact)
    torch.testing.assert_close(found[1], truth[1], **exact)
