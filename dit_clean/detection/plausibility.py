"""Whether what looks wrong is more likely right: too much of it, or merely rare."""

import numpy as np
from scipy.stats import binom

from dit_clean.detection.evidence import TINY
from dit_clean.detection.judgement import Decision
from dit_clean.detection.targets import robust_spread
from dit_clean.warning import warn

MANY_WRONG = 0.3
"""Estimated fraction of wrong regression targets from which on the estimate is the
likelier error."""
MANY_WRONG_LABELS = 0.45
"""The same for labels: higher, because up to 40 % wrong labels can still be found."""
MOST_OF_A_CLASS = 0.5
"""Share of the rows of a class that are flagged, from which on it is asked why."""
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
"""Share of the most frequent regression target that is too large for an error that is
found, and too small for one that is the rule (no rain, no claim)."""
RARELY = 0.02
"""Share of the next one below which targets do not repeat by their nature (counts)."""
RULE = 0.4
"""Share of the most frequent regression target from which on it is the rule."""
LEAST_OTHERS = 0.05
"""Share of all other targets below which these are more likely wrong than rare."""
MANY_OTHERS, ONE_SIDED = 1 / 3, 0.9
"""Share of all other targets that is flagged, and of what is flagged that are others,
from which on these are more likely rare than wrong."""
APART = 2.0
"""Times the largest residual that is kept, from which on flagged ones are no tail."""
SHOWN = 5
"""Classes that a warning names."""


def warn_of_many_wrong_targets(contamination: float) -> bool:
    """Warn if an implausible fraction of regression targets looks wrong.

    Parameters
    ----------
    contamination : float
        Estimated fraction of wrong targets.

    Returns
    -------
    has_warned : bool

    Warns
    -----
    UserWarning
        Right targets are assumed to lie around the prediction, closely and evenly.
    """
    if contamination < MANY_WRONG:
        return False
    warn(
        f"{contamination:.0%} of the targets look wrong. More likely right targets are "
        "skewed, spread unevenly or hardly predictable here: take the logarithm of "
        "positive targets, give better features or another net, or set contamination "
        "to the fraction that you can look through. The order of suspicion_ may still "
        "be good, keep_mask_ and contamination_ are not."
    )
    return True


def warn_of_many_wrong_labels(contamination: float, classes: np.ndarray) -> bool:
    """Warn if an implausible fraction of labels looks wrong.

    Parameters
    ----------
    contamination : float
        Estimated fraction of wrong labels.
    classes : ndarray of shape (n_classes,)
        Labels.

    Returns
    -------
    has_warned : bool

    Warns
    -----
    UserWarning
        Labels are assumed to follow from X, but for the wrong ones.
    """
    if contamination < MANY_WRONG_LABELS:
        return False
    measured = classes.dtype.kind in "iuf" and len(classes) > 2  # noqa: PLR2004
    advice = (
        ' If they measure something, set task="regression", or use CleanedRegressor '
        "in place of CleanedClassifier."
    )
    warn(
        f"{contamination:.0%} of the labels look wrong. More likely labels hardly "
        "follow from X here: give better features or another net, or set contamination "
        f"to the fraction that you can look through.{advice if measured else ''} The "
        "order of suspicion_ may still be good, keep_mask_, suggested_label_ and "
        "contamination_ are not."
    )
    return True


def doubtful_classes(decision: Decision, codes: np.ndarray) -> dict[int, float]:
    """Return the classes whose rows are mostly flagged, and mostly right.

    Parameters
    ----------
    decision : Decision
        On labels.
    codes : ndarray of int, shape (n_samples,)
        Given class indices.

    Returns
    -------
    shares : dict of int to float
        By class index, the share of its rows that is flagged: at least half of them,
        `MIN_FLAGGED` or more, of a mean suspicion below one half.
    """
    n_rows = np.bincount(codes)
    n_flagged = np.bincount(codes, weights=decision.flagged)
    n_wrong = np.bincount(codes, weights=decision.flagged * decision.suspicion)
    doubtful = (
        (n_flagged >= MOST_OF_A_CLASS * n_rows)
        & (n_flagged >= MIN_FLAGGED)
        & (n_wrong < n_flagged / 2)
    )
    return {
        int(code): float(n_flagged[code] / n_rows[code])
        for code in np.flatnonzero(doubtful)
    }


def warn_of_doubtful_classes(
    decision: Decision, codes: np.ndarray, classes: np.ndarray
) -> None:
    """Warn if most rows of a class are flagged, though each is more likely right.

    Parameters
    ----------
    decision : Decision
        On labels.
    codes : ndarray of int, shape (n_samples,)
        Given class indices.
    classes : ndarray of shape (n_classes,)
        Labels.

    Warns
    -----
    UserWarning
        Of events that are rare wherever they happen each looks wrong.
    """
    shares = doubtful_classes(decision, codes)
    if not shares:
        return
    named = [f"{classes.tolist()[code]!r} ({shares[code]:.0%})" for code in shares]
    more = f" and {len(named) - SHOWN} more" if len(named) > SHOWN else ""
    warn(
        f"Most rows of a class are flagged: {', '.join(named[:SHOWN])}{more}; by their "
        "suspicion, more of them are right than wrong. Events that are rare wherever "
        "they happen look like this. Without these rows a model takes the class for "
        "rarer than it is, and its probabilities are too low. Look at them first, "
        'weigh with weighting="soft-balanced", or set contamination to the fraction '
        "that you can look through."
    )


