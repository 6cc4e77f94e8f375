"""What goes into the default network."""

from datetime import date, datetime, time

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.exceptions import NotFittedError
from sklearn.preprocessing import StandardScaler

from dit_clean.data import scalers, tables
from dit_clean.data.scalers import SQUASH, squashed
from dit_clean.data.tables import TableEncoder


def test_squashed_values_keep_their_order_and_stay_within_the_bound():
    values = np.linspace(-1e3, 1e3, 2001)
    found = squashed(values)
    assert (np.diff(found) > 0).all()
    assert np.abs(found).max() < SQUASH
    assert np.allclose(found, -found[::-1])


def test_usual_values_hardly_change():
    values = np.linspace(-1, 1, 21)
    assert np.allclose(squashed(values), values, atol=0.02)


def dense(values):
    return np.asarray(values.toarray() if sparse.issparse(values) else values)


def heavy_tailed():
    X = np.random.RandomState(0).randn(200, 3)
    X[5, 1] = 1e6
    return X


CONTAINERS = {"array": np.array, "frame": pd.DataFrame, "sparse": sparse.csr_array}


@pytest.mark.parametrize("container", CONTAINERS)
def test_one_huge_value_stays_near_the_others(container):
    X = CONTAINERS[container](heavy_tailed())
    found = TableEncoder("squashed").fit(X).transform(X)
    assert np.abs(found).max() < SQUASH
    assert found[5, 1] > 4
    assert np.allclose(found[:, [0, 2]].std(axis=0), 1, atol=0.1)


@pytest.mark.parametrize("container", CONTAINERS)
def test_models_that_are_linear_get_linear_scales(container):
    X = CONTAINERS[container](heavy_tailed())
    found = TableEncoder().fit(X).transform(X)
    assert np.allclose(found, StandardScaler().fit_transform(heavy_tailed()))


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix", "coo_array"])
def test_what_stays_sparse_is_squashed_alike(monkeypatch, kind):
    values = np.where(heavy_tailed() > 0.5, heavy_tailed(), 0).astype(np.float32)
    monkeypatch.setattr(scalers, "MAX_DENSE_VALUES", 10)
    X = getattr(sparse, kind)(values)
    encoder = TableEncoder("squashed").fit(X)
    found = encoder.transform(X[:50] if kind != "coo_array" else X)
    expected = squashed(values / values.std(axis=0))[: found.shape[0]]
    assert sparse.issparse(found)
    assert found.dtype == np.float32
    assert np.allclose(found.toarray(), expected, rtol=1e-5)


def test_squashing_leaves_a_sparse_matrix_as_it_was():
    X = sparse.csr_array(heavy_tailed())
    before = X.copy()
    squashed(X)
    assert (before != X).nnz == 0


def test_the_largest_numbers_do_not_overflow():
    values = np.array([-3e38, 1e25, 3e38], np.float32)
    assert np.allclose(squashed(values), [-SQUASH, SQUASH, SQUASH])


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("scaling", ["squashed", None])
def test_values_are_the_same_whatever_scikit_learn_is_set_to(
    container, output, scaling
):
    X = CONTAINERS[container](heavy_tailed())
    expected = dense(TableEncoder(scaling).fit(X).transform(X))
    with config_context(transform_output=output):
        found = dense(TableEncoder(scaling).fit(X).transform(X))
    # Polars stores columns one after the other, so that sums are rounded differently.
    assert np.allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("container", ["array", "sparse"])
def test_without_scaling_arrays_stay_as_they_are(container):
    X = CONTAINERS[container](heavy_tailed())
    found = TableEncoder(scaling=None).fit(X).transform(X)
    assert abs(found - X).max() == 0


def with_gaps():
    rng = np.random.RandomState(0)
    frame = pd.DataFrame(
        {"size": rng.rand(40), "kind": rng.choice(["a", "b", "c"], 40), "n": range(40)}
    )
    frame.loc[[3, 5], "size"] = np.nan
    frame.loc[[3, 7], "kind"] = np.nan
    return frame


def as_objects(frame, missing):
    return frame.astype(object).where(frame.notna(), missing)


