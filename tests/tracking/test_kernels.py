"""Training, its replays and questions use the same kernels of torch."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.backends import cuda, cudnn, mha

from dit_clean import track
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from dit_clean.tracking.kernels import TrackedKernels
from tests.nets import Sequence, make_net, make_rows
from tests.tracking.loops import LOSS, make_parts

ATTENTION = {
    "flash": (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    "efficient": (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    "cudnn attention": (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
    "fast path": (mha.get_fastpath_enabled, mha.set_fastpath_enabled),
}
ON_CPU = {"flash", "fast path"}
CONVOLUTION = {"any algorithm", "any order"}


def fast():
    """Return the names of what is allowed of kernels that cannot be repeated."""
    return {
        *(name for name, (is_on, _) in ATTENTION.items() if is_on()),
        *(["cudnn"] if cudnn.enabled else []),
        *(["any algorithm"] if cudnn.benchmark else []),
        *([] if cudnn.deterministic else ["any order"]),
    }


ALL = {*ATTENTION, *CONVOLUTION, "cudnn"}


@pytest.fixture(autouse=True)
def _as_fast_as_it_gets():
    before = cudnn.benchmark
    cudnn.benchmark = True
    yield
    cudnn.benchmark = before


class Own(nn.Module):
    """May call what it likes."""


@pytest.mark.parametrize(
    ("layer", "on_cpu", "elsewhere"),
    [
        (nn.Linear(2, 2), set(), set()),
        (nn.Conv2d(1, 1, 1), set(), CONVOLUTION),
        (nn.TransformerEncoderLayer(2, 1, 2), ON_CPU, {*ATTENTION}),
        (nn.LSTM(2, 2), set(), {"cudnn"}),
        (Own(), ON_CPU, {*ATTENTION, *CONVOLUTION}),
    ],
    ids=["plain", "convolution", "attention", "recurrent", "own"],
)
def test_kernels_that_cannot_be_repeated_are_off_inside(layer, on_cpu, elsewhere):
    module = nn.Sequential(nn.Linear(1, 1), layer)
    for device, off in {"cpu": on_cpu, "meta": elsewhere}.items():
        kernels = TrackedKernels(module.to(device))
        assert fast() == ALL
        with kernels:
            assert fast() == ALL - off
            with kernels:
                assert fast() == ALL - off
            assert fast() == ALL - off
        assert fast() == ALL


def test_math_is_switched_on_where_the_caller_has_it_off():
    cuda.enable_math_sdp(False)
    try:
        with TrackedKernels(Own()):
            assert cuda.math_sdp_enabled()
        assert not cuda.math_sdp_enabled()
    finally:
        cuda.enable_math_sdp(True)


def test_the_order_in_which_users_leave_does_not_matter():
    first, second = TrackedKernels(Own()), TrackedKernels(Own())
    first.set()
    second.set()
    first.reset()
    assert fast() == ALL - ON_CPU
    copy.deepcopy(second).reset()
    second.reset()
    second.reset()
    assert fast() == ALL


def test_a_criterion_is_looked_at_too():
    with TrackedKernels(nn.Linear(2, 2), Own()):
        assert fast() == ALL - ON_CPU


def make_recorder():
    net, X, y = make_parts()
    net.append(Identity())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    return StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)


def test_steps_that_never_end_leave_nothing_behind():
    recorder = make_recorder()
    for _ in range(3):
        recorder.begin(range(45), 0)
    recorder.close()
    assert fast() == ALL
    assert not recorder.module._forward_pre_hooks


def test_a_step_that_cannot_begin_leaves_nothing_behind(monkeypatch):
    recorder = make_recorder()
    monkeypatch.setattr(recorder, "_reader", None)
    with pytest.raises(AttributeError), recorder.step(range(45), 0):
        raise AssertionError
    assert fast() == ALL
    assert not recorder.is_in_step
    assert not recorder.module._forward_pre_hooks


@pytest.mark.parametrize("name", sorted(ON_CPU))
def test_what_the_caller_has_switched_off_stays_off(name):
    _, switch = ATTENTION[name]
    switch(False)
    try:
        kernels = pickle.loads(pickle.dumps(TrackedKernels(Own())))
        with kernels:
            assert fast() == ALL - ON_CPU
        assert fast() == ALL - {name}
    finally:
        switch(True)


def test_steps_are_made_without_them():
    net, X, y = make_parts()
    net.append(Identity())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    with recorder.step(range(45), 0):
        assert fast() == ALL - ON_CPU
        optimizer.zero_grad()
        LOSS(net(X), y).backward()
        optimizer.step()
    assert fast() == ALL
    with pytest.raises(ZeroDivisionError), recorder.step(range(45), 0):
        raise ZeroDivisionError
    assert fast() == ALL


class Identity(nn.Module):
    """A class of the user's."""

    def forward(self, X):
        return X


def test_scores_of_attention_do_not_depend_on_what_is_recorded():
    X, y = make_rows()
    query = MeanLoss(X, y)
    runs = [
        track(make_net(Sequence), X, y, record=record, random_state=0)
        for record in ("all", 1)
    ]
    assert fast() == ALL
    assert np.array_equal(*(run.influence(query) for run in runs))


class Padded(nn.Module):
    """Reads a sequence of which the last places are padding, and averages over all."""

    def __init__(self):
        super().__init__()
        self.embed, self.output = nn.Linear(1, 8), nn.Linear(8, 3)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)

    def forward(self, X):
        is_padding = torch.zeros(X.shape, dtype=torch.bool)
        is_padding[:, 2:] = True
        found = self.encoder(self.embed(X[..., None]), src_key_padding_mask=is_padding)
        return self.output(found.mean(1))


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_questions_are_about_the_network_that_was_trained():
    """Torch's fast path makes zeros of padded places, in evaluation mode alone."""
    X, y = make_rows()
    query = MeanLoss(X, y)
    run = track(make_net(Padded, lr=0.05), X, y, random_state=0)
    found, expected = run.influence(query), run.leave_one_out(query)
    assert np.corrcoef(found, expected)[0, 1] > 0.99
