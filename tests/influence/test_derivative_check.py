"""Networks whose second derivatives torch has wrong are refused, or put right."""

import random
from functools import partial
from threading import Thread

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import InfluenceCleaner, TrackedRun, track
from dit_clean.influence import check_replay, derivative_check, difference_quotients
from dit_clean.influence.stand_ins import InDouble
from dit_clean.queries import MeanLoss
from tests.influence.layers import Layers
from tests.nets import N_COLUMNS, N_LABELS, make_net, make_regressor, make_rows
from tests.tracking.loops import record


class Drifting(nn.Module):
    """Looks at how far a batch has drifted from the running statistics."""

    def __init__(self, read):
        super().__init__()
        self.read, self.body = read, nn.Linear(N_COLUMNS, 8)
        self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, N_LABELS)

    def forward(self, X):
        hidden = self.body(X)
        drift = (hidden - self.read(self.norm.running_mean)).sin()
        return self.head(self.norm(hidden).tanh() + drift)


def without_gradients(values):
    with torch.no_grad():
        return values.clone()


@pytest.mark.parametrize(
    "read", [lambda values: values.detach().clone(), without_gradients]
)
def test_running_statistics_that_are_read_without_gradients_are_refused(read):
    X, y = make_rows()
    with pytest.raises(
        ValueError, match=r"Drifting reads running.*running_mean\.clone"
    ):
        track(make_net(Drifting, module__read=read), X, y, random_state=0)
    track(make_net(Drifting, module__read=torch.clone), X, y, random_state=0)


@pytest.mark.parametrize("between", ["own function", "checkpoint", "detached"])
def test_wrong_second_derivatives_are_refused(between):
    net = make_net(Layers, module__between=between)
    with pytest.raises(ValueError, match=r"derivatives of Layers are wrong.*Replace"):
        track(net, *make_rows(), random_state=0)


@pytest.mark.parametrize("between", ["own function", "detached", "sine"])
def test_a_loop_that_asks_without_check_replay_is_told_too(between, monkeypatch):
    X, y = map(torch.as_tensor, make_rows())
    module = Layers(between)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    run, query = TrackedRun(record(module, optimizer, X, y)), MeanLoss(X, y)
    if between != "sine":
        with pytest.raises(ValueError, match="derivatives of Layers are wrong"):
            run.influence(query)
        return
    run.influence(query)
    monkeypatch.setattr(derivative_check, "_repeats_itself", None)
    run.influence(query)  # nothing is checked a second time


class Zeros(nn.Module):
    """Logistic regression that starts from zeros, as it often does."""

    def __init__(self, detached=False):
        super().__init__()
        self.output, self.detached = nn.Linear(N_COLUMNS, N_LABELS), detached
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, X):
        found = self.output(X)
        return found * torch.exp(found.detach() if self.detached else found)


def test_zeros_are_a_place_to_start_from():
    X, y = make_rows()
    run, query = track(make_net(Zeros, lr=0.01), X, y, random_state=0), MeanLoss(X, y)
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.99
    with pytest.raises(ValueError, match="derivatives of Zeros are wrong"):
        track(make_net(Zeros, module__detached=True), X, y, random_state=0)


class Flat(nn.Module):
    """Has all derivatives right at zeros, where it starts, and only there."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(N_LABELS))

    def forward(self, X):
        return self.bias**2 * self.bias.detach() + X.new_zeros(len(X), 1)


def test_derivatives_are_compared_beside_the_place_where_training_starts():
    with pytest.raises(ValueError, match="derivatives of Flat are wrong"):
        track(make_net(Flat), *make_rows(), random_state=0)


class ForgetsLoss(torch.autograd.Function):
    """Has no derivative by what comes back from the loss."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, grad):
        return grad.detach() * ctx.saved_tensors[0].cos()


class Forgets(Layers):
    def forward(self, X):
        return ForgetsLoss.apply(self.head(self.body(X)))


