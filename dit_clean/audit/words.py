"""The findings of an audit in plain words."""

from typing import Any

import numpy as np

from dit_clean.audit.data import AuditData
from dit_clean.audit.text import number, visible_spaces

FEW_SAMPLES, FEW_FLAGS = 300, 3
STRICTER = "suspicion_ >= 0.5, or a smaller contamination="
UNEVEN = 1.5
"""Times the mean flag rate from which on a class is named."""


def findings(data: AuditData, summary: dict[str, Any]) -> list[str]:
    """Return sentences about what was found, and how far to trust it."""
    parts = (_amount, _trust, _classes, _change, _agreement, _size)
    return [sentence for part in parts if (sentence := part(data, summary))]


def is_or_are(n: int) -> str:
    """Return the verb that fits a number."""
    return "is" if n == 1 else "are"


def expected_wrong(data: AuditData) -> str:
    """Return how many of the flagged samples are expected to be wrong, as a clause."""
    n_flagged, n_wrong = int(data.flagged.sum()), round(data.n_expected_wrong)
    if n_flagged == 1:
        return f"the flagged one is expected to be {'wrong' if n_wrong else 'right'}"
    verb = is_or_are(n_wrong)
    return f"{n_wrong:,} of the {n_flagged:,} flagged {verb} expected to be wrong"


def caution(data: AuditData, stricter: str = STRICTER) -> str:
    """Return what flags are good for where most of them are more likely right.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    stricter : str
        What to take for fewer and surer flags.

    Returns
    -------
    text : str
        Empty where most flagged samples are more likely wrong.
    """
    if not data.is_doubtful:
        return ""
    alone = data.flagged.sum() == 1
    who = "The flagged sample is" if alone else "Most flagged samples are"
    return (
        f"{who} more likely right than wrong (suspicion below 0.5): "
        f"{'a candidate' if alone else 'candidates'} to look at rather than to relabel "
        f"or leave out. Stricter: {stricter}."
    )


def _trust(data: AuditData, summary: dict[str, Any]) -> str:
    if not data.flagged.any():
        return ""
    return f"Going by suspicion, {expected_wrong(data)}. {caution(data)}".strip()


def _amount(data: AuditData, summary: dict[str, Any]) -> str:
    what = "labels" if data.is_classifier else "targets"
    flagged, total = summary["n_flagged"], summary["n_samples"]
    text = (
        f"{flagged:,} of {total:,} samples ({flagged / total:.1%}) "
        f"{is_or_are(flagged)} flagged. By the cleaner's own estimate "
        f"{summary['estimated_error_rate']:.1%} of all {what} are wrong."
    )
    asked = data.parameters.get("contamination", "auto")
    return text if asked == "auto" else f"{text} You asked for {asked:.1%} flagged."


def _classes(data: AuditData, summary: dict[str, Any]) -> str:
    rows = [row for row in summary["classes"] if row["n_flagged"] >= FEW_FLAGS]
    if not rows:
        return ""
    worst = max(rows, key=lambda row: row["fraction_flagged"])
    if worst["fraction_flagged"] < UNEVEN * summary["fraction_flagged"]:
        has_few = any(0 < row["n_flagged"] < FEW_FLAGS for row in summary["classes"])
        return "" if has_few else "Flags are spread over the labels, none stands out."
    return (
        f"The label “{visible_spaces(worst['label'])}” stands out: "
        f"{worst['fraction_flagged']:.1%} of its {worst['n_samples']:,} samples are "
        "flagged."
    )


def _change(data: AuditData, summary: dict[str, Any]) -> str:
    if data.classes is None:
        if not data.flagged.any():
            return ""
        shift = np.abs(data.suggested - data.labels)[data.flagged]
        return f"The median suggested change of a target is {number(np.median(shift))}."
    counts = np.array(summary["given_suggested"]["counts"])
    changes = counts - np.diag(np.diag(counts))
    if changes.max() <= 1:
        return ""
    given, suggested = np.unravel_index(changes.argmax(), changes.shape)
    labels = [visible_spaces(label) for label in summary["given_suggested"]["labels"]]
    return (
        f"The most frequent suggestion is “{labels[suggested]}” instead of "
        f"“{labels[given]}” ({changes.max():,} samples)."
    )


def _agreement(data: AuditData, summary: dict[str, Any]) -> str:
    if data.classes is None:
        return ""
    agreement = float((data.margin > 0).mean())
    common = float(np.unique(data.labels, return_counts=True)[1].max())
    text = (
        "Networks that never saw a sample agree with its given label in "
        f"{agreement:.1%} of all cases."
    )
    if agreement > common / data.n_samples:
        return text
    return (
        f"{text} That is no better than always naming the most frequent label: the "
        "networks have learned little from these data, so trust none of the numbers "
        "below before that has changed (more epochs, another network, other columns)."
    )


def _size(data: AuditData, summary: dict[str, Any]) -> str:
    if data.n_samples >= FEW_SAMPLES:
        return ""
    return (
        f"{data.n_samples} samples are few: estimates of rates are rough, the order "
        "of the rows is more reliable than the threshold."
    )
