"""Held-out labels that are predicted, and labels that cannot be."""

import warnings

import numpy as np
import pytest

from dit_clean.detection import (
    LabelEvidence,
    NoSignalWarning,
    TargetEvidence,
    held_out_signal,
    warn_of_no_signal,
)


def make_evidence(strength, shares=(0.5, 0.3, 0.2), n_samples=300, seed=0):
    """Return evidence that knows the labels with a given strength."""
    generator = np.random.RandomState(seed)
    labels = generator.choice(3, size=n_samples, p=shares)
    scores = generator.randn(n_samples, 4, 3) + np.log(shares)
    scores += strength * np.eye(3)[labels][:, None]
    outputs = np.exp(scores)
    outputs /= outputs.sum(axis=2, keepdims=True)
    return LabelEvidence(labels, outputs, outputs, n_folds=3)


def test_chance_is_zero_whatever_the_class_shares():
    values = [
        held_out_signal(make_evidence(0.0, (0.9, 0.05, 0.05), seed=seed))
        for seed in range(40)
    ]
    assert abs(np.mean(values)) < 0.5
    assert 0.6 < np.std(values) < 1.5


@pytest.mark.parametrize("are_labels", [True, False])
def test_chance_is_that_of_groups_where_rows_belong_together(are_labels):
    """Labels that rows of a group share repeat what chance has made of the group."""
    groups = np.repeat(np.arange(40), 20)
    with_groups, without = [], []
    for seed in range(40):
        generator = np.random.RandomState(seed)
        of_group, scores = generator.randint(2, size=40), generator.randn(40, 1, 1)
        scores = scores[groups] + 0.1 * generator.randn(800, 4, 1)
        if are_labels:
            outputs = 1 / (1 + np.exp(np.concatenate([scores, -scores], axis=2)))
            evidence = LabelEvidence(of_group[groups], outputs, outputs, n_folds=3)
        else:
            targets = (of_group[groups] + 0.1 * generator.randn(800)).astype(float)
            evidence = TargetEvidence(targets, scores[..., 0], scores[..., 0], 3)
        without.append(held_out_signal(evidence))
        with_groups.append(held_out_signal(evidence, groups))
    assert np.std(without) > 3
    assert 0.6 < np.std(with_groups) < 1.5


@pytest.mark.parametrize("sizes", [[5] * 60, [200] + [2] * 50])
def test_predictable_labels_of_groups_have_signal(sizes):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    assert held_out_signal(make_evidence(1.0), groups) > 4


def test_small_groups_do_not_hide_that_most_rows_are_predicted_wrong():
    labels = np.r_[np.repeat([0, 1], 200), np.repeat(np.arange(14) % 2, 5)]
    groups = np.r_[np.repeat([0, 1], 200), np.repeat(np.arange(2, 16), 5)]
    is_right = np.where(groups < 2, 0.3, 0.7)[:, None, None]
    outputs = np.where(np.eye(2)[labels][:, None] == 1, is_right, 1 - is_right)
    evidence = LabelEvidence(labels, outputs, outputs, n_folds=3)
    assert held_out_signal(evidence) < -10
    assert held_out_signal(evidence, groups) < -10


def test_labels_that_cannot_be_predicted_are_warned_of():
    with pytest.warns(NoSignalWarning, match="standard errors better than chance"):
        warn_of_no_signal(held_out_signal(make_evidence(0.0)))


def test_predictable_labels_are_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_no_signal(held_out_signal(make_evidence(0.5)))


def make_targets(strength, n_samples=300):
    generator = np.random.RandomState(0)
    targets = generator.randn(n_samples)
    held_out = strength * targets[:, None] + generator.randn(n_samples, 4)
    return TargetEvidence(targets, held_out, held_out, n_folds=3)


def test_targets_that_cannot_be_predicted_are_warned_of():
    with pytest.warns(NoSignalWarning, match="labels or targets"):
        warn_of_no_signal(held_out_signal(make_targets(0.0)))
    constant = TargetEvidence(np.arange(9.0), np.ones((9, 2)), np.ones((9, 2)), 3)
    assert held_out_signal(constant) == 0
    assert held_out_signal(make_targets(1.0)) > 10


@pytest.mark.parametrize(
    ("signal", "words"),
    [(1.2, "only 1.2 standard errors better"), (-12.1, "12.1 standard errors worse")],
)
def test_how_far_from_chance_is_said(signal, words):
    with pytest.warns(NoSignalWarning, match=f"targets: {words} than chance"):
        warn_of_no_signal(signal)