class Opposite(nn.Module):
    """Loss of a constant derivative: second derivatives are the network's alone."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, output, target):
        losses = -output.gather(1, target[:, None])[:, 0]
        return losses if self.reduction == "none" else losses.mean()


def test_shares_of_samples_are_compared_too():
    """A Hessian may be right where no sample has an influence."""
    track(make_net(Layers, criterion=Opposite, lr=0.01), *make_rows(), random_state=0)
    with pytest.raises(ValueError, match="derivatives of Forgets are wrong"):
        track(make_net(Forgets, criterion=Opposite), *make_rows(), random_state=0)


class InHalfs(Layers):
    """Computes a part in a precision of its own, whatever that of the parameters."""

    def forward(self, X):
        hidden = torch.softmax(self.body(X).float(), dim=1)
        return self.head(hidden.to(X.dtype).relu())


@pytest.mark.parametrize("module", [Layers, InHalfs])
@pytest.mark.parametrize("seed", range(5))
def test_right_ones_are_not_refused(module, seed):
    X, y = make_rows(seed=seed)
    X[:5] = 0  # kinks of rectified units lie at zeros
    run = track(make_net(module), X, y, random_state=seed)
    assert run.n_epochs == 3


class NormedWeights(nn.Module):
    """Weight normalization by torch, or by its formula."""

    def __init__(self, by_formula):
        super().__init__()
        self.by_formula = by_formula
        self.body, self.head = nn.Linear(N_COLUMNS, 8), nn.Linear(8, N_LABELS)
        if by_formula:
            norm = self.body.weight.detach().norm(dim=1, keepdim=True)
            self.scale = nn.Parameter(norm)
        else:
            nn.utils.parametrizations.weight_norm(self.body)
        self.double()

    def forward(self, X):
        if self.by_formula:
            v = self.body.weight
            weight = self.scale * v / v.norm(dim=1, keepdim=True)
            hidden = nn.functional.linear(X, weight, self.body.bias)
        else:
            hidden = self.body(X)
        return self.head(torch.tanh(hidden))


def steepness(params, run):
    """A query that takes gradients by the parameters itself."""
    X, y = map(torch.as_tensor, make_rows())
    loss = run.model.losses(params, X.double(), y).mean()
    grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
    return sum(grad.square().sum() for grad in grads)


@pytest.mark.parametrize("query", [MeanLoss(*make_rows()), steepness])
def test_weight_normalization_is_differentiated_as_its_formula(query):
    found, expected = (
        track(
            make_net(NormedWeights, module__by_formula=by_formula, lr=0.5),
            *make_rows(),
            random_state=0,
        ).influence(query)
        for by_formula in (False, True)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


class Keeps(Layers):
    """Keeps what a pass has computed, as many do for a look at it later."""

    def forward(self, X):
        self.kept = super().forward(X)
        self.seen = [self.kept, {"hidden": 1}]
        return self.kept


def test_a_network_that_keeps_what_it_computes_is_checked_all_the_same():
    X, y = make_rows()
    run = track(make_net(Keeps, module__between="sine"), X, y, random_state=0)
    query = MeanLoss(X, y)
    found = run.influence(query)
    moved = TrackedRun(run.trajectory.to("cpu"))
    assert np.array_equal(moved.influence(query), found)
    net = make_net(Keeps, module__between="detached")
    with pytest.raises(ValueError, match=r"derivatives of Keeps are wrong"):
        track(net, X, y, random_state=0)


class Flips(Layers):
    """Augments by random numbers that are not torch's."""

    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, X):
        return super().forward(X * (1 if self.draw() < 0.5 else -1))


class Counts(Layers):
    def __init__(self, draw=None):
        super().__init__()
        self.n_passes = 0

    def forward(self, X):
        self.n_passes += 1
        return super().forward(X) / (1 + self.n_passes)


class CountsNormed(Counts):
    """Not to be told that it reads statistics that have been moved."""

    def __init__(self, draw=None):
        super().__init__()
        self.norm = nn.BatchNorm1d(N_COLUMNS)

    def forward(self, X):
        return super().forward(self.norm(X))