WRITTEN = {
    "None": lambda frame: as_objects(frame, None),
    "NA": lambda frame: as_objects(frame, pd.NA),
    "None and NaN": lambda frame: frame.assign(
        kind=[None if i == 3 else kind for i, kind in enumerate(frame["kind"])]
    ),
    "nullable": lambda frame: frame.convert_dtypes(),
    "arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "categories": lambda frame: frame.astype({"kind": "category"}),
    "nullable categories": lambda frame: frame.convert_dtypes().astype(
        {"kind": "category"}
    ),
    "polars": pl.from_pandas,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_missing_values_are_the_same_however_they_are_written(name):
    frame = with_gaps()
    written, encoder = WRITTEN[name](frame), TableEncoder().fit(frame)
    expected = encoder.transform(frame)
    assert expected.shape == (40, 2 + 4)
    assert np.array_equal(TableEncoder().fit_transform(written), expected)
    if name != "polars":  # scikit-learn's encoders stay with one kind of frame
        assert np.array_equal(encoder.transform(written), expected)


@pytest.mark.parametrize("code", [-999, 1e5, [-999, 1e4]])
@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame, sparse.csr_array])
def test_a_few_outliers_leave_the_other_values_apart(container, code):
    X = np.random.RandomState(0).randn(200, 3)
    with_code = X.copy()
    code = np.resize(code, 10)
    with_code[::20, 1] = code
    others = np.arange(200) % 20 != 0
    found = TableEncoder("squashed").fit_transform(container(with_code))
    expected = StandardScaler().fit(X[others]).transform(X)[:, 1]
    assert np.allclose(found[others, 1], squashed(expected[others]))
    assert np.allclose(found[~others, 1], np.sign(code) * SQUASH, atol=1e-3)
    alone = TableEncoder("squashed").fit_transform(X)
    assert np.allclose(found[:, [0, 2]], alone[:, [0, 2]])


def test_long_tails_and_rare_values_rule_their_scale_as_before():
    rng = np.random.RandomState(0)
    rare = np.arange(200) % 50 == 0
    X = np.column_stack([np.exp(2 * rng.randn(200, 3)), rare, np.zeros(200)])
    X[:, 0] = rng.randn(200)
    X[:40, 0] = [100, 200, 300, 400] * 10  # one apart from the other
    expected = squashed(StandardScaler().fit_transform(X))
    assert np.array_equal(TableEncoder("squashed").fit_transform(X), expected)


@pytest.mark.parametrize("container", [np.asarray, pd.DataFrame])
def test_values_too_large_to_be_scaled_are_named(container):
    X = np.random.RandomState(0).randn(30, 3)
    X[4, 1] = -1.7e308
    with pytest.raises(ValueError, match=r"\(1, .* up to 1.7e\+308.*give NaN"):
        TableEncoder("squashed").fit(container(X))


def test_numbers_among_python_objects_are_numbers():
    numbers = np.random.RandomState(0).rand(30, 2)
    frame = pd.DataFrame(numbers).astype(object)
    frame.iloc[3, 0] = None
    expected = TableEncoder().fit_transform(frame.astype(float))
    assert np.array_equal(TableEncoder().fit_transform(frame), expected)
    named = pd.DataFrame({"kind": pd.Categorical([1, 2, 3] * 10)})
    assert TableEncoder().fit_transform(named).shape == (30, 3)


@pytest.mark.parametrize("container", ["frame", "polars"])
def test_arrays_are_taken_for_further_rows_of_a_frame(container):
    X = heavy_tailed()
    frame = {"frame": pd.DataFrame, "polars": pl.DataFrame}[container](X)
    encoder = TableEncoder("squashed").fit(frame)
    assert np.array_equal(encoder.transform(X), encoder.transform(frame))
    assert np.array_equal(
        encoder.transform(sparse.csr_array(X)), encoder.transform(frame)
    )


def test_codes_of_categories_are_known_again_in_an_array():
    codes = np.arange(12) % 3
    frame = pd.DataFrame({"a": codes / 2, "b": pd.Categorical(codes)})
    encoder = TableEncoder().fit(frame)
    array = np.column_stack([codes / 2, codes])
    assert np.array_equal(encoder.transform(array), encoder.transform(frame))


