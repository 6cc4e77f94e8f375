"""Audits of plain arrays: no network is trained here."""

from dataclasses import replace

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from dit_clean.audit import AuditData

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    """Close the figures that a test has drawn."""
    yield
    plt.close("all")


def make_audit_data(n=60, *, classes=("cat", "dog", "eel"), n_epochs=6, X=None):
    """Return an audit in which every fifth row is flagged."""
    generator = np.random.RandomState(0)
    classes = np.unique(classes)
    labels = classes[np.arange(n) % len(classes)]
    flagged = np.arange(n) % 5 == 0
    suspicion = np.where(flagged, 0.6, 0.1) + 0.3 * generator.rand(n)
    following = classes[(np.arange(n) + 1) % len(classes)]
    timeline = generator.normal(size=(n, n_epochs)) - 2 * flagged[:, None]
    if X is None:
        X = pd.DataFrame(
            {"height": generator.rand(n), "city": [f"city {i % 7}" for i in range(n)]},
            index=np.arange(n) + 1000,
        )
    return AuditData(
        X=X,
        labels=labels,
        suggested=np.where(flagged, following, labels),
        suspicion=suspicion,
        flagged=flagged,
        weight=np.where(flagged, 0, 1 - suspicion),
        read_influence=lambda: timeline[:, 2:5].sum(axis=1),
        read_timeline=lambda: timeline,
        margin=0.5 - suspicion,
        window=(2, 5) if n_epochs > 5 else (0, n_epochs),
        curves={
            "in_sample": np.linspace(0.3, 0.9, n_epochs),
            "held_out": np.linspace(0.3, 0.7, n_epochs),
        },
        threshold=0.5,
        contamination=0.18,
        classes=classes,
        index=X.index if hasattr(X, "iloc") else None,
        parameters={"window": "convergence", "random_state": 7, "net": None},
        versions={"dit_clean": "0"},
        seconds={"training": 1.0, "influence": 2.0},
        lr=0.4,
    )


def make_doubtful_data(**options):
    """Return an audit whose flagged rows are more likely right, all but one."""
    data = make_audit_data(**options)
    suspicion = np.where(data.flagged, 0.3, 0.1)
    suspicion[np.argmax(data.flagged)] = 0.7
    return replace(data, suspicion=suspicion)


def make_target_data(n=60):
    """Return the audit of a regression."""
    data = dict(make_audit_data(n).__dict__)
    targets = np.linspace(1000, 9000, n)
    suggested = np.where(data["flagged"], 5000.0, targets)
    changed = {"labels": targets, "suggested": suggested, "classes": None}
    return AuditData(**(data | changed))


@pytest.fixture
def data():
    """Return the audit of three classes in a pandas frame."""
    return make_audit_data()