GENERATOR = torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("module", "draw"),
    [
        (Flips, random.Random(0).random),
        (Flips, np.random.default_rng(0).random),
        (Flips, lambda: torch.rand((), generator=GENERATOR)),
        (Counts, None),
        (CountsNormed, None),
    ],
    ids=["python", "numpy", "generator", "count", "count-norm"],
)
def test_what_cannot_be_repeated_is_refused(module, draw):
    net = make_net(module, module__draw=draw)
    with pytest.raises(
        ValueError, match=r"does not compute the same twice.*integer buffer"
    ):
        track(net, *make_rows(), random_state=0)


def test_a_count_of_passes_in_a_buffer_can_be_repeated():
    class CountsInBuffer(Layers):
        def __init__(self):
            super().__init__()
            self.register_buffer("n_passes", torch.tensor(0))

        def forward(self, X):
            if self.training:
                self.n_passes += 1
            return super().forward(X) / (1 + self.n_passes / 10)

    X, y = make_rows()
    run, query = track(make_net(CountsInBuffer), X, y, random_state=0), MeanLoss(X, y)
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.97


class Adapted(nn.Module):
    """Takes a step on a loss of its inputs first, in the forward pass."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(N_COLUMNS, N_COLUMNS, bias=False)
        self.head = nn.Linear(N_COLUMNS, N_LABELS)

    def forward(self, X):
        weight = self.body.weight
        with torch.enable_grad():
            loss = ((X @ weight.T).tanh() - X).square().sum()
            (grad,) = torch.autograd.grad(loss, weight, create_graph=True)
        return self.head((X @ (weight - 0.01 * grad).T).tanh())


@pytest.mark.filterwarnings("ignore:.*hardly predict")
def test_networks_may_take_gradients_by_their_weights():
    X, y = make_rows()
    run, query = track(make_net(Adapted), X, y, random_state=0), MeanLoss(X, y)
    found, expected = run.influence(query), run.leave_one_out(query)
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    cleaner = InfluenceCleaner(make_net(Adapted), random_state=0).fit(X, y)
    assert np.isfinite(cleaner.influence()).all()


class DetachedLoss(nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, outputs, targets):
        losses = nn.functional.cross_entropy(outputs, targets, reduction="none")
        losses = losses * losses.detach()
        return losses if self.reduction == "none" else losses.mean()


def test_a_loss_with_wrong_second_derivatives_is_named():
    linear = {"module__in_features": N_COLUMNS, "module__out_features": N_LABELS}
    net = make_net(nn.Linear, criterion=DetachedLoss, **linear)
    with pytest.raises(ValueError, match="derivatives of DetachedLoss are wrong"):
        track(net, *make_rows(), random_state=0)


def test_torchs_random_numbers_and_numbers_that_do_not_matter_can():
    class Draws(Counts):
        def forward(self, X):
            self.n_passes += 1
            return Layers.forward(self, X * torch.rand(()))

    track(make_net(Draws, lr=0.01), *make_rows(), random_state=0)


@pytest.mark.parametrize(
    ("between", "message"),
    [
        ("reentrant", "Call what torch.utils.checkpoint calls directly"),
        ("local response", "Replace CrossMapLRN2d by LocalResponseNorm"),
        ("hardsigmoid", r"Replace it by torch.nn.functional.relu6\(x \+ 3\) / 6"),
    ],
)
def test_what_has_no_second_derivative_is_told_what_to_use(between, message):
    net = make_net(Layers, module__between=between)
    with pytest.raises(ValueError, match=f"no second derivative.*{message}"):
        track(net, *make_rows(), random_state=0)


def detached(layer, X, output):
    return output * torch.exp(-output).detach()


def with_hook():
    net = nn.Sequential(nn.Linear(N_COLUMNS, 8), nn.Tanh(), nn.Linear(8, N_LABELS))
    net[0].register_forward_hook(detached)
    return net


def with_other_forward():
    net = nn.Sequential(nn.Linear(N_COLUMNS, 8), nn.Tanh(), nn.Linear(8, N_LABELS))
    net[1].forward = lambda X: detached(None, None, X)
    return net


def with_activation():
    layer = nn.TransformerEncoderLayer(
        4, 1, 8, 0.0, activation=lambda X: detached(None, None, X), batch_first=True
    )
    first = nn.Sequential(nn.Unflatten(1, (N_COLUMNS, 1)), nn.Linear(1, 4))
    return nn.Sequential(first, layer, nn.Flatten(), nn.Linear(4 * N_COLUMNS, N_LABELS))


class Holding(nn.Module):
    """Holds what a copy has to have of its own."""

    def __init__(self, held):
        super().__init__()
        self.body, self.head = nn.Linear(N_COLUMNS, 8), nn.Linear(8, N_LABELS)
        self.factor = nn.Parameter(torch.ones(1))

        def scaled(X, times=1):
            return scaled(self.scaled(X), times - 1) if times else X

        self.held = {
            "lambda": lambda X: self.scaled(X) * 1.0,
            "lambda in a list": [{"scale": lambda X, net=self: net.scaled(X)}],
            "lambda in a tuple": (lambda X: self.scaled(X) * 1.0,),
            "function that calls itself": scaled,
            "partial": partial(lambda X, by: self.scaled(X) * by, by=1.0),
            "method": self.scaled,
            "weight in a list": [self.factor],
        }[held]

    def scaled(self, X):
        return nn.functional.dropout(self.factor * X, 0.3, self.training)

    def forward(self, X):
        held = self.held if callable(self.held) else self.held[0]
        held = held["scale"] if isinstance(held, dict) else held
        hidden = self.body(X)
        return self.head(held(hidden) if callable(held) else held * hidden)


@pytest.mark.parametrize(
    "held",
    [
        "lambda",
        "lambda in a list",
        "lambda in a tuple",
        "partial",
        "function that calls itself",
    ],
)
def test_functions_that_refer_to_a_network_refer_to_its_copy(held):
    X, y = make_rows()
    found, expected = (
        track(make_net(Holding, module__held=kind), X, y, random_state=0)
        for kind in (held, "method")
    )
    for ask in ("influence", "leave_one_out"):
        changes, truth = (
            getattr(run, ask)(MeanLoss(X, y)) for run in (found, expected)
        )
        np.testing.assert_array_equal(changes, truth)


def test_parameters_that_are_not_given_by_name_are_refused():
    net = make_net(Holding, module__held="weight in a list")
    message = (
        r"Holding or its loss computes with a parameter of shape \(1,\).*by their names"
    )
    with pytest.raises(ValueError, match=message):
        track(net, *make_rows(), random_state=0)


class Tempered(nn.Module):
    """A loss with a parameter that nobody trains."""

    def __init__(self):
        super().__init__()
        self.reduction, self.scale = "mean", nn.Parameter(torch.ones(1))

    def forward(self, outputs, targets):
        outputs = outputs * self.scale
        return nn.functional.cross_entropy(outputs, targets, reduction=self.reduction)


def test_parameters_of_a_loss_are_constants():
    X, y = map(torch.as_tensor, make_rows())
    found = []
    for loss in (Tempered(), nn.CrossEntropyLoss()):
        torch.manual_seed(0)
        module = Layers("sine")
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        run = TrackedRun(record(module, optimizer, X, y, criterion=loss))
        found.append(run.influence(MeanLoss(X, y)))
    np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-9)


class InSingle(Layers):
    """Cannot compute in double precision."""

    def forward(self, X):
        return self.head(detached(None, None, self.body(X.float())))


@pytest.mark.parametrize(
    "module", [with_hook, with_other_forward, with_activation, InSingle]
)
def test_torchs_own_layers_are_trusted_only_as_they_were_made(module):
    with pytest.raises(ValueError, match=r"second derivatives of .* are wrong"):
        track(make_net(module), *make_rows(), random_state=0)


def test_single_precision_within_a_network_is_no_reason_to_refuse():
    class Single(Layers):
        def forward(self, X):
            return self.head(self.body(X.float()).tanh())

    track(make_net(Single), *make_rows(), random_state=0)


class Image(nn.Module):
    """A million rectified units, of which every step but the smallest moves some over.

    And what is usual for images: casts within the forward pass.
    """

    def __init__(self, cast="float", between="relu"):
        super().__init__()
        self.cast, self.between = cast, between
        self.body = nn.Conv2d(3, 256, 3, padding=1)
        self.head = nn.Linear(256, 2)
        self.shift = torch.full((3, 1, 1), 0.5)  # no buffer: stays in single precision

    def forward(self, X):
        X = getattr(X, self.cast)() if self.cast else X
        hidden = self.body(X - self.shift)
        hidden = hidden * (hidden > 0) if self.between == "relu" else hidden
        if self.between == "detached":
            hidden = hidden.relu() * hidden.exp().detach()
        return self.head(hidden.mean((2, 3)))


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    X = generator.random((8, 3, 32, 32), dtype=np.float32)
    return X, np.arange(8) % 2


@pytest.mark.parametrize("cast", ["float", None])
def test_images_are_not_refused(images, cast):
    track(make_net(Image, module__cast=cast, max_epochs=1), *images, random_state=0)


def test_wrong_ones_of_images_are(images):
    net = make_net(Image, module__between="detached", max_epochs=1)
    with pytest.raises(ValueError, match="second derivatives of Image are wrong"):
        track(net, *images, random_state=0)


class Recurrent(nn.Module):
    """Starts from zeros in the default precision, as many do."""

    def __init__(self, detached=False):
        super().__init__()
        self.detached = detached
        self.body, self.head = nn.Linear(N_COLUMNS + 8, 8), nn.Linear(8, N_LABELS)

    def forward(self, X):
        hidden = torch.zeros(len(X), 8)
        for _ in range(3):
            gate = torch.relu(self.body(torch.cat([X, hidden], 1)))
            hidden = hidden + (gate.detach() if self.detached else gate) * gate
        return self.head(hidden)


def test_tensors_of_the_default_precision_are_in_double_too():
    X, y = make_rows()
    track(make_net(Recurrent, lr=0.01), X, y, random_state=0)
    with pytest.raises(ValueError, match="derivatives of Recurrent are wrong"):
        track(make_net(Recurrent, module__detached=True), X, y, random_state=0)


NUMBERS = torch.arange(3)


@pytest.mark.parametrize(
    "make",
    [
        partial(torch.zeros, 3),
        partial(torch.ones, 3),
        partial(torch.full, (3,), 0.5),
        partial(torch.empty, 3),
        partial(torch.rand, 3),
        partial(torch.randn, 3),
        partial(torch.normal, 0.0, 1.0, (3,)),
        partial(torch.linspace, 0, 1, 3),
        partial(torch.eye, 3),
        partial(torch.arange, 3.0),
        partial(torch.tensor, [0.5]),
        partial(torch.as_tensor, [0.5]),
        partial(torch.hann_window, 3),
        partial(torch.zeros_like, NUMBERS, dtype=torch.float32),
        NUMBERS.float,
        NUMBERS.sqrt,
        lambda: 1 / (1 + NUMBERS),
        lambda: NUMBERS.type(torch.float16),
        lambda: nn.functional.one_hot(NUMBERS) * 0.5,
    ],
)
def test_floats_that_are_made_are_doubles_while_derivatives_are_compared(make):
    with InDouble():
        assert make().dtype == torch.float64
    assert make().dtype != torch.float64


def test_whole_numbers_stay_whole():
    with InDouble():
        assert torch.zeros(3, dtype=torch.int64).dtype == torch.int64
        assert (NUMBERS + 1).dtype == torch.int64
        assert (NUMBERS > 1).dtype == torch.bool


seen = set()


class Watches(Layers):
    """Asks another thread in each pass what it makes of numbers."""

    def forward(self, X):
        thread = Thread(target=lambda: seen.add(torch.tensor(0.5).dtype))
        thread.start()
        thread.join()
        return super().forward(X)


def test_other_threads_make_what_they_always_do():
    track(make_net(Watches), *make_rows(), random_state=0)
    assert seen == {torch.float32}


def test_without_double_precision_kinks_are_no_reason_to_refuse(images, monkeypatch):
    monkeypatch.setattr(difference_quotients, "DOUBLE", difference_quotients.AS_IS)
    with pytest.warns(UserWarning, match="derivatives of Image cannot be checked"):
        track(make_net(Image, max_epochs=1), *images, random_state=0)


def test_without_double_precision_smooth_networks_are_refused(monkeypatch):
    monkeypatch.setattr(difference_quotients, "DOUBLE", difference_quotients.AS_IS)
    net = make_net(Layers, module__between="detached")
    with pytest.raises(ValueError, match="second derivatives of Layers are wrong"):
        track(net, *make_rows(), random_state=0)


def test_a_loop_is_told_by_the_check_of_its_replay():
    X, y = map(torch.as_tensor, make_rows())
    net = Layers("detached")
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    with pytest.raises(ValueError, match="second derivatives of Layers are wrong"):
        check_replay(trajectory)


@pytest.mark.parametrize(
    "criterion",
    [
        {"criterion__ignore_index": 0},
        {"criterion__weight": torch.tensor([0.0, 1.0, 1.0])},
    ],
)
def test_first_rows_may_not_count(criterion):
    """Derivatives are compared on rows whose loss counts."""
    X, y = make_rows()
    order = np.argsort(y, kind="stable")
    run = track(make_net(Layers, **criterion), X[order], y[order], random_state=0)
    assert (run.influence(MeanLoss(X, y))[y[order] == 0] == 0).all()


class Normed(Layers):
    """Batch statistics, and a layer of its own."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(N_COLUMNS)

    def forward(self, X):
        return super().forward(self.norm(X))