def warn_of_shifted_predictions(residual: np.ndarray, targets: np.ndarray) -> bool:
    """Warn if the networks predict nearly all regression targets too low, or too high.

    Parameters
    ----------
    residual : ndarray of shape (n_samples,)
        Targets minus predictions.
    targets : ndarray of shape (n_samples,)
        In the same unit.

    Returns
    -------
    has_warned : bool

    Warns
    -----
    UserWarning
        Right targets are assumed to lie around the prediction.
    """
    shift = float(np.median(residual))
    if abs(shift) <= SHIFTED * robust_spread(targets):
        return False
    side = "above" if shift > 0 else "below"
    warn(
        f"The median target lies {abs(shift):.3g} {side} its prediction, where half of "
        f"the targets lie within {robust_spread(targets):.3g}: the networks have not "
        "learned where targets lie, so that flags and estimated contamination say "
        "little. Scale the targets, to a median of 0 and a spread of 1, train longer, "
        "or take a loss that gross errors, or the long tail of skewed targets, cannot "
        "carry away (torch.nn.HuberLoss); of skewed ones take the logarithm."
    )
    return True


def warn_of_repeated_target(targets: np.ndarray) -> None:
    """Warn if many regression targets are one value, where others do not repeat.

    Parameters
    ----------
    targets : ndarray of shape (n_samples,)
        As given.

    Warns
    -----
    UserWarning
        Names the value.
    """
    values, counts = np.unique(targets, return_counts=True)
    others, most = np.sort(counts)[:-1], counts.max()
    least, greatest = (share * len(targets) for share in REPEATED)
    if least <= most < greatest and others.max() < RARELY * len(targets):
        value = values[counts.argmax()]
        warn(
            f"{most / len(targets):.0%} of the targets are {value:g}. "
            "If that stands for something else (not measured, cut off), leave these "
            "rows out before fitting: wrong targets that are so many of one value are "
            "not found, and others hardly beside them."
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
    The skewness of what is kept is Kelly's, (q90 + q10 - 2 q50) / (q90 - q10), on which
    the few errors that pass have little hold.
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
    low, center, high = np.percentile(kept, [10, 50, 90])
    skewness = (high + low - 2 * center) / max(high - low, TINY)
    # Of even residuals it has a standard error of about 1 / sqrt(n_samples).
    return bool(skewness > max(SKEWED, 3 / np.sqrt(len(residual))))


def warn_of_rare_amounts(decision: Decision, targets: np.ndarray) -> bool:
    """Warn if many targets are flagged that differ from what is the rule.

    Parameters
    ----------
    decision : Decision
        On targets.
    targets : ndarray of shape (n_samples,)
        As given.

    Returns
    -------
    has_warned : bool

    Warns
    -----
    UserWarning
        Of amounts that are rare wherever they occur each looks wrong.
    """
    values, counts = np.unique(targets, return_counts=True)
    rule, share = values[counts.argmax()].item(), counts.max() / len(targets)
    flagged, is_other = decision.flagged, targets != rule
    n_flagged, n_others = flagged.sum(), (flagged & is_other).sum()
    if (
        share < RULE
        or n_flagged < MIN_FLAGGED
        or n_others < ONE_SIDED * n_flagged
        or n_others < MANY_OTHERS * is_other.sum()
        or is_other.mean() < LEAST_OTHERS
    ):
        return False
    warn(
        f"{share:.0%} of the targets are {rule}, and of the others "
        f"{n_others / is_other.sum():.0%} are flagged. Amounts that are rare wherever "
        "they occur (claims, rain, sales) look like this, and without them a model "
        "predicts far too little. Clean such data in two steps, whether there is an "
        f"amount (the labels y != {rule}) and how much (the logarithm of y, of the "
        "rows with one); or set contamination to the fraction that you can look "
        "through."
    )
    return True


def warn_of_skewed_targets(decision: Decision, residual: np.ndarray) -> None:
    """Warn if flagged regression targets look like the long tail of right ones.

    Parameters
    ----------
    decision : Decision
        On targets.
    residual : ndarray of shape (n_samples,)
        Targets minus predictions.

    Warns
    -----
    UserWarning
        Right targets are assumed to lie as far above the prediction as below it.
    """
    if not are_skewed(residual, decision.flagged):
        return
    side = "above" if np.median(residual[decision.flagged]) > 0 else "below"
    warn(
        f"Nearly all of the {decision.flagged.sum()} flagged targets lie {side} the "
        "prediction, and those that are kept are skewed to the same side: many of the "
        "flagged may be the long tail of right targets. Without them a model predicts "
        "too close to the other side. Take the logarithm of positive targets, set "
        "contamination to the fraction that you can look through, or look at them "
        "first."
    )
