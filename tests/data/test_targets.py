"""Regression targets as networks take them."""

from decimal import Decimal

import numpy as np
import pytest

from dit_clean.data.targets import encode_targets


@pytest.mark.parametrize("share", [0.76, 0.9])
def test_scale_is_about_the_standard_deviation_where_most_targets_are_zero(share):
    line = np.random.RandomState(0).randn(1000)
    y = np.maximum(line - np.quantile(line, share), 0)
    assert encode_targets(y, None).scale == pytest.approx(y.std(), rel=0.3)


def test_gross_errors_do_not_set_the_scale_where_most_targets_are_zero():
    y = np.r_[np.zeros(800), np.linspace(1, 3, 190), np.full(10, 1e9)]
    assert encode_targets(y, None).scale < 4


@pytest.mark.parametrize("other", [Decimal(0), 0, 0.0])
def test_decimals_are_numbers(other):
    """Also where gaps of a column have been filled with a plain number."""
    prices = [other, *(Decimal(f"{i}.25") for i in range(30))]
    targets = encode_targets(np.array(prices, dtype=object), None)
    assert not targets.is_classifier
    assert targets.given.tolist() == [0, *(i + 0.25 for i in range(30))]
    codes = np.array([Decimal(i % 2) for i in range(30)], dtype=object)
    assert encode_targets(codes, None).labels.tolist() == [0, 1]
