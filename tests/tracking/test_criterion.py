"""Losses by sample add up to the loss of training, for criteria of every kind."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dit_clean import InfluenceCleaner, TrackedRun, track
from dit_clean.influence import (
    Steps,
    check_replay,
    influence_scores,
    label_influence,
)
from dit_clean.queries import (
    ClassProbability,
    FeatureImportance,
    LabelError,
    MeanLoss,
    Prediction,
)
from dit_clean.tracking import SampleLoss
from tests.nets import (
    N_COLUMNS,
    N_LABELS,
    Linear,
    Mixed,
    make_net,
    make_regressor,
    make_rows,
)
from tests.tracking.loops import record

WEIGHT = torch.tensor([0.5, 1.0, 2.0])
CRITERIA = {
    "mean": nn.CrossEntropyLoss(),
    "sum": nn.CrossEntropyLoss(reduction="sum"),
    "weighted": nn.CrossEntropyLoss(weight=WEIGHT),
    "smoothed": nn.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.1),
    "ignoring": nn.CrossEntropyLoss(weight=WEIGHT, ignore_index=1),
}


@pytest.mark.parametrize("name", CRITERIA)
@pytest.mark.parametrize("shape", [(6,), (6, 4)])
def test_losses_by_sample_add_up_to_that_of_the_batch(name, shape):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(6, 3, *shape[1:], generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, shape, generator=generator)
    if name != "ignoring":
        target[1] = -100  # ignored by default
    loss = SampleLoss.of(CRITERIA[name].double())
    if name == "smoothed":  # torch smooths ignored labels in no documented way
        target[1] = 0
    found = loss.each(output, target).sum() / loss.divisor(target, output.dtype)
    torch.testing.assert_close(found, loss.batch(output, target))


def test_soft_labels_are_averaged_over_samples():
    output, target = torch.randn(6, 3), torch.rand(6, 3).softmax(1)
    loss = SampleLoss.of(nn.CrossEntropyLoss())
    found = loss.each(output, target).sum() / loss.divisor(target, output.dtype)
    torch.testing.assert_close(found, loss.batch(output, target))


@pytest.mark.parametrize("reduction", ["sum", "batchmean"])
def test_divergences_of_soft_labels_are_tracked(reduction):
    X, y = map(torch.as_tensor, make_rows())
    soft = F.one_hot(y, N_LABELS) * 0.7 + 0.1
    criterion = nn.KLDivLoss(reduction=reduction)
    net = nn.Sequential(nn.Linear(N_COLUMNS, N_LABELS), nn.LogSoftmax(1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    run = TrackedRun(record(net, optimizer, X, soft, criterion=criterion))
    check_replay(run.trajectory)
    query = MeanLoss(X, soft)
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.99


def test_ignored_samples_have_no_influence_and_others_the_right_one():
    X, y = make_rows()
    query = MeanLoss(X.copy(), y.copy())
    ignored = [0, 20, 40]
    y[ignored] = -100
    run = track(make_net(batch_size=45, max_epochs=1), X, y, random_state=0)
    found, truth = run.influence(query), run.leave_one_out(query)
    assert np.array_equal(found[ignored], truth[ignored])
    assert np.array_equal(found[ignored], np.zeros(3))
    assert np.corrcoef(found, truth)[0, 1] > 0.99


def test_sums_over_several_outputs_are_tracked():
    X, y = make_rows()
    net = make_regressor(
        module__n_outputs=3, criterion__reduction="sum", lr=0.001, criterion=nn.MSELoss
    )
    targets = np.eye(3, dtype=np.float32)[y]
    run = track(net, X, targets, random_state=0)
    weighted = track(net, X, targets, random_state=0, sample_weight=np.ones(len(X)))
    last = run.trajectory.n_steps
    found, expected = (r.trajectory.state(last).params for r in (weighted, run))
    torch.testing.assert_close(found, expected)


def test_criterion_of_one_number_for_a_batch_is_refused():
    class Halved(nn.CrossEntropyLoss):
        def forward(self, output, target):
            return super().forward(output, target).mean() / 2

    with pytest.raises(ValueError, match=r"Halved returns one number.*self\.reduction"):
        track(make_net(Linear, criterion=Halved), *make_rows())


def test_targets_that_would_be_broadcast_are_refused_whatever_their_type():
    X, y = make_rows()
    with pytest.raises(ValueError, match=r"\(\d+, 1\) for targets of shape \(\d+,\)"):
        track(make_regressor(), X, y, random_state=0)


def focal(loss, output, target):
    losses = F.cross_entropy(output, target, reduction="none")
    losses = (1 - torch.exp(-losses)) ** 2 * losses
    return losses if loss.reduction == "none" else losses.mean()


class Focal(nn.Module):
    forward = focal

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction


class FocalEntropy(nn.CrossEntropyLoss):
    forward = focal


class FocalByLambda(Focal):
    def __init__(self, reduction="mean"):
        super().__init__(reduction)
        self.compute = lambda output, target: focal(self, output, target)

    def forward(self, output, target):
        return self.compute(output, target)


@pytest.mark.parametrize("criterion", [Focal, FocalEntropy, FocalByLambda])
def test_losses_of_ones_own_are_asked_for_each_label(criterion):
    """What a sample would do under its own label is what it does."""
    X, y = make_rows()
    run = track(make_net(criterion=criterion), X, y, random_state=0)
    window, query = Steps(3, run.trajectory.n_steps), ClassProbability(X, y)
    found = label_influence(run.trajectory, query, window)[0]
    scores = influence_scores(run.trajectory, query, window, history="window")
    np.testing.assert_allclose(found[np.arange(45), y], scores.values[0], rtol=1e-5)


def with_hook(change):
    criterion = nn.CrossEntropyLoss()
    criterion.register_forward_hook(lambda _, __, losses: change(losses))
    return criterion


def test_torchs_criteria_with_hooks_are_asked_for_each_label():
    X, y = make_rows()
    net = make_net(criterion=with_hook(lambda losses: 3 * losses))
    run = track(net, X, y, random_state=0)
    window, query = Steps(3, run.trajectory.n_steps), ClassProbability(X, y)
    found = label_influence(run.trajectory, query, window)[0]
    scores = influence_scores(run.trajectory, query, window, history="window")
    np.testing.assert_allclose(found[np.arange(45), y], scores.values[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda losses: losses * losses.max(), "mixes up samples"),
        (lambda losses: losses**2, "adds up to"),
    ],
)
def test_hooks_that_make_other_losses_of_torchs_are_refused(change, message):
    with pytest.raises(ValueError, match=f"CrossEntropyLoss .*{message}"):
        track(make_net(criterion=with_hook(change)), *make_rows())


@pytest.mark.filterwarnings("ignore:.*hardly predict")
def test_losses_of_ones_own_in_a_cleaner():
    X, y = make_rows()
    found = [
        InfluenceCleaner(make_net(criterion=loss), random_state=0).fit(X, y).suspicion_
        for loss in (Focal, FocalEntropy)
    ]
    assert np.array_equal(*found)
    with pytest.raises(
        ValueError, match=r"BCEWithLogitsLoss cannot be asked.*own that"
    ):
        InfluenceCleaner(make_net(criterion=nn.BCEWithLogitsLoss)).fit(X, y)


@pytest.mark.filterwarnings("ignore:.*hardly predict")
def test_ignored_labels_have_no_influence_in_a_cleaner():
    X, y = make_rows()
    net = make_net(criterion__ignore_index=1)
    cleaner = InfluenceCleaner(net, random_state=0).fit(X, y)
    assert (cleaner.influence_timeline_[y == 1] == 0).all()
    assert (cleaner.influence_timeline_[y != 1] != 0).any()


@pytest.mark.parametrize("sample_weight", [None, np.ones(45)])
def test_batches_whose_labels_are_all_ignored_change_nothing(sample_weight):
    """Their mean is 0 / 0, but torch's gradient of it is 0."""
    X, y = make_rows()
    y[30:] = -100
    query = MeanLoss(X[:30], y[:30])
    net = make_net(batch_size=15)
    run = track(net, X, y, sample_weight=sample_weight, random_state=0)
    found = run.influence(query)
    assert np.allclose(
        found[:30],
        track(net, X[:30], y[:30], random_state=0).influence(query),
        atol=1e-6,
    )
    assert (found[30:] == 0).all()
    left_out = run.leave_one_out(query, [0, 40])
    assert np.isfinite(left_out).all() and left_out[1] == 0


