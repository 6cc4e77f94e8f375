"""The reverse pass against independent truths, in float64."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from dit_clean.influence import (
    Steps,
    influence_scores,
    influence_timeline,
    leave_out,
)
from dit_clean.tracking import StateStore
from tests.cases import CASES, N_SAMPLES, QUERIES, Case, make_linear, train
from tests.influence.reference import (
    differences,
    relative_error,
    unrolled_influence,
)


def windows_of(trajectory):
    """Whole run, first epoch, middle epoch, and one that ends before the query."""
    n_steps, starts = trajectory.n_steps, trajectory.epoch_starts
    return {
        "whole": (Steps(0, n_steps), None),
        "first": (Steps(0, starts[1]), None),
        "middle": (Steps(starts[1], starts[2]), None),
        "late query": (Steps(starts[1], starts[2]), n_steps),
    }


@pytest.mark.parametrize("history", ["full", "window"])
@pytest.mark.parametrize("name", CASES)
def test_reverse_pass_matches_autograd_through_training(name, history):
    trajectory = train(CASES[name])
    for query in QUERIES.values():
        for window, query_step in windows_of(trajectory).values():
            found = influence_scores(
                trajectory, query, window, history=history, query_step=query_step
            )
            truth = unrolled_influence(
                trajectory, query, window, history, found.query_step
            )
            assert relative_error(found.values, truth) < 1e-8


@pytest.mark.parametrize("name", CASES)
def test_reverse_pass_matches_finite_differences_of_torch_training(name):
    trajectory = train(CASES[name])
    window = Steps(0, trajectory.n_steps)

    def train_with(weights):
        return train(CASES[name], removal_weight=weights)

    train_with.n_samples = N_SAMPLES
    for query in QUERIES.values():
        found = influence_scores(trajectory, query, window).values
        for sample in (0, 5):
            truth = differences(train_with, query, sample)
            assert np.allclose(found[:, sample], truth, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_scores_add_over_adjacent_windows_for_a_fixed_query_step(name):
    trajectory = train(CASES[name])
    n_steps, query = trajectory.n_steps, QUERIES["classes"]

    def score(start, stop):
        return influence_scores(
            trajectory,
            query,
            Steps(start, stop),
            history="window",
            query_step=n_steps,
        ).values

    whole = score(0, n_steps)
    parts = score(0, 3) + score(3, 7) + score(7, n_steps)
    assert relative_error(parts, whole) < 1e-12
    timeline = influence_timeline(trajectory, query, query_step=n_steps)
    assert relative_error(timeline.sum(2), whole) < 1e-12


@pytest.mark.parametrize("history", ["full", "window"])
def test_timeline_columns_are_the_scores_of_each_epoch(history):
    trajectory = train(CASES["adam"])
    starts = trajectory.epoch_starts
    timeline = influence_timeline(trajectory, QUERIES["classes"], history=history)
    for epoch, (start, stop) in enumerate(pairwise(starts)):
        column = influence_scores(
            trajectory, QUERIES["classes"], Steps(start, stop), history=history
        ).values
        assert relative_error(timeline[:, :, epoch], column) < 1e-10


def test_sample_in_no_batch_scores_zero():
    trajectory = train(CASES["unvisited"])
    window = Steps(0, trajectory.n_steps)
    scores = influence_scores(trajectory, QUERIES["loss"], window).values
    assert scores[0, -1] == 0
    assert (scores[0, :-1] != 0).all()


@pytest.mark.parametrize("name", ["momentum", "adam", "dropout", "groups-adamw"])
@pytest.mark.parametrize("max_states", [2, 3, 5])
def test_storage_policy_never_changes_a_score(name, max_states):
    everything = train(CASES[name], store=StateStore())
    budget = max_states * everything.state(1).nbytes
    few = train(CASES[name], store=StateStore(max_bytes=budget))
    assert len(few.store) <= max_states + 1 < len(everything.store)
    for t in range(everything.n_steps + 1):
        assert torch.equal(few.state(t).params, everything.state(t).params)
    window = Steps(1, everything.n_steps - 1)
    expected = influence_scores(everything, QUERIES["classes"], window).values
    found = influence_scores(few, QUERIES["classes"], window).values
    assert np.array_equal(found, expected)


def test_order_of_samples_does_not_matter():
    trajectory = train(CASES["momentum"])
    window = Steps(0, trajectory.n_steps)
    scores = influence_scores(trajectory, QUERIES["loss"], window).values
    order = np.random.RandomState(0).permutation(N_SAMPLES)
    relabeled = train(CASES["momentum"])
    inverse = torch.as_tensor(np.argsort(order))
    model = relabeled.model
    object.__setattr__(model, "inputs", model.inputs[torch.as_tensor(order)])
    object.__setattr__(model, "targets", model.targets[torch.as_tensor(order)])
    relabeled.records[:] = [
        record._replace(sample_indices=inverse[record.sample_indices])
        for record in relabeled.records
    ]
    found = influence_scores(relabeled, QUERIES["loss"], window).values
    assert relative_error(found, scores[:, order]) < 1e-12


def quadratic_trajectory():
    """Least squares, each sample seen once: the query is linear in every removal."""
    from dit_clean.tracking import StepRecorder, TrackedModel

    torch.manual_seed(0)
    X = torch.randn(8, 3, dtype=torch.float64)
    y = torch.randn(8, 1, dtype=torch.float64)
    module, criterion = torch.nn.Linear(3, 1).double(), torch.nn.MSELoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    model = TrackedModel.of(module, criterion, X, y)
    recorder = StepRecorder(model, module, optimizer)
    for batch in torch.arange(8).split(2):
        with recorder.step(batch, 0):
            optimizer.zero_grad()
            criterion(module(X[batch]), y[batch]).backward()
            optimizer.step()
    return recorder.trajectory


@pytest.mark.parametrize("history", ["full", "window"])
def test_equals_leave_one_out_where_training_is_linear(history):
    trajectory = quadratic_trajectory()

    def query(params, run):
        return (params["weight"] * torch.arange(3.0)).sum() + params["bias"].sum()

    for window, query_step in ((Steps(0, 4), None), (Steps(1, 3), 4)):
        options = {"history": history, "query_step": query_step}
        found = influence_scores(trajectory, query, window, **options).values
        truth = leave_out(trajectory, query, np.eye(8, dtype=bool), window, **options)
        assert relative_error(found, truth) < 1e-10


def test_leave_one_out_agrees_to_first_order_over_several_epochs():
    trajectory = train(Case(make_linear, "sgd"))
    window = Steps(0, trajectory.n_steps)
    found = influence_scores(trajectory, QUERIES["loss"], window).values[0]
    truth = leave_out(
        trajectory, QUERIES["loss"], np.eye(N_SAMPLES, dtype=bool), window
    )[0]
    assert np.corrcoef(found, truth)[0, 1] > 0.98


def test_window_outside_of_the_run_is_refused():
    trajectory = train(CASES["sgd"])
    with pytest.raises(ValueError, match=r"outside of the run of 12 steps"):
        influence_scores(trajectory, QUERIES["loss"], Steps(0, 13))
    with pytest.raises(ValueError, match="query_step=3 must lie between"):
        influence_scores(trajectory, QUERIES["loss"], Steps(0, 4), query_step=3)


def test_influence_that_overflows_is_refused_with_the_step():
    trajectory = train(CASES["sgd"])

    def steep(params, run):
        return 1e308 * sum((1e3 * values).sum() for values in params.values())

    message = r"not finite at step \d+ \(epoch \d\), on its way back from step"
    with pytest.raises(FloatingPointError, match=message):
        influence_scores(trajectory, steep, Steps(0, trajectory.n_steps))
