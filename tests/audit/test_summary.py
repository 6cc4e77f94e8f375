"""The summary is plain and adds up."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dit_clean.audit import summarize
from dit_clean.audit.words import findings
from tests.audit.conftest import make_audit_data, make_target_data


@pytest.mark.parametrize("make", [make_audit_data, make_target_data])
def test_summary_survives_json(make):
    summary = summarize(make())
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_counts_add_up(data):
    summary = summarize(data)
    counts = np.array(summary["given_suggested"]["counts"])
    histogram = summary["suspicion"]
    assert summary["n_flagged"] == 12 == counts.sum() - np.trace(counts)
    assert sum(row["n_samples"] for row in summary["classes"]) == 60
    assert sum(row["n_flagged"] for row in summary["classes"]) == 12
    assert sum(histogram["flagged"]) == 12
    assert sum(histogram["kept"]) == 48
    assert sum(row["n_samples"] for row in summary["patterns"].values()) == 60
    assert summary["classes"][0]["most_suggested"] == "dog"


def test_stages_without_influence_are_unknown_not_nan():
    summary = summarize(make_audit_data(n_epochs=2))
    assert summary["stage_correlation"]["spearman"][0][0] is None


def test_findings_name_the_class_that_stands_out(data):
    labels = np.array(["rare"] * 12 + ["common"] * 48)
    flagged = np.arange(60) < 10
    suggested = np.where(flagged, "common", labels)
    data = replace(
        data,
        labels=labels,
        flagged=flagged,
        suggested=suggested,
        classes=np.unique(labels),
        margin=np.full(60, -1.0),
    )
    text = " ".join(findings(data, summarize(data)))
    assert "“rare” stands out: 83.3%" in text
    assert "“common” instead of “rare” (10 samples)" in text
    assert "learned little" in text
    assert "60 samples are few" in text


def test_findings_without_flags_say_so_shortly(data):
    data = replace(data, flagged=np.zeros(60, bool), suggested=data.labels)
    assert findings(data, summarize(data))[0].startswith("0 of 60 samples (0.0%)")
    targets = make_target_data()
    assert "median suggested change" in findings(targets, summarize(targets))[1]