class OwnLoss(nn.Module):
    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, output, target):
        losses = self.losses(output, target)
        return losses if self.reduction == "none" else losses.mean()


class Pinball(OwnLoss):
    """Three quantiles of each target."""

    def losses(self, output, target):
        error = target.reshape(-1, 1) - output
        quantiles = output.new_tensor([0.1, 0.5, 0.9])
        return torch.maximum(quantiles * error, (quantiles - 1) * error)


class MeanPinball(Pinball):
    def losses(self, output, target):
        return super().losses(output, target).mean(1)


class Gaussian(OwnLoss):
    """Mean and logarithm of the variance of each target."""

    def losses(self, output, target):
        mean, log_variance = output.unbind(1)
        return F.gaussian_nll_loss(
            mean, target.reshape(-1), log_variance.exp(), reduction="none"
        )


class OneHot(nn.BCEWithLogitsLoss):
    def forward(self, output, target):
        return super().forward(output, F.one_hot(target, output.shape[1]).float())


@pytest.mark.parametrize(
    ("criterion", "n_outputs"), [(Pinball, 3), (MeanPinball, 3), (Gaussian, 2)]
)
@pytest.mark.parametrize("is_flat", [True, False])
def test_losses_of_ones_own_take_outputs_of_another_width(
    criterion, n_outputs, is_flat
):
    X, _ = make_rows()
    y = X[:, 0] if is_flat else X[:, :1].copy()
    net = make_regressor(
        criterion=criterion, module__n_outputs=n_outputs, max_epochs=1, lr=0.01
    )
    run = track(net, X, y, random_state=0)
    query = MeanLoss(X, y)
    found, truth = run.influence(query), run.leave_one_out(query)
    assert np.corrcoef(found, truth)[0, 1] > 0.98


