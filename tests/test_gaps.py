"""Missing values, whatever library has written them."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from dit_clean.gaps import are_missing, is_missing


@pytest.mark.parametrize(
    "value",
    [
        None,
        float("nan"),
        np.float32("nan"),
        np.datetime64("NaT"),
        np.timedelta64("NaT"),
        pd.NaT,
        pd.NA,
    ],
)
def test_gaps_are_told_alike(value):
    assert is_missing(value)
    assert are_missing(["a", value]).tolist() == [False, True]
    assert are_missing(np.array([value, "nan"], dtype=object)).tolist() == [True, False]


@pytest.mark.parametrize("value", ["nan", "", 0, (None,), np.array([np.nan]), []])
def test_what_can_be_read_is_no_gap(value):
    assert not is_missing(value)


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, np.nan]),
        np.array(["2026-01-01", "NaT"], dtype="datetime64[D]"),
        pd.Series(["a", None]),
        pd.Series([1, None], dtype="Int64"),
        pd.array([1, None], dtype="Int64"),
        np.ma.masked_array([1, 2], mask=[False, True]),
        pd.Series(["a", None], dtype="category"),
        pl.Series(["a", None]),
        pl.Series([1, None]),
    ],
)
def test_gaps_are_told_in_any_container(values):
    assert are_missing(values).tolist() == [False, True]
    assert not are_missing(values[:1]).any()
