"""Warnings about the labels as they are given."""

import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from dit_clean import InfluenceCleaner
from dit_clean.data.given_labels import (
    LabelAmongInputsWarning,
    LikeLabelsWarning,
    warn_of_label_among,
    warn_of_like_labels,
    warn_of_row_numbers,
)
from dit_clean.data.targets import encode_targets

N_ROWS = 120
LABELS = np.array(["ham", "spam", "other"])[np.arange(N_ROWS) % 7 % 3]
TARGETS = np.random.RandomState(1).randn(N_ROWS)


def make_columns(**more):
    rng = np.random.RandomState(0)
    return {"size": rng.randn(N_ROWS), "kind": rng.choice(list("abc"), N_ROWS), **more}


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    ("copy", "y"),
    [
        (LABELS, LABELS),
        (np.array(["spam", "HAM", "x"])[np.arange(N_ROWS) % 7 % 3], LABELS),
        (np.arange(N_ROWS) % 7 % 3 * 2.5, LABELS),
        (TARGETS, TARGETS),
    ],
)
def test_columns_that_tell_the_label_are_named(frame, copy, y):
    X = frame(make_columns(answer=copy))
    with pytest.warns(LabelAmongInputsWarning, match="in column 'answer': it is y"):
        warn_of_label_among(X, encode_targets(y, None))


def test_columns_of_arrays_are_named_by_number():
    X = np.random.RandomState(0).randn(N_ROWS, 4)
    X[:, 2] = LABELS == "spam"
    with pytest.warns(LabelAmongInputsWarning, match="in column 2"):
        warn_of_label_among(X, encode_targets(LABELS == "spam", None))


def test_several_columns_are_named_in_the_plural():
    X = pd.DataFrame(make_columns(answer=LABELS, again=LABELS))
    with pytest.warns(LabelAmongInputsWarning, match="in columns 'answer', 'again': "):
        warn_of_label_among(X, encode_targets(LABELS, None))
    X = pd.DataFrame({"i": np.arange(N_ROWS), "j": np.arange(N_ROWS) + 1})
    with pytest.warns(LabelAmongInputsWarning, match="^Columns 'i', 'j' of X number t"):
        warn_of_row_numbers(X, SORTED)


WORDS = np.where(TARGETS > 0, "bought", "sent")
AFTER = {
    "alone tells the y of every row": np.char.add(WORDS, LABELS),
    "is missing exactly where y is 'ham'": np.where(LABELS == "ham", None, WORDS),
    "is missing exactly where y is not 'ham'": np.where(
        LABELS == "ham", TARGETS, np.nan
    ),
    "is 0.0 exactly where y is 'ham'": np.where(LABELS == "ham", 0, TARGETS),
    "is 0.0 exactly where y is not 'ham'": np.where(LABELS == "ham", TARGETS, 0),
    "is 'none' exactly where y is 'ham'": [
        "none" if label == "ham" else f"text {i}" for i, label in enumerate(LABELS)
    ],
}


@pytest.mark.parametrize("repeats", [1, 40])
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("how", AFTER)
def test_columns_that_may_be_written_after_the_label_are_named(how, frame, repeats):
    y = np.repeat(LABELS, repeats)
    columns = make_columns(after=AFTER[how])
    X = frame({name: np.repeat(column, repeats) for name, column in columns.items()})
    with pytest.warns(LabelAmongInputsWarning, match=f"In X column 'after' {how}. Was"):
        warn_of_label_among(X, encode_targets(y, None))


