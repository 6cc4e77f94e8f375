"""The paper's queries: predictions, parameters and the importance of features."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean.influence import Steps, influence_scores, leave_out
from dit_clean.queries import FeatureImportance, MeanLoss, Parameter, Prediction
from dit_clean.queries import Several as AllOf
from dit_clean.tracking import TrackedModel
from tests.cases import CASES, N_FEATURES, N_SAMPLES, Case, make_data, train
from tests.influence.reference import (
    differences,
    relative_error,
    unrolled_influence,
)

N_ROWS = 5
X, Y = make_data(seed=3, n_samples=N_ROWS)
QUERIES = {
    "probability": Prediction(X, Y),
    "logit": Prediction(X, Y, kind="logit"),
    "margin": Prediction(X, Y, kind="margin"),
    "output": Prediction(X, Y, kind="output"),
    "entry": Parameter("0.weight", index=(2, 1)),
    "parameter": Parameter("0.bias"),
    "layer": Parameter("2"),
    "group": Parameter(("0.weight", "2")),
    "importance": FeatureImportance(X, Y),
    "importance of the margin": FeatureImportance(X, Y, kind="margin", features=[1]),
    "sensitivity of the loss": FeatureImportance(X, Y, kind="loss", absolute=True),
}


@pytest.fixture(scope="module")
def trajectory():
    return train(CASES["momentum"])


@pytest.fixture(scope="module")
def params(trajectory):
    return trajectory.params(trajectory.n_steps)


@pytest.mark.parametrize("history", ["full", "window"])
@pytest.mark.parametrize("name", QUERIES)
def test_influence_matches_autograd_through_training(trajectory, name, history):
    window = Steps(3, 9)
    found = influence_scores(trajectory, QUERIES[name], window, history=history)
    truth = unrolled_influence(trajectory, QUERIES[name], window, history, 9)
    assert relative_error(found.values, truth) < 1e-8


@pytest.mark.parametrize("name", QUERIES)
def test_influence_matches_finite_differences_of_torch_training(trajectory, name):
    def train_with(weights):
        return train(CASES["momentum"], removal_weight=weights)

    train_with.n_samples = N_SAMPLES
    found = influence_scores(trajectory, QUERIES[name], Steps(0, 12)).values
    truth = differences(train_with, QUERIES[name], 5)
    assert np.allclose(found[:, 5], truth, rtol=1e-5, atol=1e-8)


def test_influence_on_an_entry_is_the_change_of_the_entry_by_retraining(trajectory):
    query, window = QUERIES["entry"], Steps(0, 12)
    found = influence_scores(trajectory, query, window).values[0]
    truth = leave_out(trajectory, query, np.eye(N_SAMPLES, dtype=bool), window)[0]
    assert np.corrcoef(found, truth)[0, 1] > 0.98


def test_several_kinds_at_once_equal_one_by_one(trajectory):
    window = Steps(2, 12)
    together = influence_scores(trajectory, AllOf(tuple(QUERIES.values())), window)
    apart = np.concatenate(
        [influence_scores(trajectory, q, window).values for q in QUERIES.values()]
    )
    assert relative_error(together.values, apart) < 1e-10


def test_predictions_are_what_the_network_says(trajectory, params):
    logits = trajectory.model.forward(params, X)
    probability = logits.softmax(1)[range(N_ROWS), Y]
    rival = torch.where(nn.functional.one_hot(Y) == 1, -torch.inf, logits).amax(1)
    expected = {
        "probability": probability,
        "logit": torch.log(probability / (1 - probability)),
        "margin": logits[range(N_ROWS), Y] - rival,
        "output": logits[range(N_ROWS), Y],
    }
    for kind, values in expected.items():
        assert torch.allclose(QUERIES[kind](params, trajectory), values)


def test_norms_are_over_the_parameters_named(trajectory, params):
    squares = {name: float((p**2).sum()) for name, p in params.items()}
    for query, names in (
        ("parameter", ["0.bias"]),
        ("layer", ["2.weight", "2.bias"]),
        ("group", ["0.weight", "2.weight", "2.bias"]),
    ):
        expected = sum(squares[name] for name in names) ** 0.5
        assert np.isclose(float(QUERIES[query](params, trajectory)), expected)
    everything = Parameter(("0", "0.weight", "2"))(params, trajectory)
    assert np.isclose(float(everything), sum(squares.values()) ** 0.5)


def test_importance_is_the_mean_slope_of_the_prediction(trajectory, params):
    found = FeatureImportance(X, Y, kind="logit")(params, trajectory)
    step = 1e-6
    for feature in range(N_FEATURES):
        moved = step * torch.eye(N_FEATURES, dtype=X.dtype)[feature]
        up, down = (
            Prediction(X + sign * moved, Y, kind="logit")(params, trajectory).mean()
            for sign in (1, -1)
        )
        assert torch.isclose(found[feature], (up - down) / (2 * step), rtol=1e-6)


def test_importance_of_the_loss_is_the_gradient_of_the_mean_loss(trajectory, params):
    inputs = X.clone().requires_grad_()
    loss = trajectory.model.losses(params, inputs, Y).sum()
    (gradient,) = torch.autograd.grad(loss, inputs)
    found = FeatureImportance(X, Y, kind="loss")(params, trajectory)
    assert torch.allclose(found, gradient.mean(0))
    sizes = FeatureImportance(X, Y, kind="loss", absolute=True)(params, trajectory)
    assert torch.allclose(sizes, gradient.abs().mean(0))


class OldSine(torch.autograd.Function):
    """Of the old style, which torch.func does not take."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].cos()


