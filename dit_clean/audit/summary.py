"""The summary: one plain dict that every view is drawn from."""

from typing import Any

import numpy as np

from dit_clean.audit.data import AuditData, plain
from dit_clean.influence.patterns import pattern_counts, stage_correlation, stage_slices

N_BINS = 40
MEASURES = {
    True: "mean probability of the given label",
    False: "minus the mean absolute residual (scaled, damped)",
}


def summarize(data: AuditData) -> dict[str, Any]:
    """Return counts, estimates, curves and settings as one dict that JSON can hold.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.

    Returns
    -------
    summary : dict
        - task : "classification" or "regression"
        - n_samples, n_flagged, n_kept, fraction_flagged
        - n_expected_wrong : wrong ones to expect among the flagged samples, the sum of
          their suspicion
        - n_likely_wrong : flagged samples with a suspicion of 0.5 or more
        - estimated_error_rate : estimated fraction of wrong labels
        - threshold : suspicion from which on a sample is flagged
        - classes : list of dict, one per given label (classification)
        - given_suggested : labels and counts[given][suggested] (classification)
        - suspicion : bin edges, and counts of kept and of flagged samples
        - patterns : counts of samples and of flagged samples by pattern
        - stage_correlation : rank correlation of influence between stages
        - window, training : epochs that count, and the curves
        - seconds, lr, parameters, seed, versions : how it was run; lr is that of the
          default network, None for a given one
    """
    n_flagged = int(data.flagged.sum())
    return {
        "task": "classification" if data.is_classifier else "regression",
        "n_samples": data.n_samples,
        "n_flagged": n_flagged,
        "n_kept": data.n_samples - n_flagged,
        "fraction_flagged": n_flagged / data.n_samples,
        "n_expected_wrong": data.n_expected_wrong,
        "n_likely_wrong": data.n_likely_wrong,
        "estimated_error_rate": float(data.contamination),
        "threshold": float(data.threshold),
        "classes": by_class(data),
        "given_suggested": _given_suggested(data),
        "suspicion": suspicion_histogram(data),
        "patterns": _by_pattern(data),
        "stage_correlation": stage_agreement(data),
        "window": {
            "start": int(data.window[0]),
            "stop": int(data.window[1]),
            "n_epochs": data.n_epochs,
            "asked_for": plain(data.parameters.get("window")),
        },
        "training": {
            "measure": MEASURES[data.is_classifier],
            **{name: [float(v) for v in curve] for name, curve in data.curves.items()},
        },
        "seconds": {name: float(value) for name, value in data.seconds.items()},
        "lr": plain(data.lr),
        "parameters": {name: plain(value) for name, value in data.parameters.items()},
        "seed": plain(data.parameters.get("random_state")),
        "versions": dict(data.versions),
    }


def by_class(data: AuditData) -> list[dict[str, Any]]:
    """Return counts and rates of every given label, one dict each."""
    if data.classes is None:
        return []
    rows = []
    for label in data.classes:
        given = data.labels == label
        suggested = data.suggested[given & data.flagged]
        names, counts = np.unique(suggested, return_counts=True)
        rows.append(
            {
                "label": plain(label),
                "n_samples": int(given.sum()),
                "n_flagged": int(data.flagged[given].sum()),
                "fraction_flagged": float(data.flagged[given].mean()),
                "estimated_error_rate": float(data.suspicion[given].mean()),
                "most_suggested": plain(names[counts.argmax()]) if len(names) else None,
            }
        )
    return rows


def with_most_flags(rows: list[dict[str, Any]], n: int) -> list[dict[str, Any]]:
    """Return the n labels of `by_class` with most flags, of equals the first."""
    return sorted(rows, key=lambda row: -row["n_flagged"])[:n]


def count_changes(data: AuditData) -> np.ndarray:
    """Return how many samples have given label i and suggested label j.

    Parameters
    ----------
    data : AuditData
        Of a classification problem.

    Returns
    -------
    counts : ndarray of int, shape (n_classes, n_classes)
        Classes in the order of ``data.classes``.
    """
    classes = data.labels[:0] if data.classes is None else data.classes
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    given = np.searchsorted(classes, data.labels)
    np.add.at(counts, (given, np.searchsorted(classes, data.suggested)), 1)
    return counts


def _given_suggested(data: AuditData) -> dict[str, Any] | None:
    if data.classes is None:
        return None
    return {
        "labels": [plain(label) for label in data.classes],
        "counts": count_changes(data).tolist(),
    }


def suspicion_histogram(data: AuditData) -> dict[str, list[Any]]:
    """Return the bounds of the bins, and the kept and flagged samples in each."""
    edges = np.linspace(0, 1, N_BINS + 1)
    parts = {"kept": ~data.flagged, "flagged": data.flagged}
    counts = {
        name: np.histogram(data.suspicion[rows], edges)[0].tolist()
        for name, rows in parts.items()
    }
    return {"edges": edges.round(6).tolist(), **counts}


def _by_pattern(data: AuditData) -> dict[str, dict[str, int]]:
    total = pattern_counts(data.patterns)
    flagged = pattern_counts(data.patterns[data.flagged])
    return {
        name: {"n_samples": total[name], "n_flagged": flagged[name]} for name in total
    }


def stage_agreement(data: AuditData) -> dict[str, Any]:
    """Return the names of the stages of training and their rank correlation."""
    early, middle, late = stage_slices(data.n_epochs)
    stages = {
        "early": early,
        "middle": middle,
        "late": late,
        "window": slice(*data.window),
        "full": slice(0, data.n_epochs),
    }
    matrix = stage_correlation(data.timeline, list(stages.values()))
    return {
        "stages": list(stages),
        "spearman": [[plain(value) for value in row] for row in matrix],
    }