def test_images_of_another_size_are_refused():
    encoder = TableEncoder().fit(np.random.RandomState(0).rand(20, 4, 4))
    with pytest.raises(ValueError, match=r"shape \(4, 3\), but fit saw \(4, 4\)"):
        encoder.transform(np.zeros((20, 4, 3)))


def test_images_in_half_precision_are_scaled_like_others():
    images = np.random.RandomState(0).rand(400, 20, 20).astype(np.float16)
    found = TableEncoder("squashed").fit(images).transform(images)
    single = images.astype(np.float32)
    assert np.array_equal(found, TableEncoder().fit(single).transform(single))
    assert found.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e38), ("float64", 1e300)])
def test_images_too_large_to_be_scaled_are_named(dtype, size):
    images = size * np.random.RandomState(0).rand(20, 4, 4).astype(dtype)
    with pytest.raises(ValueError, match=r"X holds values up to 9.*e\+.*too large"):
        TableEncoder().fit(images)


def test_texts_cannot_be_known_again_in_an_array_of_numbers():
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": ["1", "2", "1"]})
    encoder = TableEncoder().fit(frame)
    with pytest.raises(ValueError, match=r"columns of text. Give a data frame"):
        encoder.transform(np.ones((2, 2)))
    assert np.array_equal(encoder.transform(frame.to_numpy()), encoder.transform(frame))


TYPES = {"pandas": (pd.DataFrame, "astype"), "polars": (pl.DataFrame, "cast")}


@pytest.mark.parametrize("container", TYPES)
@pytest.mark.parametrize("values", [[1, 2, 1], [0.5, None, 1.5], [True, False, True]])
def test_columns_of_text_do_not_become_numbers_nor_the_reverse(container, values):
    frame, convert = TYPES[container]
    texts = [None if value is None else str(value) for value in values]
    numbers, texts = ({"x": [0, 1, 2], "a": v, "b": v} for v in (values, texts))
    numbers, texts = frame(numbers), frame(texts)
    for seen, given, words, kind in (
        (texts, numbers, r"numbers \(.*\), but fit saw text \(.*\)", "str"),
        (numbers, texts, r"text \(.*\), but fit saw numbers \(.*\)", "float"),
    ):
        encoder = TableEncoder().fit(seen)
        match = rf"^Column 'a' \(like 'b'\) holds {words}.*\.{convert}\({kind}\)\.$"
        with pytest.raises(ValueError, match=match):
            encoder.transform(given)
        assert np.array_equal(encoder.transform(seen), encoder.transform(seen[:]))


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
def test_columns_with_infinity_are_named(container):
    good = {"kind": ["a", "b", "a"], "size": [1.0, None, 2.0]}
    bad = container(good | {"size": [1.0, None, -np.inf]})
    for answer in (TableEncoder().fit, TableEncoder().fit(container(good)).transform):
        with pytest.raises(ValueError, match=r"^Column 'size' holds infinity.* NaN"):
            answer(bad)


ALIKE = {
    "text": ["1", "2", None],
    "text of Python": pd.Series(["1", "2", None], dtype=object),
    "named text": pd.Categorical(["1", "2", None]),
    "arrow": pd.Series(["1", "2", None], dtype="string"),
    "numbers": [1.0, 2.0, None],
    "nullable": pd.Series([1, 2, None], dtype="Int64"),
    "numbers of Python": pd.Series([1, 2, None], dtype=object),
    "named numbers": pd.Categorical([1, 2, None]),
    "named floats": pd.Categorical([1.0, 2.0, None]),
}


@pytest.mark.parametrize("given", ALIKE)
@pytest.mark.parametrize("seen", ALIKE)
def test_kinds_are_told_by_what_columns_hold(seen, given):
    encoder = TableEncoder().fit(pd.DataFrame({"a": ALIKE[seen], "x": range(3)}))
    X = pd.DataFrame({"a": ALIKE[given], "x": range(3)})
    if ("text" in seen or seen == "arrow") == ("text" in given or given == "arrow"):
        seen_alike = encoder.transform(pd.DataFrame({"a": ALIKE[seen], "x": range(3)}))
        assert np.array_equal(encoder.transform(X), seen_alike)
    else:
        with pytest.raises(ValueError, match=r"Column 'a' holds .*but fit saw"):
            encoder.transform(X)


