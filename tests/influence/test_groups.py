"""Group influence, top samples, and leaving out whole groups."""

import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from dit_clean import TrackedRun
from dit_clean.influence import (
    Steps,
    check_replay,
    group_influence,
    influence_scores,
    leave_out,
    top_samples,
)
from dit_clean.influence.removal import (
    Removal,
    random_groups,
)
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from tests.cases import CASES, N_SAMPLES, QUERIES, train
from tests.influence.reference import relative_error
from tests.influence.test_scores import quadratic_trajectory

GROUPS = [[0, 3], [1, 2, 5, 7], [4]]


def linear_query(params, run):
    return params["weight"].sum() + 2 * params["bias"].sum()


@pytest.mark.parametrize("history", ["full", "window"])
def test_a_groups_influence_equals_retraining_where_it_is_linear(history):
    # One sample of each batch: then no removed sample shifts another's gradient ...
    trajectory, window = quadratic_trajectory(), Steps(0, 4)
    rows = [record.sample_indices[0].item() for record in trajectory]
    influence = influence_scores(trajectory, linear_query, window, history=history)
    last = [rows[-1]], [rows[-1], trajectory.records[-1].sample_indices[1].item()]
    truth = leave_out(trajectory, linear_query, last, window, history=history)
    predicted = np.stack([influence.values[:, g].sum(axis=1) for g in last], axis=1)
    assert relative_error(predicted, truth) < 1e-10


def test_groups_of_one_are_leave_one_out():
    trajectory, window = train(CASES["dropout"]), Steps(2, 9)
    options = {"history": "window", "query_step": 12}
    together = leave_out(trajectory, QUERIES["classes"], [[3], [5]], window, **options)
    run = TrackedRun(trajectory)
    alone = run.leave_one_out(QUERIES["classes"], [3, 5], Steps(2, 9), **options)
    assert np.array_equal(together, alone)


@pytest.mark.parametrize("name", ["adam", "dropout"])
def test_leaving_out_a_group_is_training_without_its_loss_terms(name):
    trajectory = train(CASES[name])
    weight = torch.ones(N_SAMPLES, dtype=torch.float64)
    weight[GROUPS[1]] = 0
    without = train(CASES[name], removal_weight=weight)
    query = QUERIES["loss"]
    expected = float(
        query(without.params(12), without) - query(trajectory.params(12), trajectory)
    )
    found = leave_out(trajectory, query, GROUPS, Steps(0, 12))
    assert found.shape == (1, 3)
    assert np.isclose(found[0, 1], expected, rtol=1e-9)


def test_no_group_is_refused():
    with pytest.raises(ValueError, match="nothing to leave out"):
        leave_out(train(CASES["sgd"]), QUERIES["loss"], [], Steps(0, 12))


def test_groups_add_up_and_keep_their_names():
    influence = np.array([[1.0, -2.0, 3.0, -4.0], [1.0, 1.0, 1.0, -1.0]])
    found = group_influence(influence, np.array(["b", "a", "b", "a"], dtype=object))
    assert found.names.tolist() == ["a", "b"]
    assert found.sizes.tolist() == [2, 2]
    assert found.totals.tolist() == [[-6, 4], [0, 2]]
    assert found.harmful.tolist() == [[1, 0], [0.5, 0]]
    assert np.array_equal(found.totals.sum(1), influence.sum(1))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["b", "a"], [1, 0]),
        ([2.5, 1], [1, 0]),
        ([(1, "b"), (1, "a")], [1, 0]),
        ([np.datetime64("2026-01-02"), np.datetime64("2026-01-01")], [1, 0]),
        ([2, "a"], [0, 1]),
        ([(1, "a"), "a"], [0, 1]),
    ],
)
def test_groups_are_sorted_where_they_can_be(names, order):
    found = group_influence([1.0, 2.0, 4.0], [names[0], names[1], names[0]])
    assert list(found.names) == [names[place] for place in order]
    assert found.totals.tolist() == [(5, 2)[place] for place in order]
    assert found.sizes.tolist() == [(2, 1)[place] for place in order]


@pytest.mark.parametrize("groups", [["a"], "abc", np.ones((3, 1)), [["a"]] * 3])
def test_groups_that_are_no_column_of_the_samples_are_refused(groups):
    with pytest.raises(ValueError, match=r"one .*for each of the 3 samples"):
        group_influence(np.ones(3), groups)


@pytest.mark.parametrize(
    "groups",
    [
        [1.0, np.nan, 2.0],
        ["a", float("nan"), "b"],
        np.array(["a", None, "b"], dtype=object),
        np.array(["2026-01-01", "NaT", "2026-01-01"], dtype="datetime64[D]"),
        np.ma.masked_array([0, 1, 0], [False, True, False]),
        [0, np.ma.masked, 0],
        pd.Series([0, None, 0], dtype="int64[pyarrow]"),
        pa.array([0, None, 0]),
    ],
)
def test_missing_groups_are_refused(groups):
    with pytest.raises(ValueError, match=r"no entry in 1 of 3 rows \(first: row 1"):
        group_influence(np.ones(3), groups)


