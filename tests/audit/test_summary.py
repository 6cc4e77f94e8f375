"""The summary is plain and adds up."""

import json
from dataclasses import replace

import numpy as np
import pytest

from dit_clean.audit import summarize
from dit_clean.audit.notebook import summary_html
from dit_clean.audit.words import caution, expected_wrong, findings
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


def flag(data, rows, classes=None):
    """Return an audit with these rows flagged, and maybe other names of its classes."""
    flagged = np.isin(np.arange(data.n_samples), rows)
    names = data.classes if classes is None else np.array(classes)
    numbers = np.searchsorted(data.classes, data.labels)
    following = names[(numbers + 1) % len(names)]
    return replace(
        data,
        flagged=flagged,
        labels=names[numbers],
        suggested=np.where(flagged, following, names[numbers]),
        classes=names,
    )


def test_one_flag_is_told_in_the_singular_and_makes_no_class_stand_out(data):
    one = flag(data, [0])
    words = " ".join(findings(one, summarize(one)))
    assert "1 of 60 samples (1.7%) is flagged." in words
    assert "Going by suspicion, the flagged one is expected to be wrong." in words
    assert "stands out" not in words
    assert "most frequent suggestion" not in words
    assert "1 of 60 samples is flagged</b> (1.7%); the flagged one is" in (
        summary_html(one)
    )
    unsure = replace(one, suspicion=np.where(one.flagged, 0.3, 0.1))
    assert expected_wrong(unsure) == "the flagged one is expected to be right"
    assert caution(unsure).startswith("The flagged sample is more likely right")
    several = replace(flag(data, [0, 5]), suspicion=np.full(60, 0.4))
    assert expected_wrong(several) == "1 of the 2 flagged is expected to be wrong"


def test_spaces_of_labels_are_marked_in_words(data):
    spaced = flag(data, [0, 3, 6], [" ham", "spam", "spam "])
    words = " ".join(findings(spaced, summarize(spaced)))
    assert "“␣ham” stands out" in words
    assert "“spam” instead of “␣ham” (3 samples)" in words
    assert "By given label: ␣ham: 3." in summary_html(spaced)


def test_a_notebook_says_at_what_suspicion_rows_are_flagged(data):
    text = "at a suspicion of 0.50 or more, judged from epochs 3 to 5 of 6."
    assert text in summary_html(data)


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