class Sines(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.output = nn.Linear(N_FEATURES, 4), nn.Linear(4, 3)

    def forward(self, X):
        return self.output(OldSine.apply(self.body(X)))


@pytest.mark.parametrize("absolute", [True, False])
def test_importance_takes_functions_with_a_gradient_of_their_own(absolute):
    trajectory, window = train(Case(Sines, "momentum")), Steps(0, 12)
    query = FeatureImportance(X, Y, absolute=absolute)
    found = influence_scores(trajectory, query, window).values
    truth = unrolled_influence(trajectory, query, window, "full", 12)
    assert relative_error(found, truth) < 1e-8
    params = trajectory.params(12)
    values = query(params, trajectory)
    with torch.no_grad():
        assert torch.equal(query(params, trajectory), values)


class Run:
    """A regression network with one output."""

    def __init__(self):
        self.module = nn.Linear(N_FEATURES, 1).double()
        y = torch.zeros(N_ROWS, 1, dtype=X.dtype)
        self.model = TrackedModel.of(self.module, nn.MSELoss(), X, y)
        self.params = dict(self.module.named_parameters())


def test_regressions_need_no_class():
    run = Run()
    found = Prediction(X)(run.params, run)
    assert torch.allclose(found, run.module(X)[:, 0])
    with pytest.raises(ValueError, match=r"MSELoss .*no probability of a class"):
        Prediction(X, Y)(run.params, run)
    slopes = FeatureImportance(X)(run.params, run)
    assert torch.allclose(slopes, run.module.weight[0])


REFUSED = {
    "kind": (Prediction(X, Y, kind="odds"), ValueError, "Unknown kind 'odds'"),
    "kind without a class": (Prediction(X, kind="odds"), ValueError, "Unknown kind"),
    "kind of slope": (FeatureImportance(X, kind="odds"), ValueError, "odds'.* loss"),
    "loss": (FeatureImportance(X, kind="loss"), ValueError, '"loss" needs y'),
    "class": (Prediction(X), ValueError, "has 3 outputs. Give y"),
    "large class": (Prediction(X, Y + 3), ValueError, "Prediction .* got 3 outputs"),
    "large class of an output": (
        Prediction(X, Y + 3, kind="output"),
        ValueError,
        "got 3 outputs and labels from 3",
    ),
    "negative class": (Prediction(X, Y - 9), ValueError, "from 0 to 2: got 3 outputs"),
    "one-hot": (Prediction(X, torch.eye(3)[Y]), ValueError, "one class index for each"),
    "name": (Parameter("3.weight"), ValueError, "no parameter or layer '3.weight'"),
    "no name": (Parameter(()), ValueError, r"Parameter\(\(\)\) names nothing"),
    "index": (Parameter("2.weight", index=(1,)), ValueError, "is no entry of"),
    "large index": (Parameter("2.weight", index=(77, 0)), ValueError, "is no entry of"),
    "index of a layer": (Parameter("2", index=(0, 0)), ValueError, "is no entry of"),
    "feature": (FeatureImportance(X, Y, features=[9]), ValueError, f"has {N_FEATURES}"),
    "integers": (FeatureImportance(Y[:, None], Y), TypeError, "array of floats"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_asked_is_refused(trajectory, params, name):
    query, error, match = REFUSED[name]
    with pytest.raises(error, match=match):
        query(params, trajectory)


def test_entries_and_features_may_be_counted_from_the_end(trajectory, params):
    last = Parameter("2.bias", index=(-1,))(params, trajectory)
    assert last == params["2.bias"][-1]
    slopes = FeatureImportance(X, Y)(params, trajectory)
    found = FeatureImportance(X, Y, features=[-1])(params, trajectory)
    assert torch.equal(found, slopes[-1:])


def test_importance_of_the_loss_takes_integers_of_any_size(trajectory, params):
    found, expected = (
        FeatureImportance(X, labels, kind="loss")(params, trajectory)
        for labels in (Y.int(), Y)
    )
    assert torch.equal(found, expected)


def test_importance_of_all_classes_and_of_the_loss_share_a_pass(trajectory):
    query = AllOf((MeanLoss(X, Y), FeatureImportance(X, Y)))
    values = influence_scores(trajectory, query, Steps(0, 12)).values
    assert values.shape == (1 + N_FEATURES, N_SAMPLES)