def test_a_single_row_that_counts_is_checked_among_others():
    X, y = make_rows()
    y[np.arange(len(y)) != 7] = -100
    run = track(make_net(Normed, batch_size=-1), X, y, random_state=0)
    found = run.influence(MeanLoss(X[7:8], y[7:8]))
    assert np.flatnonzero(found).tolist() == [7]


class RunningLoss(nn.Module):
    """Divided by how often it was asked."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction, self.n_passes = reduction, 0

    def forward(self, outputs, targets):
        self.n_passes += 1
        losses = nn.functional.cross_entropy(outputs, targets, reduction=self.reduction)
        return losses / self.n_passes


def test_a_loss_that_cannot_be_repeated_is_named():
    linear = {"module__in_features": N_COLUMNS, "module__out_features": N_LABELS}
    net = make_net(nn.Linear, criterion=RunningLoss, **linear)
    with pytest.raises(ValueError, match="RunningLoss does not compute the same twice"):
        track(net, *make_rows(), random_state=0)


class Focal(nn.CrossEntropyLoss):
    """A mean over samples, whatever the class weights."""

    def forward(self, outputs, targets):
        losses = nn.functional.cross_entropy(
            outputs, targets, weight=self.weight, reduction="none"
        )
        losses = (1 - (-losses).exp()) ** 2 * losses
        return losses if self.reduction == "none" else losses.mean()


class OverOutputs(nn.MSELoss):
    """A sum over outputs, and a mean over samples."""

    def forward(self, outputs, targets):
        losses = (outputs - targets) ** 2
        return losses if self.reduction == "none" else losses.sum(1).mean()


def test_loss_of_a_batch_that_is_not_made_of_those_of_its_samples_is_refused():
    X, y = make_rows()
    weights = torch.tensor([1.0, 2.0, 0.5])
    with pytest.raises(ValueError, match=r"Focal returns .* adds up to"):
        track(make_net(criterion=Focal, criterion__weight=weights), X, y)
    track(make_net(criterion=Focal), X, y)
    regressor = make_regressor(criterion=OverOutputs, module__n_outputs=2)
    with pytest.raises(ValueError, match=r"OverOutputs returns .* adds up to"):
        track(regressor, X, np.stack([y, y], axis=1).astype(np.float32))
