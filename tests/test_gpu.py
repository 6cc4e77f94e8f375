"""The same numbers on a CUDA device as on the CPU, which the other tests hold to."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from torch import nn

from dit_clean import InfluenceCleaner, TrackedRun, track
from dit_clean.influence import Steps, check_replay, label_influence, queries
from dit_clean.queries import ClassProbability, MeanLoss
from dit_clean.tracking import StateStore, StepRecorder, TrackedModel
from tests.nets import N_COLUMNS, Convolution, Mixed, Sequence, make_net, make_rows
from tests.tracking.loops import make_parts, record, trained_with_closures
from tests.tracking.test_replay import ADAPTIVE, OPTIMIZERS, same_state

pytestmark = pytest.mark.gpu

ON_DEVICE = {
    "capturable": {
        "optimizer": torch.optim.Adam,
        "optimizer__capturable": True,
        "lr": 0.01,
    },
    "capturable nadam": {
        "optimizer": torch.optim.NAdam,
        "optimizer__capturable": True,
        "lr": 0.01,
    },
}
"""Their counts of updates lie on the device, which the CPU does not allow."""


class Plain(nn.Module):
    """Twice differentiable, in double precision."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(N_COLUMNS, 8), nn.Tanh(), nn.Linear(8, 3)
        ).double()

    def forward(self, X):
        return self.layers(X)


