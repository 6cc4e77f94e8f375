"""The table of groups, whatever container holds the names."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from dit_clean.audit.groups import group_table
from dit_clean.audit.samples import own_columns
from tests.audit.conftest import make_audit_data, make_target_data

N_CITIES = 7


def check_cities(table, data):
    assert sorted(table.index) == [f"city {i}" for i in range(N_CITIES)]
    assert table["influence"].is_monotonic_increasing
    for city, row in table.iterrows():
        members = np.arange(60) % N_CITIES == int(city[-1])
        assert row["n_samples"] == members.sum()
        assert np.isclose(row["influence"], data.influence[members].sum())
        assert np.isclose(row["mean_influence"], data.influence[members].mean())
        assert np.isclose(row["harmful"], (data.influence[members] < 0).mean())
        assert np.isclose(row["flagged"], data.flagged[members].mean())
        assert np.isclose(row["suspicion"], data.suspicion[members].mean())


def test_groups_by_a_column_of_a_pandas_frame(data):
    check_cities(group_table(data, "city", lambda: data.influence), data)
    check_cities(group_table(data, data.X["city"], lambda: data.influence), data)


def test_groups_by_a_column_of_a_polars_frame():
    X = pl.DataFrame({"city": [f"city {i % N_CITIES}" for i in range(60)]})
    data = make_audit_data(X=X)
    check_cities(group_table(data, "city", lambda: data.influence), data)
    check_cities(group_table(data, X["city"], lambda: data.influence), data)


def test_groups_by_a_column_of_an_array():
    data = make_audit_data(X=np.arange(60.0)[:, None] % 4)
    assert group_table(data, "x0", lambda: data.influence).index.tolist() != []
    assert set(group_table(data, "x0", lambda: data.influence).index) == {0, 1, 2, 3}


@pytest.mark.parametrize("name", [0, np.int64(3), 1.5, ("lab", "hue")])
def test_names_of_columns_may_be_numbers_or_tuples(name):
    cities = [f"city {i % N_CITIES}" for i in range(60)]
    X = pd.DataFrame({("lab", "size"): range(60), name: cities})
    data = make_audit_data(X=X)
    check_cities(group_table(data, name, lambda: data.influence), data)
    assert list(own_columns(X, name, 60)) == [str(name)]


def test_groups_by_label(data):
    table = group_table(data, "label", lambda: data.influence)
    assert set(table.index) == {"cat", "dog", "eel"}
    assert table["n_samples"].tolist() == [20, 20, 20]
    assert len(group_table(make_target_data(), "label", lambda: data.influence)) == 60


@pytest.mark.parametrize(
    "named",
    [lambda i: (i % 2, "site"), lambda i: "site" if i % 2 else 0],
    ids=["pairs", "mixed"],
)
def test_groups_are_anything_that_fit_takes(data, named):
    names = [named(i) for i in range(60)]
    table = group_table(data, names, lambda: data.influence)
    for name in names[:2]:
        (row,) = [i for i, other in enumerate(table.index) if other == name]
        expected = sum(
            value
            for value, other in zip(data.influence, names, strict=True)
            if other == name
        )
        assert np.isclose(table["influence"].iloc[row], expected)
        assert table["n_samples"].iloc[row] == 30


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_labels_and_a_column_of_their_name_are_told_apart(container):
    X = container({"label": ["left", "right"] * 30})
    data = make_audit_data(X=X)
    match = r"group_influence\(y\) or group_influence\(X\['label'\]\)"
    with pytest.raises(ValueError, match=match):
        group_table(data, "label", lambda: data.influence)
    column = group_table(data, X["label"], lambda: data.influence)
    assert set(column.index) == {"left", "right"}
    given = group_table(data, data.labels, lambda: data.influence)
    assert set(given.index) == {"cat", "dog", "eel"}


@pytest.mark.parametrize(
    ("groups", "match"),
    [
        ("town", r"X has no column 'town'.*city.*as an array"),
        (["a"] * 59 + [None], "no entry in 1 of 60 rows"),
        (pd.Series(["a"] * 59 + [None]), "no entry in 1 of 60 rows"),
        (["a"] * 3, "groups has 3 entries"),
    ],
)
def test_groups_are_refused_before_anything_is_replayed(data, groups, match):
    def measure():
        raise AssertionError("training was replayed")

    with pytest.raises(ValueError, match=match):
        group_table(data, groups, measure)
