"""Data frames, sparse matrices and other containers."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse

from tests.estimators.cases import N_ROWS, NAMES, WRONG, make_cleaner, make_labels
from tests.nets import make_net


def make_frame():
    """Return a pandas frame of every kind of column, and its labels, indexed alike."""
    X, y = make_labels()
    generator = np.random.RandomState(0)
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["category"] = pd.Categorical(generator.choice(list("xyz"), N_ROWS))
    frame["text"] = generator.choice(np.array(["u", "v", None]), N_ROWS)
    frame["flag"] = generator.rand(N_ROWS) > 0.5
    frame["count"] = pd.array(generator.choice([1, 2, None], N_ROWS), dtype="Int64")
    frame["yes"] = pd.array(generator.choice([True, None], N_ROWS), dtype="boolean")
    frame.loc[3, "a"] = np.nan
    frame.loc[5, "category"] = np.nan
    index = pd.Index(generator.permutation(N_ROWS) + 1000, name="id")
    return frame.set_axis(index), pd.Series(NAMES[y], index=index, name="label")


class TestPandas:
    def test_categories_and_missing_values_are_encoded_inside(self):
        X, y = make_frame()
        cleaner = make_cleaner(max_epochs=8).fit(X, y)
        assert cleaner.feature_names_in_.tolist() == X.columns.tolist()
        assert cleaner.n_features_in_ == 9
        assert np.isin(WRONG, np.argsort(-cleaner.suspicion_)[:12]).all()
        assert set(cleaner.suggested_label_) <= set(NAMES)

    def test_filter_keeps_index_and_dtypes(self):
        X, y = make_frame()
        cleaner = make_cleaner().fit(X, y)
        X_clean, y_clean = cleaner.filter(X, y)
        assert X_clean.equals(X[cleaner.keep_mask_])
        assert y_clean.equals(y[cleaner.keep_mask_])
        assert (X_clean.dtypes == X.dtypes).all()

    def test_fit_transform_keeps_index_and_dtypes_and_stays_aligned_with_y(self):
        X, y = make_frame()
        cleaner = make_cleaner(contamination=0.2)
        X_clean = cleaner.fit_transform(X, y)
        assert X_clean.index.equals(X.index)
        assert (X_clean.dtypes == X.dtypes).all()
        kept = cleaner.keep_mask_
        assert X_clean[kept].equals(X[kept])
        assert not X_clean[~kept].equals(X[~kept])

    def test_frame_is_not_changed(self):
        X, y = make_frame()
        before = X.copy(deep=True)
        make_cleaner(max_epochs=1).fit_transform(X, y)
        assert X.equals(before)

    @pytest.mark.filterwarnings("ignore:The inplace keyword")
    @pytest.mark.parametrize(
        "change",
        [
            lambda X: X.sort_values("b", inplace=True),
            lambda X: X.drop(index=X.index[:9], inplace=True),
            lambda X: X.reset_index(drop=True, inplace=True),
            lambda X: X.insert(0, "suspicion", 0.0),
            lambda X: X.pop("a"),
        ],
    )
    def test_a_frame_that_is_changed_later_changes_no_answer(self, change):
        X, y = make_frame()
        cleaner, given = make_cleaner().fit(X, y), X.copy()
        change(X)
        table = cleaner.audit(columns=list("ab"))
        assert table.index.equals(given.index)
        assert table[["a", "b"]].equals(given[["a", "b"]])

    def test_new_categories_are_taken(self):
        X, y = make_frame()
        cleaner = make_cleaner(max_epochs=1).fit(X, y)
        new = X.iloc[:2].assign(category="never seen", text="nor this")
        assert cleaner.influence_on(new).shape == (2, N_ROWS)
        assert cleaner.transform(new).equals(new)

    def test_names_given_by_set_output_are_not_the_users(self):
        X, y = make_frame()
        numbers = X[["a", "b"]].fillna(0.0)
        cleaner = make_cleaner(max_epochs=1).set_output(transform="pandas")
        cleaner.fit(numbers.to_numpy(), y)
        with pytest.warns(UserWarning, match="fitted without feature names"):
            named = cleaner.transform(numbers)
        assert list(named.columns) == ["x0", "x1"]
        assert list(numbers.columns) == ["a", "b"]

    @pytest.mark.filterwarnings("ignore::dit_clean.detection.NoSignalWarning")
    @pytest.mark.filterwarnings("ignore:.*of the labels look wrong")
    @pytest.mark.parametrize(
        "columns", [["category", "text"], ["flag"], ["yes"], ["count"], ["a", "flag"]]
    )
    def test_any_kind_of_columns_alone(self, columns):
        X, y = make_frame()
        assert make_cleaner(max_epochs=1).fit(X[columns], y).suspicion_.size == N_ROWS

    @pytest.mark.parametrize("dtype", ["category", "object", "string"])
    def test_labels_of_any_pandas_dtype(self, dtype):
        X, y = make_frame()
        cleaner = make_cleaner(max_epochs=1).fit(X, y.astype(dtype))
        assert cleaner.classes_.tolist() == NAMES.tolist()

    @pytest.mark.parametrize("labels", [[False, True], [3, 5], [0.0, 2.0]])
    def test_labels_among_python_objects_are_what_they_are(self, labels):
        """As a column of bools with gaps is left by dropna()."""
        X, y = make_frame()
        y = np.array(labels)[(y == NAMES[0]).astype(int)]
        found, expected = (
            make_cleaner(max_epochs=1, task="classification").fit(X, given)
            for given in (pd.Series(y, dtype=object, index=X.index), y)
        )
        assert np.array_equal(found.suspicion_, expected.suspicion_)
        assert found.classes_.tolist() == labels

    @pytest.mark.parametrize(
        ("dtype", "kind"),
        [
            ("Int64", "i"),
            ("UInt8", "u"),
            ("boolean", "b"),
            ("int64[pyarrow]", "i"),
            ("bool[pyarrow]", "b"),
        ],
    )
    def test_labels_whose_dtype_may_have_gaps_are_no_floats(self, dtype, kind):
        X, y = make_labels()
        given = pd.Series(y > 0).astype(dtype)
        cleaner = make_cleaner(max_epochs=1).fit(X, given)
        table = cleaner.audit()
        corrected = cleaner.apply_review(table.head(0).assign(verdict=""))
        for labels in (cleaner.classes_, cleaner.suggested_label_, corrected):
            assert labels.dtype.kind == kind
        assert table["label"].dtype.kind == kind

    def test_wrong_columns_later_are_refused(self):
        X, y = make_frame()
        cleaner = make_cleaner(max_epochs=1).fit(X, y)
        with pytest.raises(ValueError, match="feature names should match"):
            cleaner.transform(X[["a"]])
        with pytest.raises(ValueError, match=r"X_val does not match .*feature names"):
            cleaner.fit(X, y, X_val=X.iloc[:5, ::-1], y_val=y[:5])

    def test_set_output_keeps_frames_aligned(self):
        X, y = make_frame()
        cleaner = make_cleaner(max_epochs=1).set_output(transform="pandas")
        assert cleaner.fit_transform(X, y).index.equals(X.index)

    def test_dates_and_mixed_columns_are_refused_by_name(self):
        X, y = make_frame()
        with pytest.raises(
            TypeError, match=r"'when' holds dates .*Turn it into numbers"
        ):
            make_cleaner().fit(X.assign(when=pd.Timestamp("2020-01-01")), y)
        mixed = pd.Series([1, "one"] * 45, index=X.index, dtype=object)
        with pytest.raises(TypeError, match=r"'mixed' .*number, str.*astype"):
            make_cleaner().fit(X.assign(mixed=mixed), y)

    def test_columns_that_cannot_be_read_are_named_together(self):
        X, y = make_frame()
        when = pd.Timestamp("2020-01-01")
        lists = pd.Series([[1]] * len(X), index=X.index)
        match = (
            r"^Column 'when' \(like 'seen'\) holds dates .* "
            r"Column 'many' holds lists \(list\)"
        )
        with pytest.raises(TypeError, match=match):
            make_cleaner().fit(X.assign(when=when, many=lists, seen=when), y)

    def test_infinite_values_and_missing_labels_are_refused(self):
        X, y = make_frame()
        with pytest.raises(ValueError, match=r"Column .a. holds infinity"):
            make_cleaner().fit(X.assign(a=np.inf), y)
        with pytest.raises(
            ValueError, match=r"no label in \d+ of 90 rows .*Drop these"
        ):
            make_cleaner().fit(X, y.where(y != "bee"))
        with pytest.raises(ValueError, match="X has 0 columns"):
            make_cleaner().fit(X[[]], y)

    def test_missing_numbers_as_targets_are_refused(self):
        X, _ = make_frame()
        y = X["b"].where(X["b"] > 0)
        with pytest.raises(ValueError, match="y has no label or target in 30 of 90"):
            make_cleaner().fit(X, y)


class TestPolars:
    def make(self):
        X, y = make_frame()
        return pl.from_pandas(X.reset_index(drop=True)), pl.Series(
            "label", y.to_numpy()
        )

    def test_frame_goes_in_and_comes_out(self):
        X, y = self.make()
        cleaner = make_cleaner(contamination=0.2).fit(X, y)
        X_clean, y_clean = cleaner.filter(X, y)
        assert isinstance(X_clean, pl.DataFrame)
        assert X_clean.schema == X.schema
        assert X_clean.equals(X.filter(cleaner.keep_mask_))
        assert y_clean.equals(y.filter(cleaner.keep_mask_))
        assert X.equals(self.make()[0])

    def test_result_is_that_of_pandas(self):
        X, y = self.make()
        ours = make_cleaner(max_epochs=2).fit(X, y)
        theirs = make_cleaner(max_epochs=2).fit(*make_frame())
        assert np.allclose(ours.suspicion_, theirs.suspicion_, atol=1e-5)
        assert ours.feature_names_in_.tolist() == X.columns

    def test_fit_transform_keeps_the_schema(self):
        X, y = self.make()
        cleaner = make_cleaner(contamination=0.2)
        X_clean = cleaner.fit_transform(X, y)
        assert X_clean.schema == X.schema
        kept = cleaner.keep_mask_
        assert X_clean.filter(kept).equals(X.filter(kept))
        assert cleaner.transform(X) is X

    def test_dates_and_missing_labels_are_refused(self):
        X, y = self.make()
        dates = pl.lit("2020-01-01").str.to_date().alias("when")
        with pytest.raises(TypeError, match=r"'when' holds dates .*\(Date\)"):
            make_cleaner().fit(X.with_columns(dates), y)
        with pytest.raises(ValueError, match="y has no label in"):
            make_cleaner().fit(X, y.replace({"bee": None}))


class TestSparse:
    def test_sparse_rows_give_the_result_of_dense_ones_for_a_given_net(self):
        X, y = make_labels()
        X = np.maximum(X, 0)
        dense = make_cleaner(make_net()).fit(X, y)
        for make in (sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix):
            found = make_cleaner(make_net()).fit(make(X), y)
            assert np.array_equal(found.suspicion_, dense.suspicion_)

    def test_sparse_rows_stay_sparse(self):
        X, y = make_labels()
        X = sparse.csr_matrix(np.maximum(X, 0))
        cleaner = make_cleaner(make_net(), contamination=0.2).fit(X, y)
        assert sparse.issparse(cleaner._findings.recorded.ready[0].run.model.inputs)
        kept = cleaner.sample_indices_
        assert np.array_equal(cleaner.filter(X).toarray(), X[kept].toarray())
        assert np.array_equal(cleaner.filter(X.tocoo()).toarray(), X[kept].toarray())
        X_clean = cleaner.fit_transform(X, y)
        assert sparse.issparse(X_clean)
        assert np.array_equal(X_clean[kept].toarray(), X[kept].toarray())
        assert cleaner.influence_on(X[:3]).shape == (3, N_ROWS)
        assert cleaner.transform(X[:2]).shape == (2, 4)

    def test_sparse_validation_samples(self):
        X, y = make_labels()
        X = sparse.csr_matrix(np.maximum(X, 0))
        cleaner = make_cleaner().fit(X, y, X_val=X[:9], y_val=y[:9])
        assert cleaner.influence_.shape == (N_ROWS,)


def test_lists_are_taken():
    X, y = make_labels()
    cleaner = make_cleaner(max_epochs=2).fit(X.tolist(), NAMES[y].tolist())
    assert cleaner.filter(y.tolist()) == y[cleaner.keep_mask_].tolist()


def test_filter_takes_arrow_tables_and_arrays():
    arrow = pytest.importorskip("pyarrow")
    X, y = make_labels()
    cleaner = make_cleaner(max_epochs=2).fit(X, y)
    table = arrow.table({"row": np.arange(N_ROWS)})
    kept, labels = cleaner.filter(table, arrow.array(y))
    assert kept["row"].to_pylist() == cleaner.sample_indices_.tolist()
    assert labels.to_pylist() == y[cleaner.keep_mask_].tolist()