class Smooth(nn.Module):
    """Twice differentiable, with running statistics, in double precision."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(N_COLUMNS, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)
        ).double()

    def forward(self, X):
        return self.layers(X)


def doubles():
    X, y = make_rows()
    return X.astype(np.float64), y


def track_on(device, module=Smooth, X=None, y=None, **settings):
    X, y = (*doubles(),) if X is None else (X, y)
    record = settings.pop("record", "all")
    net = make_net(module, device=device, iterator_train__shuffle=True, **settings)
    return track(net, X, y, record=record, random_state=0)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("history", ["full", "window"])
def test_influence_is_that_of_the_cpu(name, history):
    X, y = doubles()
    found = [
        track_on(device, **OPTIMIZERS[name]).influence(
            MeanLoss(X, y), window=(1, 3), history=history
        )
        for device in ("cuda", "cpu")
    ]
    scale = np.abs(found[1]).max()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_influence_of_adaptive_steps_is_that_of_the_cpu(name):
    """Without a bias before a batch norm, whose rounding errors they enlarge."""
    X, y = doubles()
    options = {
        k: v for k, v in ADAPTIVE[name].items() if k != "optimizer__param_groups"
    }
    found = [
        track_on(device, Plain, **options).influence(MeanLoss(X, y))
        for device in ("cuda", "cpu")
    ]
    scale = np.abs(found[1]).max()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7, atol=1e-9 * scale)


def test_parts_of_a_query_are_computed_anew_in_the_thread_of_the_device(monkeypatch):
    """The asking thread waits for it and holds the lock."""
    monkeypatch.setattr(queries, "QUERY_ROWS", 8)
    query = MeanLoss(*doubles())
    found, expected = (track_on(device).influence(query) for device in ("cuda", "cpu"))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * scale)


def test_all_questions_have_the_answers_of_the_cpu():
    X, y = doubles()
    answers = []
    for device in ("cuda", "cpu"):
        run, query = track_on(device), ClassProbability(X, y)
        answers.append(
            [
                run.influence(query),
                run.timeline(MeanLoss(X, y)),
                label_influence(run.trajectory, query, Steps(6, 9), run=run),
                run.leave_one_out(MeanLoss(X, y), samples=[0, 7]),
            ]
        )
    for found, expected in zip(*answers, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("name", [*OPTIMIZERS, *ADAPTIVE, *ON_DEVICE])
def test_replay_is_bit_exact(name):
    """With dropout drawn on the device and running statistics, in float32."""
    X, y = make_rows()
    settings = (OPTIMIZERS | ADAPTIVE | ON_DEVICE)[name]
    runs = [
        track_on("cuda", Mixed, X, y, record=record, **settings)
        for record in ("all", 1)
    ]
    for t in range(runs[0].trajectory.n_steps + 1):
        assert same_state(runs[1].trajectory.state(t), runs[0].trajectory.state(t))
    query = MeanLoss(X, y)
    assert np.array_equal(runs[0].influence(query), runs[1].influence(query))


def test_a_run_leaves_the_generators_as_found():
    X, y = make_rows()
    torch.cuda.manual_seed(5)
    before = torch.cuda.get_rng_state()
    run = track_on("cuda", Mixed, X, y)
    run.influence(MeanLoss(X, y))
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_shuffling_on_the_cpu_leaves_the_generator_of_the_device():
    trajectory = track_on("cuda", Mixed, *make_rows()).trajectory
    assert [r.step for r in trajectory if r.rng_state is not None] == [0]


@pytest.mark.parametrize("data_device", ["cuda", "cpu"])
def test_plain_loops(data_device):
    X, y = (torch.as_tensor(values, device=data_device) for values in make_rows())
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(N_COLUMNS, 8), nn.Dropout(0.2), nn.Linear(8, 3))
    net, loss = net.to("cuda"), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    model = TrackedModel.of(net, loss, X, y)
    recorder = StepRecorder(model, net, optimizer, StateStore(max_bytes=1))
    for epoch in range(2):
        for batch in torch.randperm(len(X), device=data_device).split(16):
            with recorder.step(batch, epoch):
                optimizer.zero_grad()
                output = net(X[batch].to("cuda"))
                loss(output, y[batch].to("cuda")).backward()
                optimizer.step()
    recorder.snapshot()
    recorder.close()
    check_replay(recorder.trajectory)
    run = TrackedRun(recorder.trajectory)
    scores = run.influence(MeanLoss(X, y))
    assert scores.shape == (len(X),)
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() > 0


class DoubleSequence(Sequence):
    def __init__(self, kind):
        super().__init__(kind)
        self.double()


@pytest.mark.parametrize("kind", ["attention", "recurrent"])
def test_fused_layers_have_the_influence_of_the_cpu(kind):
    X, y = doubles()
    found = [
        track_on(device, DoubleSequence, module__kind=kind).influence(MeanLoss(X, y))
        for device in ("cuda", "cpu")
    ]
    scale = np.abs(found[1]).max()
    np.testing.assert_allclose(found[0], found[1], rtol=1e-7, atol=1e-9 * scale)


@pytest.mark.parametrize("kind", ["attention", "recurrent"])
def test_fused_layers_with_dropout_draw_the_same_masks_again(kind):
    """Those of the fused kernels are others."""
    X, y = make_rows()
    settings = {"module__kind": kind, "module__dropout": 0.3}
    runs = [
        track_on("cuda", Sequence, X, y, record=record, **settings)
        for record in ("all", 1)
    ]
    query = MeanLoss(X, y)
    for run in runs:
        check_replay(run.trajectory, range(run.trajectory.n_steps))
    assert np.array_equal(*(run.influence(query) for run in runs))
    assert np.array_equal(runs[0].leave_out(query, [[]]), [0.0])
    assert np.corrcoef(runs[0].influence(query), runs[0].leave_one_out(query))[0, 1] > (
        0.95
    )


def parts_on_device(layer=None):
    net, X, y = make_parts()
    if layer is not None:
        net[2] = layer
    net = net.to("cuda")
    return net, torch.optim.SGD(net.parameters(), lr=0.1), X.to("cuda"), y.to("cuda")


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.Identity()])
def test_mixed_precision_is_refused(layer):
    net, optimizer, X, y = parts_on_device(layer)

    def context():
        return torch.autocast("cuda", dtype=torch.float16)

    with pytest.raises(RuntimeError, match=r"under autocast .*Train without"):
        record(net, optimizer, X, y, context=context)


def test_looks_with_gradients_that_draw_on_the_device_are_noticed():
    net, optimizer, X, y = parts_on_device()
    with pytest.raises(RuntimeError, match="other random numbers"):
        record(net, optimizer, X, y, before_step=lambda: net(X))


def test_of_a_closure_the_masks_within_count():
    net, optimizer, X, y = parts_on_device()
    look = lambda batch: net(X[batch])  # noqa: E731
    trajectory = trained_with_closures(net, optimizer, X, y, look)
    check_replay(trajectory, range(9))


def noisy_digits():
    X, y = load_digits(return_X_y=True)
    generator = np.random.default_rng(0)
    wrong = generator.random(len(y)) < 0.2
    return X, np.where(wrong, (y + generator.integers(1, 10, len(y))) % 10, y), wrong


def test_cleaner_finds_on_the_device_what_it_finds_on_the_cpu():
    X, y, wrong = noisy_digits()
    cleaners = [
        InfluenceCleaner(device=device, random_state=0).fit(X, y)
        for device in ("cuda", "cpu")
    ]
    found = [average_precision_score(wrong, c.suspicion_) for c in cleaners]
    assert found[0] == pytest.approx(found[1], abs=0.01)
    assert np.corrcoef(*(c.suspicion_ for c in cleaners))[0, 1] > 0.99
    again = InfluenceCleaner(device="cuda", random_state=0).fit(X, y)
    assert np.array_equal(again.suspicion_, cleaners[0].suspicion_)


def test_cleaner_of_a_convolutional_net():
    X, y = load_digits(return_X_y=True)
    X = X[:300].reshape(-1, 1, 8, 8).astype(np.float32)
    net = make_net(Convolution, module__n_outputs=10, device="cuda")
    cleaner = InfluenceCleaner(net=net, random_state=0).fit(X, y[:300])
    assert cleaner.suspicion_.shape == (300,)


def test_a_fitted_cleaner_is_read_where_there_is_no_device(tmp_path):
    X, y = make_rows()
    cleaner = InfluenceCleaner(device="cuda", random_state=0).fit(X, y)
    path, found = tmp_path / "cleaner.pickle", tmp_path / "found.npy"
    path.write_bytes(pickle.dumps(cleaner))
    code = (
        "import pickle, sys, numpy, torch\n"
        "assert not torch.cuda.is_available()\n"
        "cleaner = pickle.load(open(sys.argv[1], 'rb'))\n"
        "numpy.save(sys.argv[2], cleaner.influence())\n"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", code, str(path), str(found)]
    subprocess.run(command, env=environment, check=True)
    expected = cleaner.influence()
    np.testing.assert_allclose(
        np.load(found), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()
    )


def test_a_pickled_run_comes_back_on_its_device():
    X, y = make_rows()
    run = track_on("cuda", Mixed, X, y, record=1)
    restored = pickle.loads(pickle.dumps(run))
    assert restored.trajectory.state(0).params.device.type == "cuda"
    assert restored.model.device.type == "cuda"
    query = MeanLoss(X, y)
    assert np.array_equal(restored.influence(query), run.influence(query))


def test_random_numbers_of_the_device_are_not_drawn_on_the_cpu():
    X, y = make_rows()
    trajectory = track_on("cuda", Mixed, X, y, record=1).trajectory.to("cpu")
    with pytest.raises(RuntimeError, match="another kind of device than 'cpu'"):
        trajectory.state(2)


def test_data_and_class_weights_on_the_device():
    X, y = doubles()
    weight = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    found = []
    for device in ("cuda", "cpu"):
        data = [torch.as_tensor(values, device=device) for values in (X, y)]
        run = track_on(device, Plain, *data, criterion__weight=weight.to(device))
        scores = run.influence(MeanLoss(*data))
        restored = pickle.loads(pickle.dumps(run))
        assert np.array_equal(restored.influence(MeanLoss(*data)), scores)
        found.append(scores)
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-12)


def test_folds_run_beside_each_other():
    X, y = make_rows()
    found = [
        InfluenceCleaner(device="cuda", random_state=0, n_jobs=n).fit(X, y).suspicion_
        for n in (1, 2)
    ]
    assert np.array_equal(*found)
