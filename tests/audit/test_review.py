"""Verdicts of a person become labels."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest

from dit_clean.audit import audit_table, corrected_labels
from dit_clean.audit.report import table_payload
from tests.audit.conftest import make_audit_data, make_target_data


def make_review(data, verdicts, corrections=None):
    table = audit_table(data, sort="suspicion")
    table["verdict"] = table["row"].map(verdicts)
    if corrections:
        table["corrected_label"] = table["row"].map(corrections)
    return table


def test_wrong_rows_take_the_suggestion_and_right_rows_stay(data):
    labels = corrected_labels(data, make_review(data, {0: "wrong", 5: "right"}))
    assert labels[0] == data.suggested[0] != data.labels[0]
    assert np.array_equal(labels[1:], data.labels[1:])
    assert labels.dtype == data.labels.dtype


def test_a_correction_beats_the_suggestion(data):
    review = make_review(data, {0: " Wrong ", 1: "wrong"}, {0: "eel", 1: "cat"})
    assert corrected_labels(data, review)[:2].tolist() == ["eel", "cat"]


def test_unreviewed_rows_may_take_the_suggestion(data):
    review = make_review(data, {0: "right"})
    labels = corrected_labels(data, review, unreviewed="suggested")
    assert labels[0] == data.labels[0]
    assert np.array_equal(labels[1:], data.suggested[1:])


@pytest.mark.parametrize("classes", [(1, 2, 3), (0.5, 1.5, 2.5), ("1", "x,\n", "ä")])
def test_a_review_survives_a_csv_file(tmp_path, classes):
    data = make_audit_data(classes=classes)
    review = make_review(data, {0: "wrong", 1: "wrong"}, {1: classes[2]})
    review.to_csv(tmp_path / "review.csv", encoding="utf-8-sig")
    labels = corrected_labels(data, tmp_path / "review.csv")
    assert labels[0] == data.suggested[0]
    assert labels[1] == classes[2]


@pytest.mark.parametrize("sep", [";", "\t"])
def test_spreadsheets_may_separate_otherwise(tmp_path, data, sep):
    review = make_review(data, {0: "wrong"})
    review.to_csv(tmp_path / "review.csv", sep=sep, index=False)
    labels = corrected_labels(data, tmp_path / "review.csv")
    assert labels[0] == data.suggested[0]


def test_empty_lines_of_a_spreadsheet_are_passed_over(tmp_path, data):
    path, review = tmp_path / "review.csv", make_review(data, {0: "wrong"})
    n_others = review.shape[1] - 1
    path.write_text(review.to_csv(index=False) + "," * n_others + "\n  ," + "\n")
    labels = corrected_labels(data, path)
    assert labels[0] == data.suggested[0]
    assert (labels != data.labels).sum() == 1


def test_names_of_columns_may_hold_what_separates_others(tmp_path, data):
    review = make_review(data, {0: "wrong"}).rename(columns={"label": "a, b, c, d, e"})
    review["a, b, c, d, e, f, g, h, i, j, k"] = 1
    review.to_csv(tmp_path / "review.csv", sep=";", index=False)
    assert corrected_labels(data, tmp_path / "review.csv")[0] == data.suggested[0]


def test_spreadsheets_may_write_decimal_commas(tmp_path):
    data, path = make_target_data(), tmp_path / "review.csv"
    data = replace(data, labels=data.labels + 0.25, suggested=data.suggested + 0.5)
    review = make_review(data, {0: "wrong", 1: "wrong"}, {1: 1234.5})
    review.to_csv(path, sep=";", decimal=",", index=False)
    labels = corrected_labels(data, path)
    assert labels[0] == data.suggested[0]
    assert labels[1] == 1234.5
    review["corrected_label"] = ["1,5" if i == 1 else "1.000" for i in review["row"]]
    review["verdict"] = "wrong"
    review.to_csv(path, sep=";", decimal=",", index=False)
    with pytest.raises(ValueError, match=r"'1,5', which is no number"):
        corrected_labels(data, path)


def test_commas_of_labels_that_are_text_stay(tmp_path):
    data, path = make_audit_data(classes=("1,5", "1.5", "2,5")), tmp_path / "review.csv"
    review = make_review(data, {0: "wrong"}, {0: "2,5"})
    review.to_csv(path, sep=";", index=False)
    assert corrected_labels(data, path)[0] == "2,5"


def test_files_that_are_no_review_are_named(tmp_path, data):
    make_review(data, {}).to_csv(tmp_path / "review.csv", encoding="utf-16")
    with pytest.raises(ValueError, match=r"no text in UTF-8\. Save it as"):
        corrected_labels(data, tmp_path / "review.csv")
    (tmp_path / "report.html").write_text("<!doctype html>\n<title>Audit</title>")
    with pytest.raises(ValueError, match=r"is a report\. Export the review"):
        corrected_labels(data, tmp_path / "report.html")


def test_spreadsheets_may_write_whole_numbers_as_floats():
    data = make_audit_data(classes=(1, 2, 3))
    review = make_review(data, {0: "wrong"}, {0: "3.0"})
    assert corrected_labels(data, review)[0] == 3


def test_labels_as_a_report_shows_them_are_known_again():
    data = make_target_data()
    targets = data.labels + 1 / 3
    review = make_review(replace(data, labels=targets), {0: "wrong"})
    review["label"] = [f"{target:.6g}" for target in review["label"]]
    labels = corrected_labels(replace(data, labels=targets), review)
    assert labels[0] == data.suggested[0]
    review["label"] = review["label"].astype(float) + 1
    with pytest.raises(ValueError, match="is the review of other data"):
        corrected_labels(replace(data, labels=targets), review)
    long = make_audit_data(classes=("a" * 300, "b" * 300, "c" * 300))
    review = make_review(long, {0: "right"})
    review["label"] = [f"{label[:50]}…" for label in review["label"]]
    assert np.array_equal(corrected_labels(long, review), long.labels)


def test_labels_that_are_large_numbers_are_not_taken_for_each_other():
    data = make_audit_data(classes=(100000, 100001, 100002))
    review = make_review(data, {0: "right"})
    assert np.array_equal(corrected_labels(data, review), data.labels)
    review.loc[review["row"] == 0, "label"] += 1
    with pytest.raises(ValueError, match="is the review of other data"):
        corrected_labels(data, review)


def test_small_targets_are_told_apart():
    data = make_target_data()
    data = replace(data, labels=data.labels * 1e-9, suggested=data.suggested * 1e-9)
    review = make_review(data, {0: "wrong"})
    first = review["row"] == 0
    review.loc[first, "suggested_label"] = 3.21e-9
    assert corrected_labels(data, review)[0] == 3.21e-9
    review.loc[first, "label"] = 3.21e-9
    with pytest.raises(ValueError, match="is the review of other data"):
        corrected_labels(data, review)


def test_targets_take_any_number():
    data = make_target_data()
    review = make_review(data, {0: "wrong", 5: "wrong"}, {0: "1234.5"})
    labels = corrected_labels(data, review)
    assert labels[0] == 1234.5
    assert labels[5] == 5000


def test_polars_reviews_are_read(data):
    review = pl.DataFrame({"row": [0, 5], "verdict": ["wrong", None]})
    labels = corrected_labels(data, review)
    assert labels[0] == data.suggested[0]
    assert labels[5] == data.labels[5]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"row": [0]}, "no column 'verdict'"),
        ({"row": [60], "verdict": ["right"]}, "rows that do not exist"),
        ({"row": ["a"], "verdict": ["right"]}, "must hold row numbers"),
        ({"row": [3.7], "verdict": ["right"]}, "must hold row numbers, got 3.7"),
        (
            {"row": [1], "verdict": ["right"], "label": ["fox"]},
            "row 1 is labeled 'fox', but the cleaner was fitted on",
        ),
        ({"row": [1, 1], "verdict": ["right", ""]}, r"more than once: \[1\]"),
        ({"row": [1], "verdict": ["maybe"]}, "Row 1 has the verdict 'maybe'"),
        ({"row": [1], "verdict": ["wrong"]}, "no other label is suggested"),
        (
            {"row": [1], "verdict": ["wrong"], "corrected_label": ["fox"]},
            "no label of the data. Known labels: cat, dog, eel",
        ),
        (
            {"row": [1], "verdict": [""], "corrected_label": ["eel"]},
            "Row 1 has the corrected label 'eel', but the verdict ''. Mark it 'wrong'",
        ),
        (
            {"row": [1], "verdict": ["right"], "corrected_label": ["eel"]},
            "but the verdict 'right'",
        ),
    ],
)
def test_reviews_that_cannot_be_meant_are_refused(data, columns, message):
    with pytest.raises(ValueError, match=message):
        corrected_labels(data, pd.DataFrame(columns))


def test_refusals_name_the_remedy(data, tmp_path):
    with pytest.raises(ValueError, match="no review file"):
        corrected_labels(data, tmp_path / "none.csv")
    with pytest.raises(TypeError, match="data frame or the path"):
        corrected_labels(data, 3)
    with pytest.raises(ValueError, match="unreviewed='all'"):
        corrected_labels(data, "review.csv", unreviewed="all")
    for correction in ("many", "nan", "inf"):
        review = {"row": [0], "verdict": "wrong", "corrected_label": correction}
        with pytest.raises(ValueError, match="which is no number"):
            corrected_labels(make_target_data(), pd.DataFrame(review))


def test_labels_of_the_audit_are_left_as_they_are(data):
    before = data.labels.copy()
    corrected_labels(data, make_review(data, {0: "wrong"}))
    assert np.array_equal(data.labels, before)
    assert replace(data).labels is data.labels


@pytest.mark.parametrize("cased", [str.title, str.lower, str.upper])
def test_labels_that_are_booleans_survive_reports_and_spreadsheets(cased):
    data = make_audit_data()
    labels = np.arange(data.n_samples) % 2 == 0
    data = replace(data, labels=labels, suggested=labels, classes=np.unique(labels))
    review = {"row": [1], "label": [cased("False")], "verdict": ["wrong"]}
    review = pd.DataFrame(review).assign(corrected_label=cased("True"))
    assert corrected_labels(data, review)[1]


def test_labels_beyond_the_precision_of_floats_are_told_apart():
    data = make_audit_data()
    labels = 2**60 + np.arange(data.n_samples) % 3
    data = replace(data, labels=labels, suggested=labels, classes=np.unique(labels))
    review = pd.DataFrame(
        {"row": [0], "verdict": ["wrong"], "corrected_label": [str(2**60 + 2)]}
    )
    assert corrected_labels(data, review)[0] == 2**60 + 2
    rounded = review.assign(corrected_label="1152921504606847000")
    with pytest.raises(ValueError, match="which is no label of the data"):
        corrected_labels(data, rounded)


SPACED = ("ham", "spam", "spam ")


def test_labels_that_differ_in_white_space_alone_are_told_apart(tmp_path):
    data = make_audit_data(classes=SPACED)
    review = make_review(data, {0: "wrong", 1: "right", 2: "right"}, {0: "spam "})
    review.to_csv(tmp_path / "review.csv")
    for given in (review, tmp_path / "review.csv"):
        assert corrected_labels(data, given)[:3].tolist() == ["spam ", "spam", "spam "]
    review["label"] = review["label"].str.strip()
    with pytest.raises(ValueError, match=r"labeled 'spam', but .* fitted on 'spam '"):
        corrected_labels(data, review)


def test_a_correction_that_may_mean_several_labels_is_refused():
    data = make_audit_data(classes=SPACED)
    review = make_review(data, {0: "wrong"}, {0: " spam"})
    with pytest.raises(ValueError, match=r"may mean any of 'spam', 'spam '\. Write"):
        corrected_labels(data, review)


def test_blanks_may_be_a_label():
    data = make_audit_data(classes=("ham", " ", "spam"))
    review = make_review(data, {1: "wrong"}, {1: " "})
    assert corrected_labels(data, review)[1] == " "


def test_labels_that_a_report_has_cut_are_known_again_as_corrections():
    long = ("a" * 300, "b" * 300, "c" * 300)
    data = make_audit_data(classes=long)
    review = make_review(data, {0: "wrong"}, {0: f"{long[2][:50]}…"})
    assert corrected_labels(data, review)[0] == long[2]


@pytest.mark.parametrize("unit", ["datetime64[us]", "datetime64[ns]", "timedelta64[s]"])
def test_labels_may_be_dates_or_durations(tmp_path, unit):
    data = make_audit_data(classes=np.arange(3))
    kind, days = unit.partition("[")[0], np.arange(3) * 86400
    classes = days.astype(f"{kind}[s]").astype(unit)
    data = replace(
        data,
        labels=classes[data.labels],
        suggested=classes[data.suggested],
        classes=classes,
    )
    review = make_review(data, {0: "wrong", 1: "wrong"})
    shown = table_payload(data, None, None, 60)["labels"]
    review["corrected_label"] = review["row"].map({0: shown[2], 1: classes[2]})
    review.to_csv(tmp_path / "review.csv")
    reported = review.assign(label=review["row"].map(lambda row: shown[row % 3]))
    for given in (review, tmp_path / "review.csv", reported):
        labels = corrected_labels(data, given)
        assert labels.dtype == data.labels.dtype
        assert labels[:3].tolist() == classes[[2, 2, 2]].tolist()


def test_corrections_to_the_given_label_are_refused(data):
    review = make_review(data, {0: "wrong"})
    review["corrected_label"] = review["row"].map({0: data.labels[0]}).fillna("")
    with pytest.raises(ValueError, match=r"Row 0 is marked wrong.*the one that was"):
        corrected_labels(data, review)


@pytest.mark.parametrize("as_file", [False, True])
def test_wrong_rows_take_the_suggestion_that_the_reviewer_saw(data, tmp_path, as_file):
    review = make_review(data, {0: "wrong", 1: "wrong"})
    given = tmp_path / "review.csv" if as_file else review
    review.to_csv(tmp_path / "review.csv", index=False)
    with pytest.raises(ValueError, match="Row 1 is marked wrong, but no other label"):
        corrected_labels(data, given)
    review["suggested_label"] = "eel"
    review.to_csv(tmp_path / "review.csv", index=False)
    other = replace(data, suggested=np.full(60, "dog"))
    assert corrected_labels(other, given)[:3].tolist() == ["eel", "eel", "eel"]
    review.loc[review["row"] == 0, "suggested_label"] = "fox"
    with pytest.raises(ValueError, match="Row 0 has the suggested label 'fox', which"):
        corrected_labels(other, review)


def test_suggested_targets_are_those_of_the_review():
    data = make_target_data()
    exact = replace(data, suggested=np.where(data.flagged, 5000 + 1 / 3, data.labels))
    review = make_review(exact, {0: "wrong", 5: "wrong"})
    review["suggested_label"] = [f"{v:.6g}" for v in review["suggested_label"]]
    assert corrected_labels(exact, review)[0] == 5000 + 1 / 3
    assert corrected_labels(replace(data, suggested=data.labels), review)[5] == 5000.33


def test_labels_that_a_report_has_kept_from_being_formulas_are_known_again(tmp_path):
    data = make_audit_data(classes=("=1+1", "-5 %", "@home"))
    review = make_review(data, {0: "wrong", 1: "wrong", 5: "wrong"}, {1: "'@home"})
    for name in ("label", "suggested_label"):
        review[name] = "'" + review[name]
    review.to_csv(tmp_path / "review.csv", index=False)
    labels = corrected_labels(data, tmp_path / "review.csv")
    assert labels[[0, 5]].tolist() == data.suggested[[0, 5]].tolist()
    assert labels[1] == "@home"
