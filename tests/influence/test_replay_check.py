"""A run whose steps are not what its records say is refused."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun
from dit_clean.influence import check_replay, replay_check
from dit_clean.influence.functional import loss_gradient
from dit_clean.influence.update_check import check_update
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StateStore, StepRecorder, TrackedModel
from tests.cases import CASES, train


@pytest.mark.parametrize("name", CASES)
def test_honest_runs_pass_at_every_step(name):
    trajectory = train(CASES[name])
    check_replay(trajectory, range(trajectory.n_steps))


def with_record(trajectory, step, **changes):
    trajectory.records[step] = trajectory.records[step]._replace(**changes)
    return trajectory


def test_another_batch_is_noticed():
    trajectory = train(CASES["sgd"])
    rows = trajectory.records[4].sample_indices
    with_record(trajectory, 4, sample_indices=(rows + 3) % 14)
    with pytest.raises(RuntimeError, match=r"step 4 \(epoch 1\) does not follow"):
        check_replay(trajectory)


def test_another_learning_rate_is_noticed():
    trajectory = train(CASES["momentum"])
    settings = tuple(
        group | {"lr": group["lr"] * 1.2} for group in trajectory.records[0].settings
    )
    with_record(trajectory, 0, settings=settings)
    with pytest.raises(RuntimeError, match="step 0 "):
        check_replay(trajectory)


def test_another_dropout_mask_is_noticed():
    trajectory = train(CASES["dropout"], store=StateStore())
    with_record(trajectory, 8, rng_state=trajectory.store[1].rng_state)
    with pytest.raises(RuntimeError, match="step 8 "):
        check_replay(trajectory)


def test_tampered_parameters_are_noticed():
    trajectory = train(CASES["adam"])
    trajectory.store[1].params.add_(torch.randn(38, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="gradient clipping, a penalty"):
        check_replay(trajectory)


@pytest.mark.parametrize("name", CASES)
def test_steps_between_kept_states_are_checked_together(name):
    trajectory = train(CASES[name], store=StateStore())
    trajectory.store.keep_only(lambda t: t % 3 == 0)
    check_replay(trajectory)
    wrong = trajectory.records[1].sample_indices.flip(0)
    with_record(trajectory, 0, sample_indices=wrong)
    with pytest.raises(RuntimeError, match="steps 0 to 2 "):
        check_replay(trajectory)


def test_steps_far_from_kept_states_are_passed_over(monkeypatch):
    trajectory = train(CASES["sgd"])
    trajectory.store.keep_only(lambda t: t % 3 == 0)
    with_record(trajectory, 0, sample_indices=trajectory.records[1].sample_indices)
    monkeypatch.setattr(replay_check, "MAX_STRIDE", 2)
    with pytest.warns(UserWarning, match=r"kept, \[0, 3, 6, 9, 12\], are more than 2"):
        check_replay(trajectory)
    check_replay(trajectory, [0])  # whoever asks for steps knows which are kept


def loop_that_clips(module, optimizer, n_steps_per_epoch, clips, store=None):
    """Return the trajectory of three epochs; ``clips(t)`` tells which steps clip."""
    n_rows = 10 * n_steps_per_epoch
    n_features = next(module.parameters()).shape[1]
    n_features = n_features if store is None else 6
    X, y = torch.randn(n_rows, n_features), torch.arange(n_rows) % 2
    loss = torch.nn.CrossEntropyLoss()
    model = TrackedModel.of(module, loss, X, y)
    recorder = StepRecorder(model, module, optimizer, store)
    for epoch in range(3):
        for i, batch in enumerate(torch.randperm(n_rows).split(10)):
            with recorder.step(batch, epoch):
                optimizer.zero_grad()
                loss(module(X[batch]), y[batch]).backward()
                if clips(epoch * n_steps_per_epoch + i):
                    torch.nn.utils.clip_grad_norm_(module.parameters(), 0.01)
                optimizer.step()
    recorder.snapshot()
    return recorder.trajectory


@pytest.mark.parametrize(
    "clips",
    [lambda t: t % 4 > 0, lambda t: t == 11],
    ids=["all but the first of each epoch", "the last"],
)
def test_clipping_of_some_steps_is_noticed(clips):
    torch.manual_seed(0)
    module = torch.nn.Linear(5, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    trajectory = loop_that_clips(module, optimizer, 4, clips)
    with pytest.raises(RuntimeError, match="gradient clipping"):
        check_replay(trajectory)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_that_are_hardly_clipped_are_noticed(dtype):
    """Their derivatives are not those of plain steps, however little is cut off."""
    torch.manual_seed(0)
    X, y = torch.randn(40, 5, dtype=dtype), torch.arange(40) % 2
    module, loss = torch.nn.Linear(5, 2).to(dtype), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    recorder = StepRecorder(TrackedModel.of(module, loss, X, y), module, optimizer)
    for batch in torch.arange(40).split(10):
        with recorder.step(batch, 0):
            optimizer.zero_grad()
            loss(module(X[batch]), y[batch]).backward()
            for parameter in module.parameters():
                parameter.grad *= 0.995
            optimizer.step()
    recorder.snapshot()
    recorder.close()
    with pytest.raises(RuntimeError, match="gradient clipping"):
        check_replay(recorder.trajectory)


def test_clipping_that_starts_late_is_noticed_in_a_large_network():
    torch.manual_seed(0)
    module = torch.nn.Linear(300, 1000)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    trajectory = loop_that_clips(module, optimizer, 5, lambda t: t >= 10)
    assert len(trajectory.store) < trajectory.n_steps / 2
    with pytest.raises(RuntimeError, match="gradient clipping"):
        check_replay(trajectory)


def test_loop_that_never_clips_passes():
    module = torch.nn.Linear(5, 2)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    check_replay(loop_that_clips(module, optimizer, 4, lambda t: False))


def ask(trajectory):
    X, y = trajectory.model.inputs[:5], trajectory.model.targets[:5]
    return TrackedRun(trajectory).influence(MeanLoss(X, y))


def make_conv():
    layers = nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16, 2))


def make_mlp():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


@pytest.mark.parametrize("make", [make_conv, make_mlp])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_questions_notice_clipping_amid_an_epoch(make, optimizer):
    for clips in (lambda t: 15 < t < 29, lambda t: False):
        torch.manual_seed(0)
        module = make()
        trajectory = loop_that_clips(
            module, optimizer(module.parameters(), lr=0.1), 15, clips, StateStore()
        )
        check_replay(trajectory)  # the first and the last step of each epoch
        if clips(20):
            with pytest.raises(RuntimeError, match=r"update of step 27 \(epoch 1\)"):
                ask(trajectory)
        else:
            assert np.isfinite(ask(trajectory)).all()


@pytest.mark.parametrize("period", [2, 4, 5, 8, 10, 16])
def test_questions_notice_what_a_loop_does_now_and_then(period):
    torch.manual_seed(0)
    module = make_mlp()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    clips = lambda t: t % period == 1  # noqa: E731
    trajectory = loop_that_clips(module, optimizer, 200, clips, StateStore())
    with pytest.raises(RuntimeError, match="does not follow"):
        ask(trajectory)


def test_steps_after_the_last_snapshot_are_checked():
    """In a loop that never calls it, and closes the recorder."""
    torch.manual_seed(0)
    X, y = torch.randn(40, 6), torch.arange(40) % 2
    module, loss = nn.Linear(6, 2000), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(module, loss, X, y), module, optimizer)
    for batch in torch.arange(40).repeat(5).split(20):
        with recorder.step(batch, 0):
            optimizer.zero_grad()
            loss(module(X[batch]), y[batch]).backward()
            if len(recorder.trajectory) > 1:
                nn.utils.clip_grad_norm_(module.parameters(), 0.01)
            optimizer.step()
    recorder.close()
    assert recorder.trajectory.store.steps == [0, 1, 10]
    with pytest.raises(RuntimeError, match="update of steps 1 to 9"):
        ask(recorder.trajectory)


@pytest.mark.parametrize(
    "context",
    [
        torch.no_grad,
        torch.inference_mode,
        partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    ],
)
def test_modes_of_the_asker_change_no_answer(context):
    torch.manual_seed(0)
    module = make_mlp()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    run = TrackedRun(loop_that_clips(module, optimizer, 4, lambda t: False))
    query = MeanLoss(torch.randn(8, 6), torch.arange(8) % 2)
    questions = (
        lambda: run.influence(query, window="full"),
        lambda: run.leave_one_out(query, [0, 5]),
        lambda: run.timeline(query),
    )
    for question in questions:
        expected = question()
        with context():
            assert np.array_equal(question(), expected)
    with context():
        check_replay(run.trajectory)


def test_questions_notice_a_clipped_step_between_kept_states():
    torch.manual_seed(0)
    module = torch.nn.Linear(300, 1000)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    trajectory = loop_that_clips(module, optimizer, 20, lambda t: t == 35)
    check_replay(trajectory, [0])
    with pytest.raises(RuntimeError, match=r"update of steps 32 to 59 \(epoch 2\)"):
        ask(trajectory)


class Small(nn.Module):
    """A layer of small share in each update, beside a large one."""

    def __init__(self):
        super().__init__()
        self.large, self.small = nn.Linear(5, 2000), nn.Linear(1, 2)

    def forward(self, X):
        hidden = self.large(X[:, :5]).unflatten(1, (2, -1)).mean(2)
        return 30 * hidden + 0.02 * self.small(X[:, 5:])


def zero(gradient):
    return 0 * gradient


@pytest.mark.parametrize("is_hooked", [True, False])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_each_parameter_is_checked_by_itself(is_hooked, optimizer):
    torch.manual_seed(0)
    module = Small()
    if is_hooked:
        module.small.weight.register_hook(zero)
    trajectory = loop_that_clips(
        module,
        optimizer(module.parameters(), lr=0.1),
        15,
        lambda t: False,
        StateStore(),
    )
    if not is_hooked:
        check_replay(trajectory, range(trajectory.n_steps))
        return
    for check in (check_replay, ask):
        with pytest.raises(RuntimeError, match=r"parameters show: 'small\.weight'\."):
            check(trajectory)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_updates_that_come_to_nothing_are_no_measure_of_errors(momentum):
    """Where gradients and decay or momentum cancel, rounding is all that is left."""
    torch.manual_seed(0)
    module = nn.Linear(6, 2)
    settings = {"momentum": momentum, "weight_decay": 0.1}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, **settings)
    trajectory = loop_that_clips(module, optimizer, 1, lambda t: False, StateStore())
    record, state = trajectory.records[1], trajectory.state(1)
    grad = loss_gradient(trajectory.model, trajectory.layout, record, state)
    after = trajectory.store[2]
    bias = slice(12, 14)
    state.params[bias] = 0.0 if momentum else -10 * grad[bias]
    if momentum:
        state.slots["momentum_buffer"][bias] = -grad[bias] / momentum
        after.slots["momentum_buffer"][bias] = 0.0
    after.params[bias] = state.params[bias]
    check_update(trajectory, record, state, (1 + 1e-4) * grad, {})


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
def test_gradients_that_are_rounding_error_are_no_reason_to_refuse(optimizer):
    """Of a bias before a batch norm, computed once more on another machine."""
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(32, affine=False, track_running_stats=False)
    module = nn.Sequential(nn.Linear(6, 32), norm, nn.Linear(32, 2))
    optimizer = optimizer(module.parameters(), lr=0.1)
    trajectory = loop_that_clips(module, optimizer, 15, lambda t: False, StateStore())
    biases = slice(6 * 32, 7 * 32)
    for t in range(1, 46):
        trajectory.store[t].params[biases] += 0.1 * torch.randn(32)
    check_replay(trajectory)
    assert np.isfinite(ask(trajectory)).all()


def test_a_run_without_steps_is_refused():
    module = nn.Linear(6, 2)
    model = TrackedModel.of(module, nn.CrossEntropyLoss(), torch.randn(4, 6), [0] * 4)
    recorder = StepRecorder(model, module, torch.optim.SGD(module.parameters(), 0.1))
    with pytest.raises(ValueError, match="has no steps"):
        check_replay(recorder.trajectory)