@pytest.mark.parametrize("dtype", [float, object, "string", "category", "Int64"])
def test_columns_without_values_are_of_any_kind(dtype):
    empty = pd.DataFrame({"a": pd.Series([None] * 3, dtype=dtype)})
    for values in (["1", "2", "1"], [1, 2, 1]):
        X = pd.DataFrame({"a": values})
        assert TableEncoder().fit(X).transform(empty).shape[0] == 3
    for X in (["1", "2", "1"], [1, 2, 1]) if dtype in ("string", "category") else ():
        TableEncoder().fit(empty).transform(pd.DataFrame({"a": X}))


def test_what_no_network_can_read_is_named_after_fit_too():
    encoder = TableEncoder().fit(pd.DataFrame({"when": ["2024-02-28", "2024-02-29"]}))
    X = pd.DataFrame({"when": pd.to_datetime(["2024-02-28", "2024-02-29"])})
    with pytest.raises(TypeError, match=r"^Column 'when' holds dates or durations"):
        encoder.transform(X)


CATEGORIES = {
    "intervals": pd.cut(np.arange(12) % 4, [-1, 0, 1, 3]),
    "dates": pd.Categorical(pd.to_datetime(["2024-02-28", None, "2024-03-01"] * 4)),
    "mixed": pd.Categorical([1, "a", None] * 4),
}


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_may_be_anything(name):
    frame = pd.DataFrame({"size": range(12), "part": CATEGORIES[name]})
    before = frame.copy(deep=True)
    encoder = TableEncoder().fit(frame)
    found = encoder.transform(frame)[:, 1:]
    names = frame["part"].astype(object).map(str)
    named = TableEncoder().fit_transform(pd.DataFrame({"part": names}))
    assert np.array_equal(np.unique(found, axis=1), np.unique(named, axis=1))
    assert np.array_equal(encoder.transform(frame[:1]), encoder.transform(frame)[:1])
    other = pd.Categorical([pd.Interval(7, 9)] * 12)
    assert (encoder.transform(frame.assign(part=other))[:, 1:] == 0).all()
    pd.testing.assert_frame_equal(frame, before)
    with pytest.raises(ValueError, match=r"'part' holds numbers .* fit saw text"):
        encoder.transform(frame.assign(part=1.0))


def codes(counts):
    return [f"code {i}" for i, count in enumerate(counts) for _ in range(count)]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_only_rare_ones_of_many_categories_share_a_column(frame):
    column = codes([5] * 60 + [3] * 40 + [2] * 30 + [1])
    X = frame({"code": column, "kind": ["a", "b"] * 240 + ["c"]})
    encoder = TableEncoder().fit(X)
    found = encoder.transform(X)
    assert found.shape == (481, 3 + 100 + 1)
    assert (found.sum(axis=1) == 2).all()
    assert np.array_equal(np.flatnonzero(found[:, -1]), np.arange(420, 481))
    assert encoder.shared_rows(X) == {"code": 61 / 481}
    counts = {name: len(values) for name, values in encoder.categories().items()}
    assert counts == {"kind": 3, "code": 131}


def test_up_to_fifty_categories_keep_a_column_each_however_rare():
    X = pd.DataFrame({"code": codes([1] * 49), "size": range(49)})
    X.loc[3, "code"] = None
    encoder = TableEncoder().fit(X)
    assert np.array_equal(np.unique(encoder.transform(X)[:, 1:].sum(axis=0)), [1])
    assert encoder.shared_rows(X) == {}


def test_the_number_of_columns_has_a_bound(monkeypatch):
    monkeypatch.setattr(tables, "MAX_CATEGORIES", 60)
    X = pd.DataFrame({"code": codes([4] * 70)})
    encoder = TableEncoder().fit(X)
    assert encoder.transform(X).shape == (280, 60)
    assert encoder.shared_rows(X) == {"code": 11 / 70}


