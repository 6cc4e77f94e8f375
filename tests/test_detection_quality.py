"""Smoke test on real data: planted wrong labels are found."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import average_precision_score

from dit_clean import InfluenceCleaner


@pytest.mark.slow
def test_wrong_digits_are_found():
    """20 % wrong labels: half symmetric, half pair flips."""
    X, y = load_digits(return_X_y=True)
    generator = np.random.RandomState(0)
    wrong = generator.permutation(len(y))[: len(y) // 5]
    symmetric, pairs = np.array_split(wrong, 2)
    given = y.copy()
    given[symmetric] = (y[symmetric] + generator.randint(1, 10, len(symmetric))) % 10
    given[pairs] = (y[pairs] + 1) % 10
    cleaner = InfluenceCleaner(random_state=0).fit(X, given)
    is_wrong = given != y
    assert average_precision_score(is_wrong, cleaner.suspicion_) > 0.95
    flagged = ~cleaner.keep_mask_
    assert is_wrong[flagged].mean() > 0.9
    assert flagged[is_wrong].mean() > 0.9
    assert (cleaner.suggested_label_ == y).mean() > 0.95
    assert abs(cleaner.contamination_ - 0.2) < 0.05
    assert average_precision_score(is_wrong, -cleaner.influence_) > 0.6


@pytest.mark.slow
def test_noise_matrix_tells_which_digits_are_mistaken_for_which():
    X, y = load_digits(return_X_y=True)
    generator = np.random.RandomState(0)
    is_wrong = (y == 7) & (generator.rand(len(y)) < 0.3)
    given = np.where(is_wrong, 1, y)
    names = np.array(list("abcdefghij"))
    cleaner = InfluenceCleaner(random_state=0).fit(X, names[given])
    counts = np.histogram2d(y, given, bins=np.arange(11) - 0.5)[0]
    actual = counts / counts.sum(axis=1, keepdims=True)
    for scoring in ("combined", "margin"):
        cleaner.set_params(scoring=scoring).rescore()
        errors = np.abs(cleaner.noise_matrix_ - actual)
        assert errors[7].max() < 0.1
        assert np.delete(errors, 7, axis=0).max() < 0.02
        assert np.allclose(cleaner.noise_matrix_.sum(axis=1), 1)


@pytest.mark.slow
def test_gross_errors_of_regression_targets_are_found():
    X, y = load_diabetes(return_X_y=True)
    generator = np.random.RandomState(0)
    wrong = generator.permutation(len(y))[:40]
    y[wrong] += generator.choice([-400, 400], 40)
    cleaner = InfluenceCleaner(random_state=0).fit(X, y)
    is_wrong = np.isin(np.arange(len(y)), wrong)
    assert average_precision_score(is_wrong, cleaner.suspicion_) > 0.95
    assert (~cleaner.keep_mask_)[is_wrong].mean() > 0.9
