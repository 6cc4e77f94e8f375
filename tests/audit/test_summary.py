"""The summary is plain and adds up."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dit_clean.audit import summarize
from dit_clean.audit.notebook import summary_html
from dit_clean.audit.words import caution, findings
from dit_clean.cli.command import STRICTER
from tests.audit.conftest import (
    make_audit_data,
    make_doubtful_data,
    make_target_data,
)


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
    assert "median suggested change" in findings(targets, summarize(targets))[2]


def test_flags_that_are_more_likely_right_are_called_candidates(data):
    doubtful = make_doubtful_data()
    summary = summarize(doubtful)
    assert np.isclose(summary["n_expected_wrong"], 0.7 + 11 * 0.3)
    assert summary["n_likely_wrong"] == 1
    words = " ".join(findings(doubtful, summary))
    for text in (words, summary_html(doubtful)):
        assert "4 of the 12 flagged" in text
        assert "candidates to look at rather than to relabel" in text
    assert "smaller --contamination" in caution(doubtful, STRICTER)
    assert "suspicion_ &gt;= 0.5" in summary_html(doubtful)
    sure = findings(data, summarize(data))[1]
    assert sure.endswith("of the 12 flagged are expected to be wrong.")
    assert "candidates" not in summary_html(data)