def test_decimals_of_arrow_are_numbers():
    arrow = pytest.importorskip("pyarrow")
    sizes = pd.Series(np.random.RandomState(0).randint(0, 900, 30) / 8)
    sizes[3] = np.nan
    decimal = pd.ArrowDtype(arrow.decimal128(10, 4))
    frame = pd.DataFrame({"size": sizes.astype("Float64").astype(decimal)})
    expected = TableEncoder().fit_transform(pd.DataFrame({"size": sizes}))
    assert np.array_equal(TableEncoder().fit_transform(frame), expected)
    named = pd.DataFrame({"size": frame["size"].astype(float).astype("category")})
    assert TableEncoder().fit_transform(named).shape[1] > 1


@pytest.mark.parametrize("dtype", [complex, object, np.complex64])
def test_complex_numbers_are_refused(dtype):
    X = pd.DataFrame({"wave": pd.Series([1 + 2j, 2j, 1j] * 4, dtype=dtype)})
    with pytest.raises(TypeError, match=r"'wave' holds complex .*as two columns"):
        TableEncoder().fit(X)


TIMES = {
    "date": date(2024, 2, 29),
    "datetime": datetime(2024, 2, 29),
    "time": time(12, 30),
    "Timestamp": pd.Timestamp("2024-02-29", tz="UTC"),
    "Timedelta": pd.Timedelta(3, "D"),
    "Period": pd.Period("2024-02"),
    "timedelta64": np.timedelta64(3, "D"),
}


@pytest.mark.parametrize("name", TIMES)
def test_times_among_python_objects_are_to_become_numbers(name):
    X = pd.DataFrame({"when": pd.Series([TIMES[name], None] * 4, dtype=object)})
    match = rf"'when' holds dates or durations \({name}\).* days since a date"
    with pytest.raises(TypeError, match=match):
        TableEncoder().fit(X)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_lists_in_cells_are_refused(frame):
    X = frame({"tags": [["a", "b"], ["c"], []]})
    with pytest.raises(TypeError, match=r"'tags' holds lists .*column of its own"):
        TableEncoder().fit(X)


def test_encoder_keeps_to_scikit_learns_protocol():
    frame = pd.DataFrame({"kind": ["a", "b", "a"], "size": [1.0, 2.0, 4.0]})
    encoder = TableEncoder()
    for ask in (lambda: encoder.transform(frame), encoder.get_feature_names_out):
        with pytest.raises(NotFittedError):
            ask()
    encoder.fit(frame)
    assert encoder.n_features_in_ == 2
    assert encoder.feature_names_in_.tolist() == ["kind", "size"]
    with pytest.raises(ValueError, match=r"scaling must be one of .*, None, got 'bad'"):
        TableEncoder("bad").fit(frame)


@pytest.mark.parametrize("make_frame", [pd.DataFrame, pl.DataFrame])
def test_names_of_the_numbers_are_those_of_columns_and_categories(make_frame):
    kinds, many = ["a", "b"] * 60, [str(i // 2) for i in range(120)]
    columns = {"kind": kinds, "size": np.arange(120.0), "zip": many}
    frame = make_frame(columns)
    encoder = TableEncoder().fit(frame)
    names = encoder.get_feature_names_out().tolist()
    assert names == ["size", "kind_a", "kind_b", "zip_infrequent_sklearn"]
    numbers = encoder.transform(frame)
    assert numbers.shape == (120, len(names))
    assert np.array_equal(numbers[:, 1], np.array(kinds) == "a")


def test_arrays_keep_the_names_of_their_columns_and_images_have_none():
    encoder = TableEncoder().fit(np.eye(3))
    assert encoder.get_feature_names_out().tolist() == ["x0", "x1", "x2"]
    assert encoder.get_feature_names_out(["a", "b", "c"]).tolist() == ["a", "b", "c"]
    numbered = pd.DataFrame([[1, "a"], [2, "a"]])
    assert TableEncoder().fit(numbered).get_feature_names_out().tolist() == ["0", "1_a"]
    with pytest.raises(ValueError, match="Images have no columns"):
        TableEncoder().fit(np.zeros((4, 2, 3))).get_feature_names_out()
