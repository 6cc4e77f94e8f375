"""Errors name what was given, what is needed and what to use."""

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from dit_clean import InfluenceCleaner, track
from dit_clean.crossfit.prototype import fast_device
from dit_clean.data.targets import encode_targets
from dit_clean.queries import MeanLoss
from dit_clean.tracking.given_net import check_outputs
from tests.nets import Linear, Probabilities, make_net, make_rows


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "gpu"}, r"device must be 'auto', or a torch .*got 'gpu'"),
        ({"device": None}, r"device must be .*got None"),
        ({"n_jobs": "2"}, r"n_jobs must be None, or an int other than 0, got '2'"),
        ({"n_jobs": 0}, r"n_jobs must be None, or an int other than 0, got 0"),
    ],
)
def test_parameters_are_named_with_what_they_may_be(settings, message):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=message):
        InfluenceCleaner(**settings).fit(X, y)


@pytest.mark.skipif(torch.cuda.is_available(), reason="has the device")
def test_devices_that_are_not_there_are_refused():
    X, y = load_iris(return_X_y=True)
    with pytest.raises(
        ValueError, match=r"device='cuda'.*no such device.*\. Use .*'cpu'"
    ):
        InfluenceCleaner(device="cuda").fit(X, y)


@pytest.mark.parametrize("has_gpu", [False, True])
def test_a_gpu_is_for_large_networks(monkeypatch, has_gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert fast_device((64, 100, 10)) == "cpu"
    assert fast_device((784, 512, 10)) == ("cuda" if has_gpu else "cpu")


def test_parameters_that_fit_are_taken():
    X, y = load_iris(return_X_y=True)
    settings = {"max_epochs": 1, "n_jobs": 1, "device": torch.device("cpu")}
    assert InfluenceCleaner(**settings).fit(X, y).suspicion_.shape == (150,)


@pytest.mark.parametrize("sizes", [7, np.int64(7), [7], np.array([7])])
def test_sizes_of_layers_are_taken_in_any_form(sizes):
    X, y = load_iris(return_X_y=True)
    cleaner, expected = (
        InfluenceCleaner(hidden_layer_sizes=each, max_epochs=1, random_state=0)
        for each in (sizes, (7,))
    )
    assert np.array_equal(cleaner.fit(X, y).suspicion_, expected.fit(X, y).suspicion_)
    assert cleaner.rescore() is cleaner
    assert "hidden_layer_sizes" in json.dumps(cleaner.summary())


class LogProbabilities(Linear):
    """Ends as torch, not skorch, expects it for NLLLoss."""

    def forward(self, X):
        return super().forward(X).log_softmax(dim=1)


@pytest.mark.parametrize("module", [Linear, LogProbabilities])
def test_nll_loss_of_anything_but_probabilities_is_refused(module):
    X, y = make_rows()
    net = make_net(module, criterion=nn.NLLLoss)
    message = rf"{module.__name__} must return probabilities.*CrossEntropyLoss"
    with pytest.raises(ValueError, match=message):
        track(net, X, y, random_state=0)
    with pytest.raises(ValueError, match=message):
        InfluenceCleaner(net, random_state=0).fit(X, y)


def test_a_softmax_before_cross_entropy_is_warned_of():
    X = torch.as_tensor(make_rows()[0])
    with pytest.warns(UserWarning, match="Probabilities returns probabilities, and"):
        check_outputs(make_net(Probabilities), X, 3, [len(X)])
    check_outputs(make_net(LogProbabilities), X, 3, [len(X)])
    nll = make_net(Probabilities, criterion=nn.NLLLoss)
    check_outputs(nll, X, 3, [len(X)])


def test_labels_as_text_are_named_by_track():
    X, y = make_rows()
    with pytest.raises(TypeError, match=r"y holds values of dtype <U1.*LabelEncoder"):
        track(make_net(), X, np.array(["a", "b", "c"])[y], random_state=0)


def test_checking_probabilities_changes_nothing():
    X, y = make_rows()
    plain = track(make_net(), X, y, random_state=0)
    checked = track(make_net(Probabilities, criterion=nn.NLLLoss), X, y, random_state=0)
    for name, values in plain.trajectory.params(0).items():
        assert np.array_equal(checked.trajectory.params(0)[name], values)
    assert checked.net_.module_.training


def test_what_is_no_label_or_no_number_is_named():
    X, y = load_iris(return_X_y=True)
    pairs = np.empty(150, dtype=object)
    pairs[:] = [(int(label), 1) for label in y]
    with pytest.raises(ValueError, match=r"y holds \(0, 1\), a tuple.*strings"):
        InfluenceCleaner(max_epochs=1).fit(X, pairs)
    with pytest.raises(ValueError, match=r"y holds 'a', but .*are numbers.*task="):
        InfluenceCleaner(max_epochs=1, task="regression").fit(X, np.array(["a"] * 150))


def test_gaps_are_no_divergence():
    X, y = make_rows()
    X[3, 1] = np.nan
    with pytest.raises(FloatingPointError, match=r"X holds NaN or infinite.*Impute"):
        track(make_net(Linear), X, y)


def test_the_name_of_a_window_is_no_list_of_windows():
    X, y = make_rows()
    run = track(make_net(Linear), X, y, random_state=0)
    with pytest.raises(ValueError, match=r"the name of one window.*\['early'\]"):
        run.timeline(MeanLoss(X, y), "early")


def test_questions_that_take_long_show_progress(capsys):
    X, y = load_iris(return_X_y=True)
    cleaner = InfluenceCleaner(max_epochs=3, random_state=0).fit(X, y)
    cleaner.influence("early", history="full")
    assert capsys.readouterr().err == ""
    # Three networks of three epochs, two batches each.
    cleaner.verbose = 1
    cleaner.influence("full")
    assert "18/18" in capsys.readouterr().err
    cleaner.influence((1, 3))
    assert "12/12" in capsys.readouterr().err
    cleaner.timeline([(0, 1), (2, 3)], history="window")
    assert "12/12" in capsys.readouterr().err
    cleaner.timeline(2, history="full")
    assert "18/18" in capsys.readouterr().err
    cleaner.influence_on(X[:40])
    assert "36/36" in capsys.readouterr().err
    run = track(make_net(Linear), *make_rows(), random_state=0)
    run.leave_one_out(MeanLoss(*make_rows()), [0, 1], verbose=1)
    assert "2/2" in capsys.readouterr().err


MEASURED = {"ages": np.arange(18, 43), "halves": 2.0 * np.arange(25)}
NAMED = {
    "counted": np.arange(25.0),
    "from one": np.arange(1, 26),
    "few": np.arange(20) * 5,
    "texts": np.arange(18, 43).astype(str),
}


@pytest.mark.parametrize("name", MEASURED)
def test_labels_that_look_like_measurements_are_warned_of(name):
    y = np.tile(MEASURED[name], 40)
    with pytest.warns(UserWarning, match=r'25 different .*task="regression".*silence'):
        assert encode_targets(y, None).is_classifier
    assert encode_targets(y, None, "classification").is_classifier


@pytest.mark.parametrize("name", NAMED)
def test_codes_and_names_of_classes_are_not_warned_of(name):
    assert encode_targets(np.tile(NAMED[name], 40), None).is_classifier
