"""Each update rule against torch.optim, over many steps and every option."""

import inspect
from functools import partial
from itertools import product

import pytest
import torch

from dit_clean.influence import (
    UPDATE_RULES,
    Steps,
    influence_scores,
    influence_timeline,
    label_influence,
    update_rule_of,
)
from dit_clean.influence.adjoint import rule_vjp
from dit_clean.influence.update_vjps import UPDATE_VJPS, update_vjp
from dit_clean.tracking import StepRecord, TrainingState
from dit_clean.tracking.replay import NUMBERS, StateReader
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


def new_options(own_options):
    """Each of an optimizer's own options, with and without those that all have."""
    for decay, maximize in product((0.0, 0.1), (False, True)):
        for own in own_options:
            yield {"weight_decay": decay, "maximize": maximize} | own


def rmsprop_options():
    for momentum, centered in product((0.0, 0.9), (False, True)):
        yield {"momentum": momentum, "centered": centered}
    yield {"alpha": 0.7, "eps": 1e-3, "momentum": 0.5, "centered": True}


OTHERS = {
    torch.optim.RMSprop: [*rmsprop_options()],
    torch.optim.Adagrad: [
        {},
        {"lr_decay": 0.3},
        {"initial_accumulator_value": 0.5, "eps": 1e-3},
    ],
    torch.optim.Adadelta: [{}, {"rho": 0.5, "eps": 1e-3}],
    torch.optim.Adamax: [{}, {"betas": (0.5, 0.7), "eps": 1e-3}],
    torch.optim.NAdam: [
        {},
        {"betas": (0.0, 0.9)},
        {"betas": (0.5, 0.7), "eps": 1e-3, "momentum_decay": 0.1},
        {"decoupled_weight_decay": True},
    ],
    # Adapts its steps from the sixth on, the second never.
    torch.optim.RAdam: [
        {},
        {"betas": (0.5, 0.6), "eps": 1e-3},
        {"decoupled_weight_decay": True},
    ],
}
CASES = [
    *((SGD, options) for options in sgd_options()),
    *((ADAM, options) for options in adam_options()),
    *((ADAMW, options) for options in adam_options()),
    *(
        (optimizer_type, options)
        for optimizer_type, own_options in OTHERS.items()
        for options in new_options(own_options)
    ),
]
if "decoupled_weight_decay" in inspect.signature(ADAM).parameters:
    CASES.append((ADAM, {"decoupled_weight_decay": True, "weight_decay": 0.1}))


def test_every_rule_is_tested():
    assert {optimizer_type for optimizer_type, _ in CASES} == UPDATE_RULES.keys()


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


@pytest.mark.parametrize(
    ("optimizer_type", "option"),
    [(ADAM, "amsgrad"), (torch.optim.RMSprop, "centered")],
)
def test_slots_that_an_option_used_stay_when_it_is_switched_off(optimizer_type, option):
    parameter = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = optimizer_type([parameter], lr=LR, **{option: True})
    reader = StateReader(torch.nn.Identity(), optimizer)
    for is_on in (True, False, True):
        optimizer.param_groups[0][option] = is_on
        parameter.grad = torch.tensor([1.0, -2.0], dtype=torch.float64)
        before, (hyper,) = reader.state(), hyper_of(reader)
        theta, slots = update_rule_of(optimizer_type)(
            before.params, before.slots, parameter.grad, hyper
        )
        optimizer.step()
        after = reader.state()
        assert torch.allclose(theta, after.params, atol=1e-12)
        assert slots.keys() == after.slots.keys()
        assert all(torch.allclose(slots[name], after.slots[name]) for name in slots)


@pytest.mark.parametrize(("optimizer_type", "options"), CASES)
def test_rules_have_finite_derivatives_where_a_parameter_never_had_a_gradient(
    optimizer_type, options
):
    parameter = torch.nn.Parameter(torch.zeros(3))
    optimizer = optimizer_type([parameter], lr=LR, **options)
    reader = StateReader(torch.nn.Identity(), optimizer)
    rule = update_rule_of(optimizer_type)
    for _ in range(7):
        state, (hyper,) = reader.state(), hyper_of(reader)
        before = [x.requires_grad_() for x in (state.params, *state.slots.values())]
        grad = torch.zeros(3, requires_grad=True)
        theta, slots = rule(state.params, state.slots, grad, hyper)
        outputs = [x.sum() for x in (theta, *slots.values()) if x.requires_grad]
        derivatives = torch.autograd.grad(
            outputs, [*before, grad], allow_unused=True, materialize_grads=True
        )
        assert all(derivative.isfinite().all() for derivative in derivatives)
        parameter.grad = torch.zeros(3)
        optimizer.step()
        assert not parameter.any()