@pytest.mark.filterwarnings("ignore:.*hardly predict")
def test_losses_of_ones_own_take_class_indices_for_losses_of_each_output():
    X, y = make_rows()
    run = track(make_net(criterion=OneHot, max_epochs=1), X, y, random_state=0)
    query = ClassProbability(X, y)
    found, truth = run.influence(query), run.leave_one_out(query)
    assert np.corrcoef(found, truth)[0, 1] > 0.98
    InfluenceCleaner(make_net(criterion=OneHot), random_state=0).fit(X, y)


class Square(OwnLoss):
    """Broadcasts targets against outputs of another shape."""

    def losses(self, output, target):
        return (output - target) ** 2


class MeanSquare(Square):
    def losses(self, output, target):
        return super().losses(output, target).mean(-1)


class NoisySquare(Square):
    def losses(self, output, target):
        return torch.rand_like(output) * super().losses(output, target)


@pytest.mark.parametrize("criterion", [Square, MeanSquare, NoisySquare])
@pytest.mark.parametrize("shapes", [((6, 1), (6,)), ((6,), (6, 1))])
@pytest.mark.parametrize("kind", [torch.float32, torch.int64])
def test_losses_of_ones_own_that_mix_up_samples_are_refused(criterion, shapes, kind):
    output, target = (torch.arange(6.0).reshape(shape) for shape in shapes)
    with pytest.raises(ValueError, match=rf"^{criterion.__name__} mixes up.*reshape"):
        SampleLoss.of(criterion()).check_samples_independent(
            output / 7, target.to(kind)
        )


