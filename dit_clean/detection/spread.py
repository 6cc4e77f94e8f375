"""How far regression targets are spread, and right ones scatter around predictions."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import median_filter
from scipy.stats import t as student

Expect = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""``expect(values, prediction, counts)`` -> what other rows that count say of each."""
TAIL = 6
"""Degrees of freedom of the residuals of right targets, and of all targets: heavier
tails than normal."""
N_NEIGHBORS = 150
"""Samples of similar prediction that the local spread of residuals is read off."""
ROUNDING = 8
"""Units in the last place that two targets of one value may be apart by rounding."""
LEAST = 0.1
"""Median residuals below which a residual is as good as none."""


def robust_spread(targets: np.ndarray) -> float:
    """Return the interquartile range, or what stands for it where that is zero.

    Where most targets are equal (rain, claims, sales: mostly zero) it is twice the
    median distance of the others from them, times the root of the share of these: as
    of a standard deviation, and no gross error carries it away.
    """
    low, center, high = np.percentile(targets, [25, 50, 75])
    if low < high:
        return float(high - low)
    distance = np.abs(targets - center)
    others = distance[distance > 0]
    if len(others) == 0:
        return 0.0
    return float(2 * np.median(others) * np.sqrt(len(others) / len(targets)))


def rounding_spread(targets: np.ndarray) -> float:
    """Return the scale of residuals that comes of rounding alone.

    Of ratings and other targets that are a step apart, right ones lie up to half of it
    from what is predicted, and half of them a quarter or more. The step is the median
    distance from the next other value: of all targets, or of all values where that is
    less, for one value may be the rule (no rain) and the others far away.
    """
    values = np.unique(targets)
    with np.errstate(over="ignore"):  # of gross errors
        rounding = ROUNDING * np.spacing(np.abs(values))
        values = values[np.diff(values, prepend=-np.inf) > rounding]
        gaps = np.diff(values, prepend=-np.inf, append=np.inf)
    nearest = np.minimum(gaps[:-1], gaps[1:])
    of_targets = nearest[np.searchsorted(values, targets, side="right") - 1]
    steps = [np.quantile(part, 0.5, method="lower") for part in (nearest, of_targets)]
    return min(steps) / 4 / student.ppf(0.75, TAIL) if np.isfinite(min(steps)) else 0.0


def local_spread(
    residual: np.ndarray, prediction: np.ndarray, locality: float
) -> np.ndarray:
    """Return the scale of residuals among samples of similar prediction.

    A geometric mean of their median absolute residual and that of all samples: from
    one noise level for all (locality 0) to one for each neighborhood (1).
    """
    order = np.argsort(prediction, kind="stable")
    unit = np.abs(residual).mean() or 1.0
    size, n_neighbors = np.abs(residual) / unit, min(N_NEIGHBORS, len(residual))
    smoothed = median_filter(size[order], size=n_neighbors, mode="nearest")
    spread = np.empty_like(smoothed, dtype=np.float64)
    spread[order] = smoothed
    overall = np.median(size) + np.finfo(np.float32).eps  # half of them may be 0
    local = np.maximum(spread, 0.01 * overall) / overall
    return unit * overall * local**locality / student.ppf(0.75, TAIL)


def expected_spread(
    residual: np.ndarray, prediction: np.ndarray, expect: Expect, is_right: np.ndarray
) -> np.ndarray:
    """Return the scale of residuals of right targets among samples of similar inputs.

    By what the logarithm of a residual is expected to be by those of right ones.
    """
    size = np.abs(residual)
    unit = np.median(size) or size.mean() or 1.0
    expected = expect(np.log(np.maximum(size / unit, LEAST)), prediction, is_right)
    local = np.exp(expected - np.median(expected))
    return unit * local / student.ppf(0.75, TAIL)
