"""The audit table keeps rows, index and container of the data."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from dit_clean.audit import audit_table
from tests.audit.conftest import make_audit_data

COLUMNS = [
    "row",
    "label",
    "suggested_label",
    "suspicion",
    "influence",
    "margin",
    "flagged",
    "weight",
    "pattern",
]


def test_table_has_one_row_per_sample_in_the_order_of_X(data):
    table = audit_table(data)
    assert table.columns.tolist() == COLUMNS
    assert table.index.equals(data.X.index)
    assert np.array_equal(table["row"], np.arange(60))
    assert np.array_equal(table["label"], data.labels)


def test_sorting_and_filtering_keep_each_row_with_its_index(data):
    table = audit_table(data, sort="suspicion", flagged=True)
    assert table["flagged"].all()
    assert table["suspicion"].is_monotonic_decreasing
    assert np.array_equal(table.index, table["row"] + 1000)
    assert len(table) + len(audit_table(data, flagged=False)) == 60


def test_the_most_harmful_and_the_least_believed_come_first(data):
    for name in ("influence", "margin"):
        assert audit_table(data, sort=name)[name].is_monotonic_increasing


def test_own_columns_are_added_by_name_or_by_value(data):
    table = audit_table(data, columns=["city"])
    assert table["city"].tolist() == data.X["city"].tolist()
    texts = [f"text {i}" for i in range(60)]
    assert audit_table(data, columns={"text": texts})["text"].tolist() == texts
    table = audit_table(data, sort="height", columns="height")
    assert table["height"].is_monotonic_increasing


def test_missing_values_of_own_columns_come_last(data):
    sizes = ["b", None, "a"] * 20
    table = audit_table(data, sort="size", columns={"size": sizes})
    assert table["size"].tolist()[:40] == ["a"] * 20 + ["b"] * 20
    assert table["size"].isna().sum() == 20


@pytest.mark.parametrize("kind", ["Int64", "int64[pyarrow]", "polars"])
def test_whole_numbers_with_gaps_keep_all_digits(data, kind):
    ids = [None, *range(2**60 + 1, 2**60 + 60)]
    column = pl.Series(ids) if kind == "polars" else pd.Series(ids, dtype=kind)
    assert audit_table(data, columns={"id": column})["id"].tolist()[1:] == ids[1:]


def test_own_column_does_not_replace_one_of_the_audit(data):
    table = audit_table(data, columns={"label": np.arange(60)})
    assert np.array_equal(table["label"], data.labels)
    assert np.array_equal(table["label (X)"], np.arange(60))


def test_array_columns_are_named_by_number():
    X = np.arange(120).reshape(60, 2)
    for samples in (X, sparse.csr_array(X)):
        table = audit_table(make_audit_data(X=samples), columns=["x1"])
        assert np.array_equal(table["x1"], X[:, 1])


def test_polars_stays_polars():
    X = pl.DataFrame({"height": np.arange(60.0)})
    table = audit_table(make_audit_data(X=X), sort="suspicion", columns=["height"])
    assert isinstance(table, pl.DataFrame)
    assert table.columns == [*COLUMNS, "height"]
    assert table["height"].to_list() == table["row"].to_list()


def test_labels_of_mixed_objects_are_kept(data):
    labels = np.array([1, "a", None] * 20, dtype=object)
    table = audit_table(replace(data, labels=labels, classes=None))
    assert isinstance(table, pd.DataFrame)
    assert table["label"].tolist()[:2] == [1, "a"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sort": "weigth"}, "no column 'weigth'"),
        ({"columns": ["town"]}, "no column 'town'. Its columns: height, city"),
        ({"columns": {"text": ["a"]}}, "has 1 rows, but the cleaner was fitted on 60"),
    ],
)
def test_unknown_columns_are_refused(data, options, message):
    with pytest.raises(ValueError, match=message):
        audit_table(data, **options)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"sort": "zz"}, "no column 'zz'"),
        ({"flagged": "yes"}, "flagged='yes'"),
        ({"columns": ["town"]}, "X has no column 'town'"),
    ],
)
def test_tables_are_refused_before_anything_is_replayed(data, options, match):
    def replay():
        raise AssertionError("training was replayed")

    data = replace(data, read_influence=replay, read_timeline=replay)
    with pytest.raises(ValueError, match=match):
        audit_table(data, **options)
