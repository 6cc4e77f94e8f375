"""Questions about image networks: layers that torch cannot batch, memory formats."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import InfluenceCleaner, track
from dit_clean.queries import MeanLoss, Prediction, SampleLosses
from tests.nets import make_net

N_CLASSES, QUERY = 2, slice(36, 40)


class ChannelsLast(nn.Sequential):
    """In another memory format than the images come in."""

    def forward(self, X):
        return super().forward(X.contiguous(memory_format=torch.channels_last))


class DropsAlways(nn.Module):
    """Forgets to say that dropout is for training alone."""

    def forward(self, X):
        return nn.functional.dropout(X, 0.3)


def make_images(*, are_transposed=False):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((40, 3, 8, 8), dtype=np.float32)
    y = np.arange(40) % N_CLASSES
    X[y == 1, 0] += 0.5
    if are_transposed:
        X = np.ascontiguousarray(X.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    return X, y


def make_layers(*layers, kind=nn.Sequential):
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, N_CLASSES)
    return kind(nn.Conv2d(3, 8, 3), *layers, *head)


NETS = {
    "group norm": lambda: make_layers(nn.GroupNorm(4, 8), nn.Tanh()),
    "pooled": lambda: make_layers(nn.Tanh(), nn.MaxPool2d(2)),
    "channels last": lambda: make_layers(nn.MaxPool2d(2), nn.Tanh(), kind=ChannelsLast),
}


def track_images(make_module, X, y, **settings):
    return track(make_net(make_module, lr=0.02, **settings), X, y, random_state=0)


@pytest.mark.parametrize("are_transposed", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_several_queries_at_once_are_those_one_by_one(name, are_transposed):
    X, y = make_images(are_transposed=are_transposed)
    run = track_images(NETS[name], X, y)
    one = run.influence(MeanLoss(X[QUERY], y[QUERY]))
    together = run.influence(SampleLosses(X[QUERY], y[QUERY]))
    np.testing.assert_allclose(together.mean(0), one, rtol=1e-3, atol=1e-8)
    assert run.influence(Prediction(X[QUERY], y[QUERY])).shape == (4, 40)
    whole = run.timeline(MeanLoss(X[QUERY], y[QUERY]), history="full")
    np.testing.assert_allclose(whole.sum(1), one, rtol=1e-3, atol=1e-8)


@pytest.mark.filterwarnings("ignore::dit_clean.detection.NoSignalWarning")
def test_a_cleaner_has_clean_rows_judged_by_group_norm():
    X, y = make_images()
    net = make_net(NETS["group norm"], lr=0.02, iterator_train__shuffle=True)
    cleaner = InfluenceCleaner(net, random_state=0)
    cleaner.fit(X[:30], y[:30], X_val=X[30:], y_val=y[30:])
    assert cleaner.influence_on(X[30:], y[30:]).shape == (10, 30)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint8])
def test_labels_of_any_whole_numbers_can_be_asked_about(dtype):
    X, y = make_images()
    run = track_images(NETS["pooled"], X, y.astype(dtype))
    found = run.influence(MeanLoss(X[QUERY], y[QUERY].astype(dtype)))
    assert np.array_equal(found, run.influence(MeanLoss(X[QUERY], y[QUERY])))


def test_a_mean_of_zero_is_a_running_mean_that_is_followed():
    """Where a convolution without bias follows a norm, rounding alone is left of it."""

    def make_bottleneck():
        return make_layers(
            nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1, bias=False), nn.BatchNorm2d(8)
        )

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        track_images(make_bottleneck, *make_images())


def test_random_numbers_of_evaluation_are_the_same_in_all_answers():
    X, y = make_images()
    run = track_images(lambda: make_layers(nn.Tanh(), DropsAlways()), X, y)
    query = MeanLoss(X[QUERY], y[QUERY])
    before = torch.get_rng_state()
    found, expected = run.influence(query), run.leave_one_out(query)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(run.influence(query), found)
    assert np.array_equal(run.leave_one_out(query), expected)
    assert np.corrcoef(found, expected)[0, 1] > 0.99
