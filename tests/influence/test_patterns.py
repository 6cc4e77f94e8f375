"""The four patterns of influence, and the agreement of stages."""

import numpy as np
import pytest

from dit_clean.influence.patterns import (
    MAX_SHARE,
    MIN_CONSISTENCY,
    PATTERNS,
    influence_patterns,
    pattern_correlation,
    pattern_counts,
    pattern_examples,
    stage_correlation,
    stage_slices,
)


@pytest.mark.parametrize("sign", [-1, 1])
def test_patterns_do_not_depend_on_the_sign_or_unit_of_influence(sign):
    timeline = np.random.RandomState(0).normal(size=(50, 9))
    assert np.array_equal(
        influence_patterns(timeline), influence_patterns(1e-6 * sign * timeline)
    )


def test_patterns_do_not_depend_on_how_much_an_epoch_moves():
    timeline = np.random.RandomState(0).normal(size=(50, 9))
    factors = np.linspace(5, 0.1, 9)
    assert np.array_equal(
        influence_patterns(timeline), influence_patterns(timeline * factors)
    )


def test_every_pattern_is_found():
    rows = np.array(
        [
            [1, 1, 1, 1, 1, 1],
            [9, 8, 1, 0, 0, 0],
            [0, 0, 0, 1, 8, 9],
            [2, -2, 2, -2, 2, -2],
        ]
    )
    assert influence_patterns(rows).tolist() == list(PATTERNS)


@pytest.mark.parametrize("n_epochs", [1, 2, 3])
def test_short_runs_and_unvisited_samples_are_stable(n_epochs):
    timeline = np.zeros((4, n_epochs))
    timeline[0] = 1
    assert set(influence_patterns(timeline)) == {"stable"}


@pytest.mark.parametrize("n_epochs", [3, 4, 5, 30])
def test_stages_cover_training_once(n_epochs):
    covered = [i for stage in stage_slices(n_epochs) for i in range(n_epochs)[stage]]
    assert covered == list(range(n_epochs))


@pytest.mark.parametrize("method", ["spearman", "kendall"])
def test_stages_agree_with_themselves_and_not_with_empty_ones(method):
    timeline = np.random.RandomState(0).normal(size=(40, 6))
    stages = [slice(0, 3), slice(3, 6), slice(0, 0)]
    matrix = stage_correlation(timeline, stages, method=method)
    assert np.allclose(np.diag(matrix)[:2], 1)
    assert np.isnan(matrix[2]).all()
    assert np.array_equal(matrix, matrix.T, equal_nan=True)


def test_thresholds_are_where_the_definition_says():
    # Three equal epochs and unit root mean squares: v is the row itself.
    def pattern_of(*row):
        rows = np.array([row, [2 - v**2 for v in row]])
        rows[1] = np.sqrt(np.clip(rows[1], 0, None))
        return influence_patterns(rows)[0]

    # |sum v| / sum |v| = (3 - 2 w) / 3 for one value -w of three: below 1/2 ...
    assert MIN_CONSISTENCY == MAX_SHARE == 0.5
    assert pattern_of(1.0, 1.0, -0.65) == "stable"
    assert pattern_of(1.0, 1.0, -0.70) == "fluctuating"
    assert pattern_of(1.0, 0.49, 0.49) == "early"
    assert pattern_of(1.0, 0.51, 0.51) == "stable"
    assert pattern_of(0.49, 0.49, 1.0) == "late"


@pytest.mark.parametrize("method", ["spearman", "kendall"])
def test_correlation_is_that_of_scipy_over_each_pattern(method):
    from scipy import stats

    timeline = np.random.RandomState(0).normal(size=(80, 6)) + 0.5
    patterns = influence_patterns(timeline)
    expected = {"spearman": stats.spearmanr, "kendall": stats.kendalltau}[method]
    found = stage_correlation(timeline, method=method)
    assert found.shape == (6, 6)
    assert found[1, 4] == expected(timeline[:, 1], timeline[:, 4])[0]
    by_pattern = pattern_correlation(timeline, patterns, method=method)
    assert list(by_pattern) == list(PATTERNS)
    rows = timeline[patterns == "stable"]
    assert by_pattern["stable"][0, 3] == expected(rows[:, 0], rows[:, 3])[0]


def test_patterns_without_samples_correlate_with_nothing():
    timeline = np.ones((4, 6)) * np.arange(1, 5)[:, None]
    patterns = influence_patterns(timeline)
    by_pattern = pattern_correlation(timeline, patterns)
    assert np.isnan(by_pattern["late"]).all()
    assert np.allclose(by_pattern["stable"], 1)


def test_counts_and_examples_cover_every_pattern():
    timeline = np.random.RandomState(0).normal(size=(200, 9)) + 0.4
    patterns = influence_patterns(timeline)
    counts = pattern_counts(patterns)
    assert sum(counts.values()) == 200
    examples = pattern_examples(timeline, patterns, k=3)
    for name in PATTERNS:
        assert len(examples[name]) == min(3, counts[name])
        assert (patterns[examples[name]] == name).all()
    size = np.abs(timeline).sum(1)
    chosen = size[examples["stable"]].min()
    assert chosen >= np.median(size[patterns == "stable"])


def test_unknown_correlation_is_refused():
    with pytest.raises(ValueError, match="Unknown method 'pearson'"):
        stage_correlation(np.ones((3, 3)), method="pearson")
