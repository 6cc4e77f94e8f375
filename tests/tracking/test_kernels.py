"""Training, its replays and questions use the same kernels of torch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.backends import cuda, cudnn

from dit_clean import track
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from dit_clean.tracking.kernels import TrackedKernels
from tests.nets import Sequence, make_net, make_rows
from tests.tracking.loops import LOSS, make_parts

SWITCHES = {
    "flash": (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    "efficient": (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    "cudnn attention": (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
}


def fused():
    """Return the names of the fused kernels that are allowed."""
    found = {name for name, (is_on, _) in SWITCHES.items() if is_on()}
    return found | ({"cudnn"} if cudnn.enabled else set())


ALL = {*SWITCHES, "cudnn"}


class Own(nn.Module):
    """May call what it likes."""


@pytest.mark.parametrize(
    ("module", "off"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(2, 2)), set()),
        (nn.TransformerEncoderLayer(2, 1, 2), {*SWITCHES}),
        (Own(), {*SWITCHES}),
        (nn.Sequential(nn.LSTM(2, 2)), {"cudnn"}),
    ],
    ids=["plain", "attention", "own", "recurrent"],
)
def test_kernels_without_a_second_derivative_are_off_inside(module, off):
    kernels = TrackedKernels(module)
    assert fused() == ALL
    with kernels:
        assert fused() == ALL - off
        with kernels:
            assert fused() == ALL - off
        assert fused() == ALL - off
    assert fused() == ALL


@pytest.mark.parametrize("name", SWITCHES)
def test_what_the_caller_has_switched_off_stays_off(name):
    _, switch = SWITCHES[name]
    switch(False)
    try:
        with TrackedKernels(Own()):
            assert fused() == {"cudnn"}
        assert fused() == ALL - {name}
    finally:
        switch(True)


def test_steps_are_made_without_them():
    net, X, y = make_parts()
    net.append(Identity())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    with recorder.step(range(45), 0):
        assert fused() == {"cudnn"}
        optimizer.zero_grad()
        LOSS(net(X), y).backward()
        optimizer.step()
    assert fused() == ALL
    with pytest.raises(ZeroDivisionError), recorder.step(range(45), 0):
        raise ZeroDivisionError
    assert fused() == ALL


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
    assert fused() == ALL
    assert np.array_equal(*(run.influence(query) for run in runs))
