"""Which steps draw random numbers, and that they are drawn once more."""

import pytest
import torch
from torch import nn

from dit_clean.tracking import StateStore, StepRecorder, TrackedModel
from dit_clean.tracking.layers import may_draw
from tests.nets import N_COLUMNS, N_LABELS, make_rows

LOSS = nn.CrossEntropyLoss()
N_STEPS = 6


class Noisy(nn.Linear):
    """Draws random numbers from its `first`-th training pass on."""

    def __init__(self, first):
        super().__init__(N_COLUMNS, N_LABELS)
        self.first, self.n_passes = first, 0

    def forward(self, X):
        self.n_passes += 1
        if self.n_passes > self.first:
            X = X + 0.1 * torch.randn_like(X)
        return super().forward(X)


def train(net, between=lambda: None, within=lambda: None):
    """Return the recorder of six steps, which keeps every state, and the last one."""
    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    model = TrackedModel.of(net, LOSS, X, y)
    recorder = StepRecorder(model, net, optimizer, StateStore())
    for batch in torch.arange(len(X)).repeat(2).split(15):
        between()
        with recorder.step(batch, 0):
            within()
            optimizer.zero_grad()
            LOSS(net(X[batch]), y[batch]).backward()
            optimizer.step()
    recorder.snapshot()
    recorder.close()
    return recorder


def drew(recorder):
    return [record.rng_state is not None for record in recorder.trajectory]


def seed():
    torch.manual_seed(5)


@pytest.mark.parametrize("between", [lambda: torch.rand(1), seed])
@pytest.mark.parametrize("first", range(N_STEPS + 1))
def test_steps_that_draw_are_known_from_the_first_one_on(first, between):
    recorder = train(Noisy(first), between)
    assert drew(recorder) == [step >= first for step in range(N_STEPS)]


@pytest.mark.parametrize("first", range(N_STEPS + 1))
def test_steps_that_go_on_drawing_need_no_random_state(first):
    """Of draws that begin late, the first ones' end is not known yet."""
    begin = [first] if first == 0 else [first, first + 1]
    found = drew(train(Noisy(first)))
    assert found == [step in begin for step in range(N_STEPS)]


@pytest.mark.parametrize("within", [lambda: None, lambda: torch.rand(1)])
@pytest.mark.parametrize("first", [1, 3])
def test_draws_that_begin_late_are_repeated(first, within):
    """From where the pass begins, which the loop's own draws are before."""
    trajectory = train(Noisy(first), within=within).trajectory
    trajectory.model.module.n_passes = trajectory.replayer.module.n_passes = N_STEPS
    states = trajectory.replayer.iterate_states(
        trajectory.model, trajectory.store[first], trajectory.records[first:]
    )
    for step, state in enumerate(states, start=first + 1):
        assert torch.equal(state.params, trajectory.store[step].params)


def test_random_numbers_between_the_steps_are_not_taken_for_draws():
    net = nn.Sequential(nn.Linear(N_COLUMNS, N_LABELS), nn.Dropout(0.0))
    assert not any(drew(train(net, between=lambda: torch.rand(1))))


def test_a_step_that_failed_after_it_drew_is_not_the_last_one():
    X, y = map(torch.as_tensor, make_rows())
    net = Noisy(1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)

    def step(*, fails):
        with recorder.step(torch.arange(len(X)), 0):
            optimizer.zero_grad()
            loss = LOSS(net(X), y)
            if fails:
                raise ArithmeticError
            loss.backward()
            optimizer.step()

    step(fails=False)
    with pytest.raises(ArithmeticError):
        step(fails=True)
    step(fails=False)
    recorder.close()
    assert drew(recorder) == [False, True]


def noisy_hook(layer, inputs, output):
    return output + torch.randn_like(output)


def with_hook():
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(noisy_hook)
    return layer


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(2, 2), False),
        (nn.BatchNorm1d(2), False),
        (nn.CrossEntropyLoss(), False),
        (nn.AlphaDropout(0.1), True),
        (nn.Dropout2d(0.1), True),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.1), True),
        (nn.MultiheadAttention(2, 1, dropout=0.1), True),
        (nn.RReLU(), True),
        (nn.FractionalMaxPool2d(2, output_size=2), True),
        (Noisy(0), True),
        (with_hook(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_may_draw(layer, expected):
    assert may_draw(layer) == expected


@pytest.mark.parametrize(
    "layer",
    [
        make
        for name, make in vars(nn).items()
        if isinstance(make, type) and "Dropout" in name
    ],
)
def test_every_dropout_of_torch_may_draw(layer):
    assert may_draw(layer())