class Flattened(OwnLoss):
    """Broadcasts outputs against targets of the same shape."""

    def losses(self, output, target):
        return (output.flatten() - target) ** 2


class MeanFlattened(Flattened):
    def losses(self, output, target):
        return super().losses(output, target).mean(1)


class Centered(OwnLoss):
    def losses(self, output, target):
        losses = (output - target) ** 2
        return losses - losses.mean() / 2


class OfFirst(OwnLoss):
    """Takes the first of several outputs."""

    def losses(self, output, target):
        return (output[0] - target) ** 2


class Several(Linear):
    """Returns what is no tensor; starts from the same output for all samples."""

    def __init__(self, n_outputs, kind):
        super().__init__(n_outputs)
        self.kind = kind
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, X):
        return self.kind([super().forward(X), X.mean()])


class CenteredFirst(Centered):
    def losses(self, output, target):
        return super().losses(output[0], target)


class Balanced(OwnLoss):
    """Weighs classes by how often they are in the batch."""

    def losses(self, output, target):
        losses = F.cross_entropy(output, target, reduction="none")
        share = target.bincount(minlength=output.shape[1])[target] / len(target)
        return losses / share


class BalancedEntropy(nn.CrossEntropyLoss):
    def forward(self, output, target):
        share = target.bincount(minlength=output.shape[1]) / len(target)
        weight = 1 / share.clamp(min=0.01)
        return F.cross_entropy(output, target, weight, reduction=self.reduction)


@pytest.mark.parametrize("criterion", [Flattened, MeanFlattened, Centered])
@pytest.mark.parametrize("start", [nn.init.zeros_, nn.init.normal_])
def test_losses_that_mix_up_samples_are_refused_whatever_the_shapes(criterion, start):
    class Started(Linear):
        def __init__(self, n_outputs):
            super().__init__(n_outputs)
            start(self.output.weight)

    X, _ = make_rows()
    net = make_regressor(Started, criterion=criterion)
    with pytest.raises(ValueError, match=rf"^{criterion.__name__} mixes up samples"):
        track(net, X, X[:, :1].copy(), random_state=0)


@pytest.mark.parametrize("criterion", [Balanced, BalancedEntropy])
@pytest.mark.parametrize(
    ("n_samples", "n_others"), [(45, 1), (45, 22), (45, 44), (12, 1), (6, 3)]
)
def test_losses_that_count_the_classes_of_a_batch_are_refused(
    criterion, n_samples, n_others
):
    X = make_rows(n_samples)[0]
    y = np.repeat([0, 2], [n_samples - n_others, n_others])
    message = f"{criterion.__name__} mixes up samples.*from all training data"
    for order in (y, y[::-1].copy()):
        with pytest.raises(ValueError, match=f"^{message}"):
            track(make_net(criterion=criterion), X, order, random_state=0)


@pytest.mark.parametrize("criterion", [Balanced, BalancedEntropy])
def test_losses_that_count_the_classes_of_a_batch_are_refused_by_a_cleaner(criterion):
    with pytest.raises(ValueError, match=f"^{criterion.__name__} mixes up"):
        InfluenceCleaner(make_net(criterion=criterion)).fit(*make_rows())


def test_classes_that_are_as_frequent_in_each_half_of_a_batch_are_told_apart():
    target = torch.tensor([0, 0, 1, 1]).repeat(10)
    with pytest.raises(ValueError, match="mixes up samples"):
        SampleLoss.of(Balanced()).check_samples_independent(torch.randn(40, 2), target)


