"""Regression targets as networks take them."""

import numpy as np
import pytest

from dit_clean.targets import encode_targets


@pytest.mark.parametrize("share", [0.6, 0.74, 0.76, 0.9])
def test_scale_is_that_of_the_others_where_most_targets_are_zero(share):
    line = np.linspace(0, 1, 1000)
    y = np.maximum(line - share, 0)
    encoded = encode_targets(y, None).encoded.numpy()
    assert 0.15 < encoded.std() < 0.8


def test_gross_errors_do_not_set_the_scale_where_most_targets_are_zero():
    y = np.r_[np.zeros(800), np.linspace(1, 3, 190), np.full(10, 1e9)]
    assert encode_targets(y, None).scale < 4
