"""How influence is spread over training: four patterns, and how far stages agree."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import kendalltau, spearmanr

PATTERNS = ("stable", "early", "late", "fluctuating")
MIN_CONSISTENCY = 0.5
"""Below it more than a quarter of a sample's influence points against the rest."""
MAX_SHARE = 0.5
"""Above it more than half of a sample's influence lies in one third of training."""
N_STAGES = 3
CORRELATIONS = {"spearman": spearmanr, "kendall": kendalltau}


def influence_patterns(
    timeline: np.ndarray,
    *,
    min_consistency: float = MIN_CONSISTENCY,
    max_share: float = MAX_SHARE,
) -> np.ndarray:
    """Name how each sample's influence is spread over training.

    The four patterns of the Dynamic Influence Tracker [1]_. The paper tells them apart
    by eye; the definition and the two thresholds here are this package's own. Each
    epoch is first divided by its root mean square over samples, so that the learning
    rate and the length of an epoch do not matter. With v the values of a sample:

    - "fluctuating": ``|sum v| / sum |v| < min_consistency``, it helps in some epochs
      and harms in others;
    - "early": more than `max_share` of ``sum |v|`` lies in the first third;
    - "late": more than `max_share` of it lies in the last third;
    - "stable": all others, samples without influence too.

    Parameters
    ----------
    timeline : ndarray of shape (n_samples, n_epochs)
        Influence of each sample over each epoch.
    min_consistency : float, default=0.5
        In [0, 1]; 0.5 allows a quarter of ``sum |v|`` to have the other sign.
    max_share : float, default=0.5
        In [1/3, 1]; an even spread has 1/3 in each third.

    Returns
    -------
    patterns : ndarray of str, shape (n_samples,)
        Entries of `PATTERNS`.

    References
    ----------
    .. [1] "Dynamic Influence Tracker: Measuring Time-Varying Sample Influence During
       Training", arXiv 2502.10793.

    Examples
    --------
    >>> ones = np.ones(6)
    >>> turning = np.array([1, -1, 1, -1, 1, -1])
    >>> fading = np.array([9, 4, 1, 0, 0, 0])
    >>> influence_patterns(np.array([ones, turning, fading, fading[::-1]])).tolist()
    ['stable', 'fluctuating', 'early', 'late']
    """
    values = _scaled(timeline)
    size = np.abs(values)
    total = size.sum(axis=1)
    visited = total > 0
    total = np.where(visited, total, 1.0)
    first, *_, last = stage_slices(timeline.shape[1])
    patterns = np.full(len(timeline), "stable", dtype="<U11")
    patterns[size[:, last].sum(axis=1) > max_share * total] = "late"
    patterns[size[:, first].sum(axis=1) > max_share * total] = "early"
    turns = np.abs(values.sum(axis=1)) < min_consistency * total
    patterns[visited & turns] = "fluctuating"
    return patterns


def pattern_counts(patterns: np.ndarray) -> dict[str, int]:
    """Return the number of samples of each pattern, those without samples too."""
    return {name: int((patterns == name).sum()) for name in PATTERNS}


def pattern_examples(
    timeline: np.ndarray, patterns: np.ndarray, k: int = 5
) -> dict[str, np.ndarray]:
    """Return the rows that show each pattern best: those with the most influence.

    Parameters
    ----------
    timeline : ndarray of shape (n_samples, n_epochs)
        Influence of each sample over each epoch.
    patterns : ndarray of str, shape (n_samples,)
        From `influence_patterns`.
    k : int, default=5
        Rows wanted of each pattern; fewer where there are fewer.

    Returns
    -------
    examples : dict of str to ndarray of int
        Rows by pattern, the largest sum of absolute scaled influence first.
    """
    size = np.abs(_scaled(timeline)).sum(axis=1)
    order = np.argsort(-size, kind="stable")
    return {name: order[patterns[order] == name][:k] for name in PATTERNS}


def stage_slices(n_epochs: int) -> tuple[slice, ...]:
    """Return the early, middle and late third of training.

    Shorter runs than three epochs are one stage, and no pattern but "stable" and
    "fluctuating" can be told.
    """
    if n_epochs < N_STAGES:
        return slice(0, 0), slice(0, n_epochs), slice(0, 0)
    bounds = [stage * n_epochs // N_STAGES for stage in range(N_STAGES + 1)]
    return tuple(map(slice, bounds[:-1], bounds[1:]))


def stage_correlation(
    timeline: np.ndarray,
    stages: Sequence[slice] | None = None,
    *,
    method: str = "spearman",
) -> np.ndarray:
    """Return how far stages of training agree on who harms and who helps.

    Parameters
    ----------
    timeline : ndarray of shape (n_samples, n_windows)
        Influence of each sample over each window, for example each epoch.
    stages : sequence of slice, optional
        Ranges of columns; influence is summed over each. By default each column is a
        stage.
    method : {"spearman", "kendall"}, default="spearman"
        Rank correlation.

    Returns
    -------
    correlation : ndarray of shape (n_stages, n_stages)
        In [-1, 1]; NaN where a stage has the same influence for all samples.

    Examples
    --------
    >>> timeline = np.array([[1, 3, 1], [2, 2, 2], [3, 1, 3]])
    >>> stage_correlation(timeline, [slice(0, 1), slice(1, 2)]).round(2).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    if method not in CORRELATIONS:
        known = ", ".join(CORRELATIONS)
        raise ValueError(f"Unknown method {method!r}. Known: {known}.")
    if stages is None:
        stages = [slice(column, column + 1) for column in range(timeline.shape[1])]
    correlate = CORRELATIONS[method]
    totals = [timeline[:, stage].sum(axis=1, dtype=np.float64) for stage in stages]
    varies = [len(total) > 1 and bool(np.ptp(total) > 0) for total in totals]
    matrix = np.full((len(stages), len(stages)), np.nan)
    for i, first in enumerate(totals):
        for j in range(i, len(totals)):
            if varies[i] and varies[j]:
                matrix[i, j] = matrix[j, i] = correlate(first, totals[j]).statistic
    return matrix


def pattern_correlation(
    timeline: np.ndarray,
    patterns: np.ndarray,
    stages: Sequence[slice] | None = None,
    *,
    method: str = "spearman",
) -> dict[str, np.ndarray]:
    """Return `stage_correlation` over the samples of each pattern alone.

    Parameters
    ----------
    timeline, stages, method
        As in `stage_correlation`.
    patterns : ndarray of str, shape (n_samples,)
        From `influence_patterns`.

    Returns
    -------
    correlation : dict of str to ndarray of shape (n_stages, n_stages)
        By pattern; NaN for patterns with fewer than two samples.
    """
    return {
        name: stage_correlation(timeline[patterns == name], stages, method=method)
        for name in PATTERNS
    }


def _scaled(timeline: np.ndarray) -> np.ndarray:
    """Return the timeline with root mean square 1 in every epoch that has influence."""
    values = np.asarray(timeline, dtype=np.float64)
    scale = np.sqrt((values**2).mean(axis=0))
    return values / np.where(scale > 0, scale, 1.0)
