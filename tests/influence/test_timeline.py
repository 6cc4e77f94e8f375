"""Timelines over grids of windows, and windows in steps."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean.influence import (
    Steps,
    Window,
    influence_scores,
    influence_timeline,
    label_influence,
    leave_out,
    resolve_window,
)
from dit_clean.influence import accumulate as accumulation
from dit_clean.influence.windows import grid_in_steps, window_in_steps
from dit_clean.tracking import StateStore
from dit_clean.tracking.replay import Replayer
from tests.cases import CASES, N_EPOCHS, N_SAMPLES, QUERIES, train
from tests.influence.reference import relative_error, unrolled_influence

GRIDS = {
    "epochs": [(0, 4), (4, 8), (8, 12)],
    "steps": [(t, t + 1) for t in range(12)],
    "gap": [(1, 3), (9, 10)],
    "overlapping": [(0, 6), (3, 9), (2, 12), (5, 7)],
    "same end": [(0, 12), (6, 12), (11, 12)],
    "any order": [(8, 12), (0, 2), (4, 8), (0, 2)],
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("history", ["full", "window"])
@pytest.mark.parametrize("query_step", [None, 12])
def test_columns_match_autograd_through_training(grid, history, query_step):
    trajectory = train(CASES["momentum"])
    windows = [Steps(*bounds) for bounds in GRIDS[grid]]
    timeline = influence_timeline(
        trajectory,
        QUERIES["classes"],
        windows,
        history=history,
        query_step=query_step,
    )
    assert timeline.shape == (3, N_SAMPLES, len(windows))
    for column, window in enumerate(windows):
        stop = window.stop if query_step is None else query_step
        truth = unrolled_influence(
            trajectory, QUERIES["classes"], window, history, stop
        )
        assert relative_error(timeline[:, :, column], truth) < 1e-8


@pytest.mark.parametrize("name", ["adam", "dropout", "groups-adamw", "unvisited"])
def test_columns_are_the_scores_of_each_window(name):
    trajectory = train(CASES[name])
    windows = [Steps(*bounds) for bounds in GRIDS["overlapping"]]
    for history in ("full", "window"):
        timeline = influence_timeline(
            trajectory, QUERIES["loss"], windows, history=history
        )
        for column, window in enumerate(windows):
            alone = influence_scores(
                trajectory, QUERIES["loss"], window, history=history
            ).values
            assert relative_error(timeline[:, :, column], alone) < 1e-12


@pytest.mark.parametrize("n_windows", [1, 5, 12])
def test_a_partition_adds_up_to_the_whole_run_for_a_fixed_query_step(n_windows):
    trajectory = train(CASES["adam"])
    grid = grid_in_steps(n_windows, trajectory)
    timeline = influence_timeline(trajectory, QUERIES["loss"], grid, query_step=12)
    whole = influence_scores(trajectory, QUERIES["loss"], Steps(0, 12)).values
    assert len(grid) == n_windows
    assert relative_error(timeline.sum(2), whole) < 1e-12


@pytest.mark.parametrize(
    ("grid", "history", "query_step", "n_steps", "n_rows"),
    [
        ("steps", "window", 12, 12, 1),
        ("overlapping", "window", 12, 12, 1),
        ("steps", "window", None, 12, 1),
        ("gap", "window", None, 3, 1),
        ("same end", "window", None, 12, 1),
        ("overlapping", "window", None, 12, 4),
        ("epochs", "full", None, 12, 3),
    ],
)
def test_cost_is_what_the_notes_say(
    monkeypatch, grid, history, query_step, n_steps, n_rows
):
    seen = []

    def counted(*args, **options):
        for record, contributions in sweep_back(*args, **options):
            seen.append(len(contributions))
            yield record, contributions

    sweep_back = accumulation.sweep_back
    monkeypatch.setattr(accumulation, "sweep_back", counted)
    influence_timeline(
        train(CASES["sgd"]),
        QUERIES["loss"],
        [Steps(*bounds) for bounds in GRIDS[grid]],
        history=history,
        query_step=query_step,
    )
    assert len(seen) == n_steps
    assert max(seen) == n_rows


def test_windows_of_steps_and_of_epochs_become_steps():
    trajectory = train(CASES["sgd"])
    assert window_in_steps(Steps(3, 7), trajectory) == Steps(3, 7)
    assert window_in_steps((1, 2), trajectory) == Steps(4, 8)
    assert window_in_steps("full", trajectory) == Steps(0, 12)


def test_grids_by_epoch_number_and_list():
    trajectory = train(CASES["sgd"])
    by_epoch = grid_in_steps(None, trajectory)
    assert by_epoch == [Steps(0, 4), Steps(4, 8), Steps(8, 12)]
    assert len(by_epoch) == N_EPOCHS
    assert grid_in_steps(["late", Steps(0, 5)], trajectory) == [
        Steps(8, 12),
        Steps(0, 5),
    ]


@pytest.mark.parametrize("steps", [Steps(0, 13), Steps(3, 3), Steps(-1, 4)])
def test_steps_outside_of_training_are_refused(steps):
    with pytest.raises(ValueError, match="outside of training: it has 12 steps"):
        window_in_steps(steps, train(CASES["sgd"]))


def test_steps_are_whole_numbers():
    with pytest.raises(ValueError, match="give whole numbers"):
        Steps(0, 2.0)


def test_questions_are_asked_of_a_recorded_run():
    query = QUERIES["loss"]
    with pytest.raises(TypeError, match=r"asked of a recorded run, .* got Linear"):
        influence_scores(nn.Linear(2, 1), query, Steps(0, 2))


@pytest.mark.parametrize(
    "ask",
    [
        lambda run, window: influence_scores(run, QUERIES["loss"], window),
        lambda run, window: influence_timeline(run, QUERIES["loss"], [window]),
        lambda run, window: label_influence(run, QUERIES["loss"], window),
        lambda run, window: leave_out(run, QUERIES["loss"], [[0]], window),
    ],
    ids=["influence_scores", "influence_timeline", "label_influence", "leave_out"],
)
def test_epochs_are_refused_where_steps_are_needed(ask):
    trajectory = train(CASES["sgd"])
    expected = r"^Window\(start=1, stop=2\) is not in steps.*in_steps\(trajectory\)"
    with pytest.raises(TypeError, match=expected):
        ask(trajectory, Window(1, 2))
    ask(trajectory, Window(1, 2).in_steps(trajectory))


def test_steps_are_no_window_of_epochs():
    assert (len(Steps(2, 5)), Steps(2, 5).slice) == (3, slice(2, 5))
    assert Steps(2, 5) != Window(2, 5)


def test_steps_are_refused_where_only_epochs_are_known():
    with pytest.raises(ValueError, match=r"Steps\(start=0, stop=3\) is in steps"):
        resolve_window(Steps(0, 3), 30)


@pytest.mark.parametrize("windows", [0, 13, []])
def test_grids_without_windows_or_with_too_many_are_refused(windows):
    with pytest.raises(ValueError, match="windows"):
        grid_in_steps(windows, train(CASES["sgd"]))


def test_order_of_windows_does_not_matter():
    trajectory = train(CASES["adam"])
    windows = [Steps(*bounds) for bounds in GRIDS["overlapping"]]
    forward = influence_timeline(trajectory, QUERIES["loss"], windows)
    backward = influence_timeline(trajectory, QUERIES["loss"], windows[::-1])
    assert np.allclose(forward, backward[:, :, ::-1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("grid", ["gap", "overlapping"])
def test_storage_policy_never_changes_a_column(grid):
    everything = train(CASES["adam"])
    few = train(CASES["adam"], store=StateStore(3 * everything.state(1).nbytes))
    windows = [Steps(*bounds) for bounds in GRIDS[grid]]
    for history in ("full", "window"):
        expected, found = (
            influence_timeline(run, QUERIES["classes"], windows, history=history)
            for run in (everything, few)
        )
        assert np.array_equal(found, expected)


def test_many_windows_replay_no_more_steps_than_one(monkeypatch):
    replayed = []

    def counted(self, model, record, *args):
        replayed.append(record.step)
        return step(self, model, record, *args)

    step = Replayer._step
    few = train(CASES["sgd"], store=StateStore(1))
    monkeypatch.setattr(Replayer, "_step", counted)
    counts = []
    for windows in ([(0, 12)], GRIDS["steps"]):
        replayed.clear()
        influence_timeline(few, QUERIES["loss"], [Steps(*pair) for pair in windows])
        counts.append(len(replayed))
    assert counts[0] > 0
    assert counts[1] == counts[0]


@pytest.mark.parametrize("counts", [(1, 2, 3), (3, 2, 1), (2, 1, 2)])
@pytest.mark.parametrize("history", ["full", "window"])
@pytest.mark.parametrize("grid", ["epochs", "gap"])
def test_a_query_has_as_many_values_at_every_step(counts, history, grid):
    trajectory = train(CASES["sgd"])
    windows = [Steps(*bounds) for bounds in GRIDS[grid]]
    ends = [trajectory.params(window.stop)["0.weight"] for window in windows]

    def query(params, run):
        at = [torch.equal(params["0.weight"].detach(), end) for end in ends]
        n_values = counts[at.index(True)] if any(at) else counts[-1]
        return params["0.weight"].flatten()[:n_values] ** 2

    with pytest.raises(ValueError, match=r"The query has \d values before step"):
        influence_timeline(trajectory, query, windows, history=history)
