"""Networks that were still learning when training ended."""

import warnings

import numpy as np
import pytest
from scipy.special import softmax

from dit_clean.detection import (
    LabelEvidence,
    TargetEvidence,
    UnfinishedTrainingWarning,
    late_fall,
    late_gain,
    warn_of_unfinished_training,
)

LABELS = np.arange(600) % 2


def evidence_of(strengths, sureness=1.0):
    """Return evidence by networks that tell labels ever better, or worse."""
    noise = np.random.RandomState(0).randn(len(LABELS))[:, None]
    strengths = np.asarray(strengths)
    odds = sureness * (strengths * np.where(LABELS == 1, 1, -1)[:, None] + noise)
    held_out = softmax(np.stack([-odds, odds], axis=2), axis=2)
    return LabelEvidence(LABELS, held_out, held_out, n_folds=3)


def test_training_that_ends_too_early_is_warned_of():
    evidence = evidence_of(np.linspace(0.0, 1.2, 9))
    fall = late_fall(evidence.held_out_loss())
    assert fall > 0.4
    match = f"still learning .*: {fall:.0%} of the fall .* wrong. Do this"
    with pytest.warns(UnfinishedTrainingWarning, match=match):
        warn_of_unfinished_training(evidence, "Do this.")


def test_loss_that_rises_hides_no_learning():
    # Networks grow surer by far of what they know hardly.
    evidence = evidence_of(np.linspace(0.1, 0.4, 9), sureness=np.linspace(0.5, 5.0, 9))
    loss, gain = evidence.held_out_loss(), late_gain(evidence)
    assert loss[-1] > loss[0]
    assert gain > 0.2
    match = f"its last third explained {gain:.0%} more of the labels"
    with pytest.warns(UnfinishedTrainingWarning, match=match):
        warn_of_unfinished_training(evidence, "Do this.")


@pytest.mark.parametrize(
    "strengths",
    [
        [0.0, 1.0, 1.2, 1.2, 1.2, 1.21],
        [0.0, 1.2, 1.2, 1.0, 0.8, 0.6],
        [0.5, 0.5, 0.5],
        [0.2, 0.8],
        [1.0],
    ],
)
def test_training_that_has_converged_or_overfits_is_not_warned_of(strengths):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_unfinished_training(evidence_of(strengths), "")


def test_targets_are_warned_of_by_their_loss():
    targets = np.random.RandomState(0).randn(300)
    outputs = targets[:, None] * np.linspace(0.0, 0.9, 9)
    evidence = TargetEvidence(targets, outputs, outputs, 3)
    assert late_gain(evidence) == 0
    with pytest.warns(UnfinishedTrainingWarning, match="fall of held-out loss"):
        warn_of_unfinished_training(evidence, "")


@pytest.mark.parametrize(
    ("loss", "fall"),
    [
        (np.linspace(2.0, 0.5, 9), 0.5),
        ([2.0, 0.6, 0.5, 0.7, 0.9, 1.1], -4 / 3),
        ([0.0, 0.0, 0.0], 0.0),
        ([1.0, 0.5], 0.0),
    ],
)
def test_fall_is_that_after_the_second_third(loss, fall):
    assert late_fall(np.array(loss)) == pytest.approx(fall)


@pytest.mark.parametrize("n_epochs", [3, 20, 30])
def test_jitter_is_no_fall(n_epochs):
    jitter = 0.6 + 0.01 * np.random.RandomState(0).randn(n_epochs)
    assert late_fall(jitter) == 0
    assert late_fall(np.r_[1.0, 0.9, 5.0, 5.0, 5.0, 0.85]) <= 1