@pytest.mark.parametrize("kind", [tuple, list])
def test_losses_of_several_outputs_are_refused_only_if_they_mix_up_samples(kind):
    X, _ = make_rows()
    y = X[:, :1].copy()
    net = make_regressor(Several, module__kind=kind, criterion=OfFirst, lr=0.01)
    run, query = track(net, X, y, random_state=0), MeanLoss(X, y)
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.98
    net = make_regressor(Several, module__kind=kind, criterion=CenteredFirst)
    with pytest.raises(ValueError, match=rf"^CenteredFirst .* returns {kind.__name__}"):
        track(net, X, y, random_state=0)


def test_targets_of_a_query_that_would_be_broadcast_are_refused():
    X, _ = make_rows()
    y = X[:, :1].copy()
    run = track(make_regressor(criterion=MeanSquare, lr=0.01), X, y, random_state=0)
    assert len(run.influence(MeanLoss(X[:1], y[:1]))) == len(X)
    with pytest.raises(
        ValueError, match=r"MeanSquare mixes.*\(45, 1\) .* shape \(45,\)"
    ):
        run.influence(MeanLoss(X, y[:, 0]))


class Squeezed(OwnLoss):
    """Fails for a batch of one sample."""

    def losses(self, output, target):
        losses = (output.squeeze() - target.squeeze()) ** 2
        return losses[torch.arange(len(output))]


class Sum(OwnLoss):
    def losses(self, output, target):
        return (output - target) ** 2

    def forward(self, output, target):
        losses = self.losses(output, target)
        return losses if self.reduction == "none" else losses.sum()


class Weighted(nn.CrossEntropyLoss):
    """Has a weight for each class, and labels that it ignores."""

    def __init__(self, reduction="mean"):
        super().__init__(WEIGHT, ignore_index=1, reduction=reduction)


class Noisy(OwnLoss):
    """Smooths each label by a random share."""

    def losses(self, output, target):
        share = torch.rand(len(output), dtype=output.dtype)
        losses = F.cross_entropy(output, target, reduction="none")
        return (1 - share) * losses - share * output.log_softmax(1).mean(1)