def test_centered_rmsprop_is_finite_where_rounding_makes_its_variance_negative():
    """Of a parameter whose gradient never changes."""
    optimizer = torch.optim.RMSprop([torch.nn.Parameter(torch.zeros(3))], centered=True)
    (hyper,) = hyper_of(StateReader(torch.nn.Identity(), optimizer))
    grad = torch.tensor([0.3, 0.7, 1.1], requires_grad=True)
    mean = grad.detach().clone()
    slots = {"grad_avg": mean, "square_avg": mean * mean * (1 - 1e-6)}
    theta, new = update_rule_of(torch.optim.RMSprop)(torch.zeros(3), slots, grad, hyper)
    assert (new["square_avg"] < new["grad_avg"] ** 2).all()
    (derivative,) = torch.autograd.grad(theta.sum(), grad)
    assert theta.isfinite().all()
    assert derivative.isfinite().all()


@pytest.mark.parametrize(
    "name", ["Adafactor", "ASGD", "LBFGS", "Muon", "Rprop", "SparseAdam"]
)
def test_unknown_optimizer_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match=rf"^Optimizer {name} cannot.*SGD, Adam, Ada"):
        update_rule_of(getattr(torch.optim, name))


@pytest.mark.parametrize("ask", [influence_scores, influence_timeline, label_influence])
def test_questions_about_unknown_optimizers_are_refused_by_name(ask, monkeypatch):
    """ASGD keeps numbers beside what has the shape of its parameters."""
    make = partial(one_group, optimizer=torch.optim.ASGD)
    monkeypatch.setitem(OPTIMIZERS, "asgd", make)
    trajectory = train(Case(make_linear, "asgd"))
    trajectory.store.keep_only(lambda t: t % 5 == 0)
    window = Steps(0, 12)
    windows = [window] if ask is influence_timeline else window
    with pytest.raises(ValueError, match="ASGD cannot be tracked"):
        ask(trajectory, QUERIES["loss"], windows)


@pytest.mark.parametrize("n_queries", [1, 3])
@pytest.mark.parametrize(
    ("optimizer_type", "options"), [case for case in CASES if case[0] in UPDATE_VJPS]
)
def test_closed_products_equal_autograds(optimizer_type, options, n_queries):
    generator = torch.Generator().manual_seed(1)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    parameter = torch.nn.Parameter(draw(N_PARAMS))
    optimizer = optimizer_type([parameter], lr=LR, **options)
    reader = StateReader(torch.nn.Identity(), optimizer)
    rule = update_rule_of(optimizer_type)
    is_open = options.get("amsgrad") or options.get("centered")
    if optimizer_type is torch.optim.RMSprop:
        is_open = is_open or options.get("momentum")
    if optimizer_type is torch.optim.RAdam:
        is_open = "betas" in options  # so short averages do not adapt seven steps
    has_answered = False
    for _ in range(7):
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
            now = (state.params, state.slots, grad, hyper, adjoint)
            found = update_vjp(optimizer_type, *now)
            assert all(torch.equal(adjoint[name], given[name]) for name in given)
            if found is None:
                continue
            has_answered = True
            record = StepRecord(0, 0, torch.arange(1), (hyper,), (0,))
            groups = (slice(0, N_PARAMS),)
            truth = rule_vjp(rule, groups, record, state, grad, adjoint)
            # Of a dead unit they are as large as 1 / eps: 1e8 roundings of 1.
            exact = {"rtol": 1e-12, "atol": 1e-12}
            numbers = [truth[0].pop(name) for name in NUMBERS if name in truth[0]]
            assert not any(number.any() for number in numbers)
            torch.testing.assert_close(found[0], truth[0], **exact)
            torch.testing.assert_close(found[1], truth[1], **exact)
    assert has_answered != bool(is_open)


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"maximize": True}])
@pytest.mark.parametrize("optimizer_type", UPDATE_VJPS)
def test_optimizers_as_torch_makes_them_have_closed_products(optimizer_type, options):
    parameter = torch.nn.Parameter(torch.ones(N_PARAMS))
    optimizer = optimizer_type([parameter], lr=LR, **options)
    reader = StateReader(torch.nn.Identity(), optimizer)
    for _ in range(6):
        parameter.grad = torch.ones(N_PARAMS)
        optimizer.step()
    (hyper,), slots = hyper_of(reader), reader.state().slots
    adjoint = {"params": torch.ones(1, N_PARAMS)}
    now = (parameter.detach(), slots, parameter.grad, hyper, adjoint)
    assert update_vjp(optimizer_type, *now) is not None


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
    state = TrainingState(torch.zeros(3, dtype=dtype), slots, {})
    found = update_vjp(optimizer_type, state.params, slots, grad, hyper, adjoint)
    record = StepRecord(0, 0, torch.arange(1), (hyper,), (0,))
    rule = update_rule_of(optimizer_type)
    truth = rule_vjp(rule, (slice(0, 3),), record, state, grad, adjoint)
    exact = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(found[0], truth[0], **exact)
    torch.testing.assert_close(found[1], truth[1], **exact)
