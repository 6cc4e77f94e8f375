"""What a sample would have done under each label."""

import copy

import numpy as np
import pytest
import torch

from dit_clean.influence import Steps, influence_scores, label_influence
from dit_clean.tracking import SampleLoss, StepRecorder, TrackedModel
from tests.cases import (
    CASES,
    N_CLASSES,
    N_SAMPLES,
    OPTIMIZERS,
    QUERIES,
    Case,
    make_batches,
    make_criterion,
    make_data,
    make_linear,
    make_sample_weight,
    train,
)
from tests.influence.reference import relative_error

LABELED = ["linear", "momentum", "adam", "dropout", "weighted", "class-weight"]


@pytest.mark.parametrize("name", LABELED)
def test_column_of_the_given_label_times_the_weight_is_the_influence_score(name):
    trajectory = train(CASES[name])
    window = Steps(2, trajectory.n_steps)
    query = QUERIES["classes"]
    scores = influence_scores(trajectory, query, window, history="window").values
    values = label_influence(trajectory, query, window)
    _, y = make_data()
    assert values.shape == (N_CLASSES, N_SAMPLES, N_CLASSES)
    given = values[:, np.arange(N_SAMPLES), y.numpy()]
    weight = make_sample_weight(CASES[name].options)
    given = given if weight is None else given * weight.numpy()
    assert relative_error(given, scores) < 1e-12


def train_with_extra_loss(case, window, sample, label, size):
    """Train a case with `size` times the loss of a label added in a window."""
    weight = make_sample_weight(case.options)
    weight = torch.ones(N_SAMPLES) if weight is None else weight
    torch.manual_seed(0)
    module = case.make_module().double()
    X, y = make_data()
    criterion = make_criterion(case.options)
    unreduced = torch.nn.CrossEntropyLoss(weight=criterion.weight, reduction="none")
    optimizer = OPTIMIZERS[case.optimizer](module)
    batches = [batch for epoch in make_batches(case.options) for batch in epoch]
    for t, batch in enumerate(batches):
        optimizer.zero_grad()
        output = module(X[batch])
        divisor = len(batch)
        if criterion.weight is not None:
            divisor = criterion.weight[y[batch]].sum()
        loss = (weight[batch] * unreduced(output, y[batch])).sum() / divisor
        if t in window and sample in batch:
            row = (batch == sample).nonzero()[0]
            extra = unreduced(output[row], torch.tensor([label])).sum()
            loss = loss + size * extra / divisor
        loss.backward()
        optimizer.step()
    return {name: p.detach() for name, p in module.named_parameters()}


@pytest.mark.parametrize(
    "name", ["linear", "momentum", "adam", "class-weight", "weighted"]
)
def test_every_column_equals_finite_differences_of_training_with_that_label(name):
    trajectory = train(CASES[name])
    window, step = Steps(3, trajectory.n_steps), 1e-4
    values = label_influence(trajectory, QUERIES["loss"], window)[0]
    for sample in (0, 5):
        for label in range(N_CLASSES):
            ends = [
                train_with_extra_loss(CASES[name], window, sample, label, sign * step)
                for sign in (1, -1)
            ]
            up, down = (float(QUERIES["loss"](end, trajectory)) for end in ends)
            change = -(up - down) / (2 * step)
            assert np.isclose(values[sample, label], change, rtol=1e-5, atol=1e-9)


WEIGHT = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


@pytest.mark.parametrize(
    "criterion",
    [
        torch.nn.CrossEntropyLoss(label_smoothing=0.2, weight=WEIGHT),
        torch.nn.CrossEntropyLoss(label_smoothing=0.2, weight=WEIGHT, ignore_index=1),
        torch.nn.NLLLoss(weight=WEIGHT, ignore_index=2),
    ],
    ids=["smoothed", "smoothed and ignoring", "ignoring"],
)
def test_columns_are_torchs_losses_under_each_label(criterion):
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    losses = SampleLoss.of(criterion).each_label(output)
    unreduced = copy.copy(criterion)
    unreduced.reduction = "none"
    for label in range(3):
        one = unreduced(output, torch.full((4,), label))
        torch.testing.assert_close(losses[:, label], one, rtol=1e-12, atol=1e-12)


def train_with(criterion, y):
    torch.manual_seed(0)
    module, (X, _) = make_linear().double(), make_data()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    model = TrackedModel.of(module, criterion, X, y)
    recorder = StepRecorder(model, module, optimizer)
    for batch in torch.arange(N_SAMPLES).repeat(2).split(7):
        with recorder.step(batch, 0):
            optimizer.zero_grad()
            criterion(module(X[batch]), y[batch]).backward()
            optimizer.step()
    recorder.close()
    return recorder.trajectory


def test_a_class_that_is_ignored_does_nothing():
    class Own(torch.nn.CrossEntropyLoss):
        """Asked label by label."""

    window, (_, y) = Steps(0, 4), make_data()
    found, expected = (
        label_influence(
            train_with(criterion(ignore_index=1), y), QUERIES["loss"], window
        )[0]
        for criterion in (torch.nn.CrossEntropyLoss, Own)
    )
    assert (found[:, 1] == 0).all()
    assert (found[y == 1] == 0).all()
    assert (found[y != 1][:, [0, 2]] != 0).all()
    assert relative_error(found, expected) < 1e-12


@pytest.mark.parametrize(
    "targets", [torch.rand(14, 3, dtype=torch.float64), torch.arange(42) % 2]
)
def test_targets_that_are_not_one_class_for_each_sample_are_refused(targets):
    targets = targets.reshape(14, 3)
    trajectory = train_with(torch.nn.MultiLabelSoftMarginLoss(), targets)
    with pytest.raises(ValueError, match=r"one class for each sample.*\(14, 3\)"):
        label_influence(trajectory, QUERIES["loss"], Steps(0, 4))


def test_window_outside_of_the_run_is_refused():
    trajectory = train(Case(make_linear, "sgd"))
    with pytest.raises(ValueError, match="outside of the run of 12 steps"):
        label_influence(trajectory, QUERIES["loss"], Steps(3, 3))