class Rounds(OwnLoss):
    """Rounds in another way for another number of samples, as kernels may."""

    def losses(self, output, target):
        eps = torch.finfo(output.dtype).eps
        return (output - target).abs() * (1 + eps * (len(output) % 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("n_samples", [1, 2, 3, 40])
@pytest.mark.parametrize(
    ("criterion", "n_outputs"),
    [
        (Squeezed(), 1),
        (Sum(reduction="sum"), 1),
        (Pinball(), 1),
        (Rounds(), 1),
        (Weighted(), 3),
        (Noisy(), 3),
        (Focal(), 3),
    ],
)
def test_losses_that_keep_samples_apart_are_not_refused(
    criterion, n_outputs, n_samples, dtype
):
    output = torch.randn(n_samples, n_outputs, dtype=dtype)
    target = torch.randint(0, 3, (n_samples,))
    target = target[:, None].to(dtype) if n_outputs == 1 else target
    SampleLoss.of(criterion).to(dtype).check_samples_independent(output, target)


def test_batches_may_be_normalized_within_the_network():
    class Normed(Mixed):
        pass

    X, y = make_rows()
    track(make_net(Normed, criterion=Focal, lr=0.01), X, y, random_state=0)


def test_losses_of_ones_own_draw_what_they_would():
    class Noisy(MeanPinball):
        def losses(self, output, target):
            return super().losses(output, target) * torch.rand(len(output))

    noisy, (output, target) = Noisy(), (torch.randn(7, 3), torch.randn(7))
    noisy.reduction = "none"
    state = torch.get_rng_state()
    expected, following = noisy(output, target), torch.rand(1)
    torch.set_rng_state(state)
    assert torch.equal(SampleLoss.of(Noisy()).each(output, target), expected)
    assert torch.equal(torch.rand(1), following)


def test_losses_of_ones_own_without_an_axis_of_samples_are_refused():
    class Transposed(Pinball):
        def losses(self, output, target):
            return super().losses(output, target).T

    with pytest.raises(
        ValueError, match=r"Transposed .*\(3, 6\) for 6 samples.*\(6,\)"
    ):
        SampleLoss.of(Transposed()).each(torch.randn(6, 3), torch.randn(6))


@pytest.mark.parametrize(
    "criterion", [nn.CrossEntropyLoss, nn.MultiMarginLoss, nn.BCEWithLogitsLoss]
)
def test_boolean_targets_are_told_what_the_loss_takes(criterion):
    X, y = make_rows()
    is_last = y == 2
    if criterion is nn.BCEWithLogitsLoss:
        is_last = is_last[:, None].repeat(3, axis=1)
    net = make_net(criterion=criterion)
    message = rf"{criterion.__name__} does not take bool.*astype\(int\).*'float32'"
    with pytest.raises(ValueError, match=message):
        track(net, X, is_last, random_state=0)


def test_boolean_targets_of_weighted_classes_are_told_so_too():
    net = make_net(criterion__weight=WEIGHT)
    with pytest.raises(ValueError, match="does not take boolean targets"):
        track(net, make_rows()[0], make_rows()[1] == 2, random_state=0)


@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss, nn.MSELoss])
@pytest.mark.parametrize(
    "make_query", [ClassProbability, LabelError, Prediction, FeatureImportance]
)
def test_outputs_that_are_no_logits_of_classes_have_no_probabilities(
    criterion, make_query
):
    """A softmax of independent outputs is not what the network says of any of them."""
    X, y = make_rows()
    net = make_regressor(module__n_outputs=3, criterion=criterion, max_epochs=1)
    run = track(net, X, np.eye(3, dtype=np.float32)[y], random_state=0)
    message = rf'{criterion.__name__} .*no probability of a class\. .*kind="output"'
    with pytest.raises(ValueError, match=message):
        run.influence(make_query(X, y))
    assert run.influence(Prediction(X, y, "output")).shape == (45, 45)


def test_classes_of_sequences_are_on_the_axis_of_the_loss():
    output = torch.randn(6, 3, 4)
    logs = SampleLoss.of(nn.CrossEntropyLoss()).log_probabilities(output)
    torch.testing.assert_close(logs.exp().sum(1), torch.ones(6, 4))


class Penalized(nn.CrossEntropyLoss):
    def __init__(self, network, way):
        super().__init__()
        self.network = network if way == "module" else None
        self.held = [network] if way == "list" else []
        self.found = (lambda: network) if way == "closure" else None

    def forward(self, scores, target):
        network = self.found() if self.found else self.network or self.held[0]
        penalty = sum(weight.square().sum() for weight in network.parameters())
        return super().forward(scores, target) + 0.01 * penalty


@pytest.mark.parametrize("way", ["module", "list", "closure"])
def test_penalties_within_the_loss_are_refused(way):
    X, y = map(torch.as_tensor, make_rows())
    net = nn.Sequential(nn.Linear(N_COLUMNS, 8), nn.Tanh(), nn.Linear(8, N_LABELS))
    criterion = Penalized(net, way)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    message = r"(holds '0\.weight'|or its loss computes with a parameter).*weight_decay"
    with pytest.raises(ValueError, match=message):
        check_replay(record(net, optimizer, X, y, criterion=criterion))


def test_losses_may_hold_frozen_parameters_of_the_network():
    X, y = map(torch.as_tensor, make_rows())
    net = nn.Sequential(nn.Linear(N_COLUMNS, 8), nn.Tanh(), nn.Linear(8, N_LABELS))
    criterion = Penalized(net[0].requires_grad_(False), "module")
    optimizer = torch.optim.SGD(net[2].parameters(), lr=0.1)
    check_replay(record(net, optimizer, X, y, criterion=criterion))
