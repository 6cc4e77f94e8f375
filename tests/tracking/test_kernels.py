"""Training, its replays and questions use the same kernels of torch."""

import pickle

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

ATTENTION = {
    "flash": (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
    "efficient": (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
    "cudnn attention": (cuda.cudnn_sdp_enabled, cuda.enable_cudnn_sdp),
}
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
    ("module", "off"),
    [
        (nn.Linear(2, 2), set()),
        (nn.Sequential(nn.Conv2d(1, 1, 1), nn.Linear(2, 2)), CONVOLUTION),
        (nn.TransformerEncoderLayer(2, 1, 2), {*ATTENTION}),
        (nn.Sequential(nn.LSTM(2, 2)), {"cudnn"}),
        (Own(), {*ATTENTION, *CONVOLUTION}),
    ],
    ids=["plain", "convolution", "attention", "recurrent", "own"],
)
def test_kernels_that_cannot_be_repeated_are_off_inside(module, off):
    kernels = TrackedKernels(module)
    assert fast() == ALL
    with kernels:
        assert fast() == ALL - off
        with kernels:
            assert fast() == ALL - off
        assert fast() == ALL - off
    assert fast() == ALL


@pytest.mark.parametrize("name", ATTENTION)
def test_what_the_caller_has_switched_off_stays_off(name):
    _, switch = ATTENTION[name]
    switch(False)
    try:
        kernels = pickle.loads(pickle.dumps(TrackedKernels(Own())))
        with kernels:
            assert fast() == {"cudnn"}
        assert fast() == ALL - {name}
    finally:
        switch(True)


def test_steps_are_made_without_them():
    net, X, y = make_parts()
    net.append(Identity())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)
    with recorder.step(range(45), 0):
        assert fast() == {"cudnn"}
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
