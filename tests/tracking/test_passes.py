"""What is seen of the forward passes of a loop: modes, random numbers, buffers."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import TrackedRun, track
from dit_clean.influence import check_replay
from dit_clean.queries import ClassProbability, MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from dit_clean.tracking.model import get_modes, set_modes
from tests.nets import N_COLUMNS, N_LABELS, make_net, make_rows
from tests.tracking.loops import (
    LOSS,
    make_norm,
    make_parts,
    nothing,
    record,
    trained_with_closures,
)


def test_layers_in_evaluation_mode_are_replayed_in_it():
    net, X, y = make_parts()
    net[2].eval()
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    assert all(step.modes == (True, True, True, False, True) for step in trajectory)
    run, query = TrackedRun(trajectory), MeanLoss(X, y)
    check_replay(trajectory)
    scores = run.influence(query)
    check_replay(trajectory)  # a question has switched modes
    assert np.array_equal(run.influence(query), scores)
    assert np.corrcoef(scores, run.leave_one_out(query))[0, 1] > 0.99
    assert np.array_equal(run.leave_out(query, [[]]), [0.0])


def test_autocast_is_refused():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def context():
        return torch.autocast("cpu", dtype=torch.bfloat16)

    with pytest.raises(RuntimeError, match=r"under autocast .*Train without"):
        record(net, optimizer, X, y, context=context)


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.Identity()])
def test_autocast_from_a_later_epoch_on_is_refused(layer):
    net, X, y = make_parts()
    net[2] = layer
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    rows = torch.arange(len(X))

    def train_epoch(epoch, *, is_mixed):
        with recorder.step(rows, epoch):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=is_mixed):
                loss = LOSS(net(X), y)
            loss.backward()
            optimizer.step()
        recorder.snapshot()

    train_epoch(0, is_mixed=False)
    with pytest.raises(RuntimeError, match="under autocast"):
        train_epoch(1, is_mixed=True)


def test_modes_are_those_of_the_forward_pass():
    """Whatever the loop does before and after it, within the step."""
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def look():
        net.eval()
        with torch.no_grad():
            net(X)

    options = {"n_epochs": 1, "before_step": look, "between_steps": net.train}
    trajectory = record(net, optimizer, X, y, **options)
    assert [step.modes for step in trajectory] == [None] * 3
    check_replay(trajectory)


def test_forward_passes_in_training_mode_beside_the_steps_are_noticed():
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    options = {"n_epochs": 1, "between_steps": lambda: net(X)}  # moves statistics
    trajectory = record(net, optimizer, X, y, **options)
    with pytest.raises(RuntimeError, match=r"forward passes in training mode beside"):
        check_replay(trajectory)


def test_nothing_hangs_on_the_module_but_within_steps(tmp_path):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    with recorder.step(torch.arange(45), 0):
        torch.save(net, tmp_path / "net.pt")
        for other in (
            copy.deepcopy(net),
            torch.load(tmp_path / "net.pt", weights_only=False),
        ):
            assert torch.equal(other.eval()(X), copy.deepcopy(net).eval()(X))
            hooks = other._forward_pre_hooks, other._forward_hooks
            assert [hook.tell for each in hooks for hook in each.values()] == [None] * 2
        optimizer.zero_grad()
        LOSS(net(X), y).backward()
        optimizer.step()
        assert net._forward_pre_hooks
    assert not (net._forward_pre_hooks or net._forward_hooks)
    recorder.snapshot()
    recorder.close()
    recorder.snapshot()
    with pytest.raises(RuntimeError), recorder.step(torch.arange(45), 1):
        raise RuntimeError
    assert not net._forward_pre_hooks


def test_looks_before_the_update_that_begin_late_are_no_modes_of_the_pass():
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    n_looks = iter(range(99))

    def look():
        net.train(next(n_looks) < 2)

    options = {"n_epochs": 2, "before_step": look, "between_steps": net.train}
    trajectory = record(net, optimizer, X, y, **options)
    assert [step.modes for step in trajectory] == [None] * 6
    check_replay(trajectory)


def test_of_a_closure_the_pass_within_counts():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    look = lambda batch: net(X[batch])  # noqa: E731
    trajectory = trained_with_closures(net, optimizer, X, y, look)
    check_replay(trajectory, range(9))


def test_passes_with_other_random_numbers_in_one_step_are_refused():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(RuntimeError, match=r"other random numbers: .*no_grad"):
        record(net, optimizer, X, y, before_step=lambda: net(X))


def test_random_numbers_of_a_hook_are_those_of_the_pass():
    net, X, y = make_parts()

    def add_noise(module, inputs):
        return (inputs[0] + torch.randn_like(inputs[0]),)

    net.register_forward_pre_hook(add_noise)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    check_replay(record(net, optimizer, X, y))


def test_losses_that_draw_random_numbers_are_repeated():
    class Noisy(nn.CrossEntropyLoss):
        def forward(self, output, target):
            noise = 0.3 * torch.randn_like(output)
            return super().forward(output + noise, target)

    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    net, loss = nn.Linear(N_COLUMNS, N_LABELS), Noisy()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trajectory = record(net, optimizer, X, y, n_epochs=1, criterion=loss)
    check_replay(trajectory)
    run, query = TrackedRun(trajectory), ClassProbability(X, y, N_LABELS)
    assert np.array_equal(run.influence(query), run.influence(query))


def test_a_look_at_the_outputs_within_a_step_changes_no_modes():
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def look():
        net.eval()
        net(X)  # with gradients
        net.train()

    trajectory = record(net, optimizer, X, y, n_epochs=1, after_step=look)
    assert [step.modes for step in trajectory] == [None] * 3
    check_replay(trajectory)


def evaluated(net, X, *, gradients):
    with torch.set_grad_enabled(gradients):
        net.eval()
        net(X)
        net.train()


@pytest.mark.parametrize("before", ["begin_step", "before_step"])
def test_a_look_before_the_update_is_told_by_its_gradients(before):
    net, X, y = make_norm()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    look = {before: partial(evaluated, net, X, gradients=False)}
    trajectory = record(net, optimizer, X, y, n_epochs=1, **look)
    assert [step.modes for step in trajectory] == [None] * 3
    check_replay(trajectory)
    look = {before: partial(evaluated, net, X, gradients=True)}
    with pytest.raises(RuntimeError, match=r"under torch\.no_grad"):
        record(net, optimizer, X, y, n_epochs=1, **look)


def test_where_no_layer_minds_its_mode_a_look_may_have_gradients():
    net, X, y = make_parts()
    net[2] = nn.Identity()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    look = partial(evaluated, net, X, gradients=True)
    trajectory = record(net, optimizer, X, y, begin_step=look, before_step=look)
    assert [step.modes for step in trajectory] == [None] * 6
    check_replay(trajectory)


@pytest.mark.parametrize("draws", [True, False])
def test_random_numbers_that_the_loop_draws_in_a_step_are_not_those_of_layers(draws):
    net, X, y = make_parts()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    begin = partial(torch.rand, 1) if draws else nothing
    trajectory = record(net, optimizer, X, y, n_epochs=2, begin_step=begin)
    check_replay(trajectory)


class OwnNorm(nn.BatchNorm1d):
    """Moves its running statistics by itself."""

    def forward(self, X):
        mean, variance = X.mean(0), X.var(0, unbiased=False)
        if self.training:
            self.move(mean.detach(), variance.detach())
        else:
            mean, variance = self.running_mean, self.running_var
        return (X - mean) / (variance + self.eps).sqrt()

    def move(self, mean, variance):
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class ReplacingNorm(OwnNorm):
    def move(self, mean, variance):
        self.running_mean = torch.lerp(self.running_mean, mean, self.momentum)
        self.running_var = torch.lerp(self.running_var, variance, self.momentum)


class TorchsNorm(nn.BatchNorm1d):
    def forward(self, X):
        moved = self.running_mean, self.running_var, self.training, self.momentum
        return torch.batch_norm(X, None, None, *moved, self.eps, False)


@pytest.mark.parametrize("momentum", [0.1, 0.001])
@pytest.mark.parametrize("norm", [OwnNorm, ReplacingNorm, TorchsNorm])
def test_batch_norms_that_move_statistics_by_themselves_are_refused(norm, momentum):
    net, X, y = make_parts()
    net[2] = norm(8, affine=False, momentum=momentum)
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    message = rf"Layer '2' \({norm.__name__}\) moves.*torch.nn.functional.batch_norm"
    with pytest.raises(ValueError, match=message):
        check_replay(trajectory)


class FrozenNorm(OwnNorm):
    def train(self, mode=True):
        return super().train(False)


def test_batch_norms_of_an_own_class_that_are_frozen_are_not_refused():
    net, X, y = make_parts()
    net[2] = OwnNorm(8, affine=False).eval()
    check_replay(record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y))
    net[2] = FrozenNorm(8, affine=False)
    net = make_net(net, max_epochs=2, batch_size=16)
    track(net, X.numpy(), y.numpy(), random_state=0)


def test_batch_norms_of_an_own_class_that_torch_moves_are_not_refused():
    class Shifted(nn.BatchNorm1d):
        def forward(self, X):
            return super().forward(X) + 1

    net, X, y = make_parts()
    net[2] = Shifted(8)
    check_replay(record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y))


def test_statistics_that_influence_does_not_follow_are_warned_of():
    net, X, y = make_parts()
    norm = nn.InstanceNorm1d(2, track_running_stats=True)
    net[2] = nn.Sequential(nn.Unflatten(1, (2, 4)), norm, nn.Flatten())
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    with pytest.warns(UserWarning, match=r"changes 2.1.running_mean, 2.1.running_var"):
        check_replay(trajectory)


def test_batch_norm_in_half_precision_is_followed():
    net, X, y = make_norm()
    net, X = net.to(torch.bfloat16), X.to(torch.bfloat16)
    trajectory = record(net, torch.optim.SGD(net.parameters(), lr=0.1), X, y)
    check_replay(trajectory)


class Flagged(nn.Module):
    """Keeps the mode in an attribute of its own."""

    def __init__(self):
        super().__init__()
        self.body, self.is_noisy = nn.Linear(N_COLUMNS, N_LABELS), True

    def train(self, mode=True):
        super().train(mode)
        self.is_noisy = mode
        return self

    def forward(self, X):
        return self.body(nn.functional.dropout(X, 0.3, self.is_noisy))


def test_modes_are_set_by_train_which_may_do_more():
    X, y = make_rows()
    run = track(make_net(Flagged), X, y, random_state=0)
    query = MeanLoss(X, y)
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.98


def test_modes_of_a_layer_with_two_parents_are_its_own():
    shared = nn.Dropout()
    net = nn.Sequential(nn.Sequential(shared), nn.Sequential(shared))
    modules = list(net.modules())
    net.train()
    net[1].training = False
    modes = get_modes(modules)
    net.eval()
    set_modes(modules, modes)
    assert get_modes(modules) == modes == (True, True, True, False)