def test_top_samples_are_the_ends_of_the_ranking():
    influence = np.random.RandomState(0).normal(size=(3, 20))
    top = top_samples(influence, k=4)
    for q, row in enumerate(influence):
        assert top.harmful_values[q].tolist() == sorted(row)[:4]
        assert top.helpful_values[q].tolist() == sorted(row)[::-1][:4]
        assert np.array_equal(row[top.helpful[q]], top.helpful_values[q])
        assert np.array_equal(row[top.harmful[q]], top.harmful_values[q])
    alone = top_samples(influence[1], k=4)
    assert np.array_equal(alone.harmful, top.harmful[1])


@pytest.mark.parametrize("k", [0, 21, 1.5])
def test_numbers_of_top_samples_that_there_are_not_are_refused(k):
    with pytest.raises(ValueError, match="an int between 1 and 20"):
        top_samples(np.ones(20), k=k)


def test_removal_scores_rank_and_line():
    sizes = np.full(4, 2)
    curved = Removal(sizes, np.arange(4.0), np.arange(4.0) ** 3)
    assert curved.datamodeling_score == 1
    assert 0.8 < curved.pearson < 1


def test_random_groups_are_drawn_without_replacement():
    groups = random_groups(30, 5, 10, np.random.RandomState(0))
    assert [len(np.unique(group)) for group in groups] == [10] * 5


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.ones(10, bool), r"mask of samples has shape \(10,\)"),
        ([3.7], "row numbers or as a boolean mask, got float64"),
        ([0, N_SAMPLES], rf"must lie in \[0, {N_SAMPLES}\), got 0 to {N_SAMPLES}"),
        ([-1], "got -1 to -1"),
        ([3, 3], "listed twice"),
    ],
)
def test_samples_that_are_no_rows_are_refused(samples, message):
    trajectory = train(CASES["sgd"])
    with pytest.raises(ValueError, match=message):
        TrackedRun(trajectory).leave_one_out(QUERIES["loss"], samples)
    with pytest.raises(ValueError, match=message):
        TrackedRun(trajectory).check_removal(QUERIES["loss"], [[0], samples])


def test_a_single_row_number_is_no_list():
    trajectory = train(CASES["sgd"])
    with pytest.raises(TypeError, match=r"got 5. Of a single sample: \[5\]"):
        TrackedRun(trajectory).leave_one_out(QUERIES["loss"], 5)


def test_a_mask_names_the_samples_to_leave_out():
    trajectory, mask = train(CASES["sgd"]), np.zeros(N_SAMPLES, bool)
    mask[[3, 7]] = True
    found, expected = (
        TrackedRun(trajectory).leave_one_out(QUERIES["loss"], samples)
        for samples in (mask, [3, 7])
    )
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32, np.int64])
def test_row_numbers_of_any_integer_type_are_taken(dtype):
    trajectory = train(CASES["sgd"])
    found, expected = (
        TrackedRun(trajectory).leave_one_out(QUERIES["loss"], samples)
        for samples in (np.array([3, 7], dtype), [3, 7])
    )
    assert np.array_equal(found, expected)


def test_all_groups_are_read_before_any_is_left_out(monkeypatch):
    module = sys.modules["dit_clean.influence.leave_one_out"]
    monkeypatch.setattr(module, "_retrained", None)
    with pytest.raises(ValueError, match="Row numbers must lie in"):
        leave_out(train(CASES["sgd"]), QUERIES["loss"], [[0], [99]], Steps(0, 12))


def test_retraining_that_leads_elsewhere_is_refused():
    """Momentum is emptied where a state is kept: no recorded step is wrong."""
    torch.manual_seed(0)
    X, y, module = torch.randn(40, 6), torch.arange(40) % 2, torch.nn.Linear(6, 2)
    loss = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    recorder = StepRecorder(TrackedModel.of(module, loss, X, y), module, optimizer)
    for epoch in range(6):
        recorder.snapshot()
        optimizer.state.clear()
        for rows in torch.arange(40).split(8):
            with recorder.step(rows, epoch):
                optimizer.zero_grad()
                loss(module(X[rows]), y[rows]).backward()
                optimizer.step()
    recorder.snapshot()
    run = TrackedRun(recorder.trajectory)
    check_replay(run.trajectory)
    with pytest.raises(RuntimeError, match="does not lead to the recorded parameters"):
        run.leave_one_out(MeanLoss(X, y), [0])