@pytest.mark.parametrize("how", AFTER)
def test_one_row_that_differs_or_few_rows_make_a_column_pass(how):
    column = np.array(AFTER[how], dtype=object)
    place = np.flatnonzero(LABELS == "ham")[3]
    column[place], column[place + 1] = column[place + 1], column[place]
    few = np.r_[np.flatnonzero(LABELS == "ham")[:9], np.flatnonzero(LABELS != "ham")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for values in (column, np.arange(N_ROWS).astype(str)):
            frame = pd.DataFrame({"after": values})
            warn_of_label_among(frame, encode_targets(LABELS, None))
        X = pd.DataFrame({"after": np.array(AFTER[how], dtype=object)[few]})
        if "alone" not in how:
            warn_of_label_among(X, encode_targets(LABELS[few], None))
        X = pd.DataFrame({"gaps": np.where(np.arange(N_ROWS) < 60, None, "text")})
        warn_of_label_among(X, encode_targets(TARGETS, None))


def test_columns_that_nearly_tell_the_label_are_passed_over():
    nearly = LABELS.copy()
    nearly[-1] = "spam" if LABELS[-1] != "spam" else "ham"
    unique = np.arange(N_ROWS)
    X = pd.DataFrame(make_columns(nearly=nearly, unique=unique, same=1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_label_among(X, encode_targets(LABELS, None))
        warn_of_label_among(X, encode_targets(TARGETS, None))


def test_the_cleaner_warns_before_it_trains():
    X = pd.DataFrame(make_columns(answer=LABELS))
    cleaner = InfluenceCleaner(max_epochs=1, random_state=0)
    with pytest.warns(LabelAmongInputsWarning, match="'answer'"):
        cleaner.fit(X, LABELS)


def test_labels_that_differ_in_case_or_blanks_are_named():
    y = np.where(np.arange(N_ROWS) % 5 == 0, "Spam ", LABELS)
    with pytest.warns(LikeLabelsWarning, match=r"\['Spam ', 'spam'\] differ in case"):
        warn_of_like_labels(encode_targets(y, None))


def test_other_labels_are_passed_over():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for y in (LABELS, LABELS == "spam", np.arange(N_ROWS) % 3):
            warn_of_like_labels(encode_targets(y, None))


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "string", "boolean", object])
def test_missing_values_of_any_kind_are_no_copy(dtype):
    values = pd.array([None, True, False] * (N_ROWS // 3), dtype="boolean")
    X = pd.DataFrame({"gaps": pd.Series(values).astype(dtype), "late": TARGETS})
    X.loc[N_ROWS - 1, "late"] = None
    for y in (TARGETS, LABELS):
        warn_of_label_among(X, encode_targets(y, None))


ORDER = np.random.RandomState(2).permutation(N_ROWS)
SORTED = encode_targets(np.sort(LABELS), None)
NUMBERS = {
    "counted": np.arange(N_ROWS),
    "backwards in tens": -10.0 * np.arange(N_ROWS),
    "Decimals": [Decimal(i) for i in range(N_ROWS)],
    "some dropped": np.flatnonzero(np.arange(N_ROWS + N_ROWS // 3) % 4 != 2)[:N_ROWS],
}


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_row_numbers_of_a_table_sorted_by_label_are_named(frame, numbers):
    X = frame(make_columns(id=numbers))
    with pytest.warns(LabelAmongInputsWarning, match="Column 'id' of X numbers"):
        warn_of_row_numbers(X, SORTED)


def test_row_numbers_stay_telling_when_rows_are_shuffled():
    X = np.c_[TARGETS, np.arange(N_ROWS)][ORDER]
    with pytest.warns(LabelAmongInputsWarning, match="Column 1 of X numbers"):
        warn_of_row_numbers(X, encode_targets(np.sort(LABELS)[ORDER], None))


def test_row_numbers_and_columns_that_tell_no_label_are_passed_over():
    gaps = pd.array([*range(N_ROWS - 1), None], dtype="Int64")
    others = {"time": np.arange(N_ROWS) / 10, "count": np.arange(N_ROWS) // 2}
    others |= {"gaps": gaps, "code": [f"{i}" for i in range(N_ROWS)], "y": TARGETS}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X = pd.DataFrame(make_columns(**others))
        warn_of_row_numbers(X, SORTED)
        X["time"] = np.arange(N_ROWS)
        warn_of_row_numbers(X, encode_targets(LABELS, None))
        warn_of_row_numbers(X, encode_targets(np.sort(TARGETS), None))
        warn_of_row_numbers(csr_array(np.eye(N_ROWS)), SORTED)
        runs = np.arange(N_ROWS) // 4 % 2  # of a time series, say
        warn_of_row_numbers(X, encode_targets(runs, None))
        warn_of_row_numbers(X[:12], encode_targets(np.repeat([0, 1], 6), None))
        warn_of_row_numbers(X.to_numpy(dtype="U4"), SORTED)
        warn_of_row_numbers(X.isna().to_numpy(), SORTED)


def test_the_cleaner_warns_of_row_numbers():
    X = pd.DataFrame({"Unnamed: 0": np.arange(N_ROWS), "size": TARGETS})
    cleaner = InfluenceCleaner(max_epochs=1, random_state=0)
    with pytest.warns(LabelAmongInputsWarning, match="'Unnamed: 0'"):
        cleaner.fit(X, np.sort(LABELS))
