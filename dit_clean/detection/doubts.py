"""Whether what looks wrong is more likely right: too much of it, or merely rare.

Each doubt is a message, empty where there is none.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import binom

from dit_clean.detection.evidence import TINY
from dit_clean.detection.judgement import Decision
from dit_clean.detection.spread import robust_spread

MANY_WRONG = 0.3
"""Estimated fraction of wrong regression targets from which on the estimate is the
likelier error."""
MANY_WRONG_LABELS = 0.45
"""The same for labels: higher, because up to 40 % wrong labels can still be found."""
MANY_OF_A_CLASS = 0.3
"""Share of the rows of a class that are flagged, from which on they may be doubted."""
MIN_FLAGGED = 10
"""Flagged rows below which no class or side is judged."""
CHANCE = 1e-3
"""Significance level of the sign test: above it, one-sidedness may be chance."""
SKEWED = 0.15
"""Skewness of the residuals that are kept from which on right targets are skewed:
lognormal ones have 0.2 at a standard deviation of 0.3 of their logarithms, exponential
ones 0.5."""
SHIFTED = 0.4
"""Distance of residuals from zero, in interquartile ranges of the targets, from which
on networks have not learned where targets lie: half of a standard deviation."""
REPEATED = (0.2, 0.5)
"""Share of the most frequent regression target: from the first on too frequent for an
error that is found, from the second on normal (no rain, no claim)."""
RARELY = 0.02
"""Share of the next one below which targets do not repeat by their nature (counts)."""
RULE = 0.4
"""Share of the most frequent regression target from which on it is the rule."""
LEAST_OTHERS = 0.05
"""Share of all other targets below which these are more likely wrong than rare."""
MANY_OTHERS, ONE_SIDED = 1 / 3, 0.9
"""Share of all other targets that is flagged, and of what is flagged that are others,
from which on these are more likely rare than wrong."""
MOSTLY = 0.5
"""Share of the most frequent regression target from which on skewed residuals come of
amounts that nobody could foresee."""
APART = 2.0
"""Times the largest residual that is kept, from which on flagged ones are no tail."""
TOO_SMALL, SMALL, APART_SHARE = 1 / 30, 1 / 6, 2 / 3
"""Part of the prediction below which positive targets may be too small by a factor; if
they are, they are most of those below the second part, which a wide spread fills."""
SHOWN = 5
"""Classes that a warning names."""


def doubts_about_labels(
    decision: Decision, codes: np.ndarray, classes: np.ndarray, *, has_signal: bool
) -> Iterator[str]:
    """Yield what speaks against the flags of a decision on labels.

    Parameters
    ----------
    decision : Decision
        With estimated contamination.
    codes : ndarray of int, shape (n_samples,)
        Given class indices.
    classes : ndarray of shape (n_classes,)
        Labels.
    has_signal : bool
        Whether held-out labels are predicted; if not, that has been said and suffices.
    """
    if has_signal:
        many = _many_wrong_labels(decision.contamination, classes)
        yield many or _doubtful_classes(decision, codes, classes)


def doubts_about_targets(
    decision: Decision, targets: np.ndarray, residual: np.ndarray, *, has_signal: bool
) -> Iterator[str]:
    """Yield what speaks against the flags of a decision on regression targets.

    Parameters
    ----------
    decision : Decision
        With estimated contamination.
    targets : ndarray of shape (n_samples,)
        As given.
    residual : ndarray of shape (n_samples,)
        Targets less predictions, in the same unit.
    has_signal : bool
        Whether held-out targets are predicted; if not, that has been said.
    """
    yield _repeated_target(targets)
    doubt = _shifted_predictions(residual, targets)
    doubt = doubt or _many_wrong_targets(decision.contamination)
    if has_signal:
        doubt = doubt or _rare_amounts(decision, targets, residual)
        doubt = doubt or _too_small_by_a_factor(decision, targets, residual)
        doubt = doubt or _skewed_targets(decision, residual)
    yield doubt


def _many_wrong_targets(contamination: float) -> str:
    """Doubt that so many are wrong: right ones may not lie closely and evenly."""
    if contamination < MANY_WRONG:
        return ""
    return (
        f"{contamination:.0%} of the targets look wrong. More likely right targets are "
        "skewed, spread unevenly or hardly predictable here: take the logarithm of "
        "positive targets, give better features or another net, or set contamination "
        "to the fraction that you can look through. The order of suspicion_ may still "
        "be good, keep_mask_ and contamination_ are not."
    )


def _many_wrong_labels(contamination: float, classes: np.ndarray) -> str:
    """Doubt that so many are wrong: labels may hardly follow from X."""
    if contamination < MANY_WRONG_LABELS:
        return ""
    measured = classes.dtype.kind in "iuf" and len(classes) > 2  # noqa: PLR2004
    advice = (
        ' If they measure something, set task="regression", or use CleanedRegressor '
        "in place of CleanedClassifier."
    )
    return (
        f"{contamination:.0%} of the labels look wrong. More likely labels hardly "
        "follow from X here: give better features or another net, or set contamination "
        f"to the fraction that you can look through.{advice if measured else ''} The "
        "order of suspicion_ may still be good, keep_mask_, suggested_label_ and "
        "contamination_ are not."
    )


def _doubtful_classes(
    decision: Decision, codes: np.ndarray, classes: np.ndarray
) -> str:
    """Doubt that much of a class is wrong: where classes overlap it looks so.

    So many of its rows, and `MIN_FLAGGED`, are flagged, and their mean suspicion is
    below one half. (Of classes with wrong labels it was above 0.67 in eleven of twelve
    fits to digits and Adult, of Adult's classes without any 0.30 to 0.33.)
    """
    n_rows = np.bincount(codes)
    n_flagged = np.bincount(codes, weights=decision.flagged)
    n_wrong = np.bincount(codes, weights=decision.flagged * decision.suspicion)
    doubtful = (
        (n_flagged >= MANY_OF_A_CLASS * n_rows)
        & (n_flagged >= MIN_FLAGGED)
        & (n_wrong < n_flagged / 2)
    )
    if not doubtful.any():
        return ""
    names, shares = classes.tolist(), n_flagged / np.maximum(n_rows, 1)
    named = [f"{names[k]!r} ({shares[k]:.0%})" for k in np.flatnonzero(doubtful)]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    return (
        f"Many rows of a class are flagged: {', '.join(named[:SHOWN])}{more}; by their "
        "suspicion, more of them are right than wrong. Classes that overlap look like "
        "this, and events that are rare wherever they happen. Without these rows a "
        "model takes the class for rarer than it is, and its probabilities are too "
        "low. Look at them first, "
        'weigh with weighting="soft-balanced", or set contamination to the fraction '
        "that you can look through."
    )


def _shifted_predictions(residual: np.ndarray, targets: np.ndarray) -> str:
    """Doubt that networks know where targets lie: nearly all are too low, or high."""
    shift, spread = float(np.median(residual)), robust_spread(targets)
    if abs(shift) <= SHIFTED * spread:
        return ""
    side = "above" if shift > 0 else "below"
    return (
        f"The median target lies {abs(shift):.3g} {side} its prediction, where half of "
        f"the targets lie within {spread:.3g}: the networks have not "
        "learned where targets lie, so that flags and estimated contamination say "
        "little. Scale the targets, to a median of 0 and a spread of 1, train longer, "
        "or take a loss that gross errors, or the long tail of skewed targets, cannot "
        "carry away (torch.nn.HuberLoss); of skewed ones take the logarithm."
    )


def _repeated_target(targets: np.ndarray) -> str:
    """Doubt that a frequent value is meant, where others do not repeat."""
    values, counts = np.unique(targets, return_counts=True)
    others, most = np.sort(counts)[:-1], counts.max()
    least, greatest = (share * len(targets) for share in REPEATED)
    if not least <= most < greatest or others.max() >= RARELY * len(targets):
        return ""
    return (
        f"{most / len(targets):.0%} of the targets are {values[counts.argmax()]:g}. "
        "If that stands for something else (not measured, cut off), leave these "
        "rows out before fitting: wrong targets that are so many of one value are "
        "not found, and others hardly beside them."
    )


def _rare_amounts(decision: Decision, targets: np.ndarray, residual: np.ndarray) -> str:
    """Doubt that most of what differs from the rule is wrong: rare amounts look so.

    A third of them is flagged, and hardly anything else; or they are a half of all at
    most, and the residuals that are kept lean to their side: where inputs tell who has
    an amount these are even, and what is flagged is wrong.
    """
    values, counts = np.unique(targets, return_counts=True)
    rule, share = values[counts.argmax()].item(), counts.max() / len(targets)
    flagged, is_other = decision.flagged, targets != rule
    n_flagged, n_others = flagged.sum(), (flagged & is_other).sum()
    if share < RULE or n_others < MIN_FLAGGED or is_other.mean() < LEAST_OTHERS:
        return ""
    side = 1 if np.median(targets[is_other]) > rule else -1
    are_many = n_others >= max(ONE_SIDED * n_flagged, MANY_OTHERS * is_other.sum())
    if not are_many and (share < MOSTLY or not _leans(side * residual[~flagged])):
        return ""
    return (
        f"{share:.0%} of the targets are {rule}, and of the others "
        f"{n_others / is_other.sum():.0%} are flagged. Amounts that are rare wherever "
        "they occur (claims, rain, sales) look like this, and without them a model "
        "predicts too little. Clean such data in two steps, whether there is an "
        f"amount (the labels y != {rule}) and how much (the logarithm of y, of the "
        "rows with one); or set contamination to the fraction that you can look "
        "through."
    )


def _too_small_by_a_factor(
    decision: Decision, targets: np.ndarray, residual: np.ndarray
) -> str:
    """Doubt that what is kept is right: on this scale small amounts look alike."""
    prediction, kept = targets - residual, ~decision.flagged
    if targets.min() <= 0:
        return ""
    n_wrong, n_small = (
        np.sum(kept & (targets < part * prediction)) for part in (TOO_SMALL, SMALL)
    )
    if n_wrong < MIN_FLAGGED or n_wrong < APART_SHARE * n_small:
        return ""
    return (
        f"{n_wrong} targets lie below a thirtieth of their prediction, apart from "
        "nearly all others, and are not flagged: beside large amounts those that are "
        "too small by a factor, such as kilograms given as tons, differ little from "
        "right ones. Their logarithms differ: take the logarithm of y."
    )


def _skewed_targets(decision: Decision, residual: np.ndarray) -> str:
    """Doubt that one side of the prediction is wrong: right targets may be skewed."""
    if not are_skewed(residual, decision.flagged):
        return ""
    flagged = residual[decision.flagged]
    side, sign = ("above", 1) if np.median(flagged) > 0 else ("below", -1)
    return (
        f"{(sign * flagged > 0).mean():.0%} of the {len(flagged)} flagged targets lie "
        f"{side} the "
        "prediction, and those that are kept are skewed to the same side: many of the "
        "flagged may be the long tail of right targets. Without them a model predicts "
        "too close to the other side. Take the logarithm of positive targets, set "
        "contamination to the fraction that you can look through, or look at them "
        "first."
    )


def are_skewed(residual: np.ndarray, flagged: np.ndarray) -> bool:
    """Tell whether flagged targets look like the long tail of right ones.

    They lie to one side, begin where those end that are kept, and these lean to the
    same side. With gross errors to one side the first holds, the other two seldom.

    Parameters
    ----------
    residual : ndarray of shape (n_samples,)
        Targets minus predictions.
    flagged : ndarray of bool, shape (n_samples,)
        True = to be removed.

    Returns
    -------
    skewed : bool

    Notes
    -----
    The skewness of what is kept is Kelly's, (q90 + q10 - 2 q50) / (q90 - q10), which
    the few errors that pass hardly move.
    """
    n_flagged, n_above = flagged.sum(), (residual[flagged] > 0).sum()
    n_larger = max(n_above, n_flagged - n_above)
    by_chance = binom.sf(n_larger - 1, n_flagged, 0.5)
    if n_flagged < MIN_FLAGGED or by_chance > CHANCE:
        return False
    side = 1 if n_above == n_larger else -1
    kept = side * residual[~flagged]
    if np.median(side * residual[flagged]) > APART * kept.max():
        return False
    return _leans(kept)


def _leans(residual: np.ndarray) -> bool:
    """Tell whether residuals have a long tail above; see `are_skewed`."""
    low, center, high = np.percentile(residual, [10, 50, 90])
    skewness = (high + low - 2 * center) / max(high - low, TINY)
    # Of even residuals it has a standard error of about 1 / sqrt(n_samples).
    return bool(skewness > max(SKEWED, 3 / np.sqrt(len(residual))))
