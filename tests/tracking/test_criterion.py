"""Losses by sample add up to the loss of training, for criteria of every kind."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import InfluenceCleaner, track
from dit_clean.influence import Window, influence_scores, label_influence
from dit_clean.queries import ClassProbability, MeanLoss
from dit_clean.tracking import SampleLoss
from tests.nets import Linear, make_net, make_regressor, make_rows

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
    losses = nn.functional.cross_entropy(output, target, reduction="none")
    losses = (1 - torch.exp(-losses)) ** 2 * losses
    return losses if loss.reduction == "none" else losses.mean()


class Focal(nn.Module):
    forward = focal

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction


class FocalEntropy(nn.CrossEntropyLoss):
    forward = focal


@pytest.mark.parametrize("criterion", [Focal, FocalEntropy])
def test_losses_of_ones_own_are_asked_for_each_label(criterion):
    """What a sample would do under its own label is what it does."""
    X, y = make_rows()
    run = track(make_net(criterion=criterion), X, y, random_state=0)
    window, query = Window(3, run.trajectory.n_steps), ClassProbability(X, y)
    found = label_influence(run.trajectory, query, window)[0]
    scores = influence_scores(run.trajectory, query, window, history="window")
    np.testing.assert_allclose(found[np.arange(45), y], scores.values[0], rtol=1e-5)


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
