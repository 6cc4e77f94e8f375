"""Bad input: what was given, what is needed, what to do, before any training."""

from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from joblib import Memory
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import (
    KFold,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from skorch.callbacks import GradientNormClipping
from torch import nn
from torch.utils.data import WeightedRandomSampler

from dit_clean import CleanedClassifier, InfluenceCleaner, InfluenceSampler
from dit_clean.cli.notes import in_options
from dit_clean.data.texts import (
    DATE,
    DatesAsTextWarning,
    ManyColumnsWarning,
    NumbersAsTextWarning,
    are_texts_like,
    texts_beside_numbers,
)
from tests.estimators.cases import (
    N_ROWS,
    NAMES,
    make_cleaner,
    make_labels,
    make_targets,
)
from tests.nets import Convolution, Linear, Mixed, make_net, make_regressor

SAMPLER = InfluenceSampler(make_cleaner())


@pytest.fixture
def trains():
    """Let the test train."""


@pytest.fixture(autouse=True)
def no_training(request, monkeypatch):
    """Fail where training begins, but for the tests of training that goes wrong."""
    if "trains" in request.fixturenames:
        return
    from dit_clean.crossfit import plan

    def begin(*args, **kwargs):
        raise AssertionError("training has begun")

    monkeypatch.setattr(plan, "fit_tracked", begin)


def refused(error, match, cleaner=None, *, X=None, y=None, **kwargs):
    X_good, y_good = make_labels()
    X, y = X_good if X is None else X, y_good if y is None else y
    cleaner = make_cleaner() if cleaner is None else cleaner
    with pytest.raises(error, match=match):
        cleaner.fit(X, y, **kwargs)


@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "contains NaN"), (np.inf, "contains infinity")]
)
def test_values_that_are_no_numbers(value, words):
    X, y = make_labels()
    X[5, 1] = value
    refused(ValueError, f"Input X {words}", X=X)
    X_val, y_val = X[:9], y[:9]
    refused(ValueError, f"X_val .*Input X {words}", X_val=X_val, y_val=y_val)


def test_lists_of_rows_that_are_no_numbers():
    X, y = make_labels()
    for value, error, match in (
        (
            None,
            ValueError,
            r"X contains NaN\. Missing values are imputed in data frames",
        ),
        (date(2024, 2, 29), TypeError, "'datetime.date'. X may hold numbers only"),
    ):
        rows = X.tolist()
        rows[5][1] = value
        refused(error, match, X=rows)
        refused(error, match, X=np.array(rows, dtype=object))
        with pytest.raises(error, match=match):
            CleanedClassifier().fit(rows, y)


@pytest.mark.parametrize("container", [np.asarray, list, pd.Series])
@pytest.mark.parametrize("frame", [False, True])
def test_targets_that_are_no_numbers(container, frame):
    X, good = make_targets()
    X = pd.DataFrame(X) if frame else X
    for value, match in (
        (np.nan, r"no label or target in 1 of {} rows \(first: row 5\)\. Drop these"),
        (np.inf, "Input y contains infinity"),
    ):
        y = good.copy()
        y[5] = value
        refused(ValueError, match.format(N_ROWS), X=X, y=container(y))
        clean = {"X_val": X[:9], "y_val": container(y[:9])}
        match_val = f"y_val does not match the y of fit.*{match.format(9)}"
        refused(ValueError, match_val, X=X, y=good, **clean)


def test_dicts_of_inputs():
    X, y = make_labels()
    match = "X is a dict, but one array or data frame is needed"
    refused(TypeError, match, X={"left": X, "right": X}, y=y)


def test_one_class_only():
    refused(
        ValueError,
        r"y holds 1 class only \(0\)\. Finding wrong labels needs .*at least 2",
        y=np.zeros(N_ROWS, dtype=int),
    )
    y = np.full(N_ROWS, "ant")
    refused(ValueError, r"1 class only \('ant'\)", y=y)
    refused(ValueError, r"1 value only \(1.5\)", y=np.full(N_ROWS, 1.5))


def test_class_with_fewer_rows_than_folds():
    _, y = make_labels()
    y[:2] = 7
    refused(
        ValueError,
        r"1 of 4 classes have fewer rows than cv=3 folds .*\{7: 2\}.*Lower cv",
        y=y,
    )


@pytest.mark.parametrize(
    ("rare", "shown"),
    [
        ([7], r"{7: 1}\)\. Merge or drop these classes\. If y is a regr"),
        (["a"], r"{'a': 1}\)\. Merge or drop these classes\.$"),
        ([*"aabb"], r"{'a': 2, 'b': 2}\)\. Lower cv, merge or drop these classes\.$"),
        (range(3, 10), r"{3: 1, 4: 1, 5: 1, 6: 1, 7: 1, \.\.\.}\)\."),
    ],
)
def test_advice_on_rare_classes_can_be_followed(rare, shown):
    y = make_labels()[1]
    y = NAMES[y].astype(object) if isinstance(rare[0], str) else y
    y[: len(rare)] = rare
    refused(ValueError, shown, y=y)


@pytest.mark.parametrize("others", [{}, {"kind": ["a", "b"] * (N_ROWS // 2)}])
def test_sparse_frames_are_to_be_filled_with_zeros(others):
    X = pd.DataFrame(make_labels()[0], columns=list("abcd"))
    sparse_frame = X.where(X > 0).astype(pd.SparseDtype(float, np.nan))
    match = r"sparse columns .*pandas\.SparseDtype\(float, 0\)\); .*\.sparse\.to_dense"
    refused(ValueError, match, X=sparse_frame.assign(**others))
    for advised in (
        sparse_frame.fillna(0).astype(pd.SparseDtype(float, 0)),
        sparse_frame.sparse.to_dense(),
    ):
        refused(AssertionError, "training has begun", X=advised)


def test_y_of_another_length():
    _, y = make_labels()
    refused(ValueError, r"inconsistent numbers of samples: \[90, 89\]", y=y[:-1])
    X = pd.DataFrame(make_labels()[0])
    refused(ValueError, r"inconsistent numbers of samples: \[90, 89\]", X=X, y=y[:-1])
    refused(ValueError, "y should be a 1d array", y=np.c_[y, y])


def test_mixed_labels():
    _, y = make_labels()
    y = y.astype(object)
    y[3] = "three"
    refused(ValueError, "labels of types int, str. Give all labels as strings", y=y)


GAPS = [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]
OBJECTS = {
    "list": list,
    "tuple": tuple,
    "array": lambda y: np.array(y, dtype=object),
    "series": lambda y: pd.Series(y, dtype=object),
}


@pytest.mark.parametrize("container", OBJECTS)
@pytest.mark.parametrize("gap", GAPS, ids=repr)
@pytest.mark.parametrize("names", [list("abc"), [False, True, True]])
def test_missing_labels_are_counted_in_any_container(container, gap, names):
    X, y = make_labels()
    labels = [names[code] for code in y]
    labels[3] = gap
    given = OBJECTS[container](labels)
    match = r"no label.* in 1 of 90 rows \(first: row 3\)\. Drop"
    refused(ValueError, f"^y has {match}", y=given)
    refused(ValueError, f"y_val .*{match}", X_val=X, y_val=given)


def test_validation_samples_that_do_not_match():
    X, y = make_labels()
    refused(
        ValueError,
        "X_val does not match.* 3 features, but InfluenceCleaner is expecting 4",
        X_val=X[:9, :3],
        y_val=y[:9],
    )
    refused(ValueError, r"samples: \[9, 8\]", X_val=X[:9], y_val=y[:8])
    refused(ValueError, "X_val was given without y_val: give both", X_val=X[:9])
    refused(ValueError, "y_val was given without X_val", y_val=y[:9])
    match = r"Labels that the y of fit does not hold: \[8, 9\]\. Known labels: \[0, 1"
    refused(ValueError, match, X_val=X[:2], y_val=[8, 9])
    images = X.reshape(-1, 1, 2, 2)
    match = r"X_val .*shape \(1, 3, 3\), but .*fitted on samples of shape \(1, 2, 2\)"
    refused(ValueError, match, X=images, X_val=np.ones((4, 1, 3, 3)), y_val=y[:4])


@pytest.mark.parametrize("window", [0, 5, (0, 5), (3, 3), (-1, 2)])
def test_window_outside_of_training(window):
    match = "outside of training: it has 4 epochs, so 0 <= start < stop <= 4"
    refused(ValueError, match, make_cleaner(window=window))


def test_window_is_checked_against_the_epochs_of_the_given_net():
    cleaner = make_cleaner(make_net(max_epochs=2), window=3)
    refused(ValueError, "it has 2 epochs", cleaner)


@pytest.mark.parametrize("window", ["last", (0.5, 1.5), 1.5, (1, 2, 3)])
def test_what_is_no_window(window):
    refused(ValueError, "[Ww]indow", make_cleaner(window=window))


@pytest.mark.parametrize("contamination", [0, -0.1, 0.51, 1, "some", None, np.nan])
def test_contamination_outside_of_its_range(contamination):
    match = r"contamination must be 'auto', or a number in \(0, 0\.5\], got"
    refused(ValueError, match, make_cleaner(contamination=contamination))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"scoring": "loss"}, "scoring must be one of 'combined', 'influence', 'ma"),
        ({"cv": 1}, "cv must be an int of at least 2, or a scikit-learn splitter"),
        ({"cv": "three"}, "cv must be"),
        ({"max_epochs": 0}, "max_epochs must be an int of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be an int"),
        ({"lr": 0}, "lr must be 'auto', or a number greater than 0, got 0"),
        ({"lr": np.inf}, "lr must be 'auto', or a number greater than 0, got inf"),
        ({"optimizer": "lbfgs"}, "optimizer must be one of 'sgd', 'adam', 'adamw'"),
        ({"hidden_layer_sizes": 0}, "sizes must be an int .* or a list, tuple or arr"),
        ({"hidden_layer_sizes": "50"}, "hidden_layer_sizes must be"),
        ({"hidden_layer_sizes": np.eye(2, dtype=int)}, "hidden_layer_sizes must be"),
        ({"hidden_layer_sizes": (0,)}, "hidden_layer_sizes must be .*at least 1"),
        ({"history": "past"}, "history must be one of 'window', 'full'"),
        ({"storage": "some"}, "storage must be one of 'auto', 'all', 'none'"),
        ({"max_memory": "lots"}, "Cannot read 'lots' as an amount of memory"),
        ({"task": "ranking"}, "task must be one of"),
        ({"verbose": "yes"}, "verbose must be an int of at least 0, or True, or Fal"),
    ],
)
def test_parameters_outside_of_their_range(settings, match):
    refused(ValueError, match, make_cleaner(**settings))


def test_amounts_of_memory_are_read_before_the_data():
    with pytest.raises(ValueError, match="Cannot read 'lots' as an amount of memory"):
        make_cleaner(max_memory="lots").fit(None, None)


@pytest.mark.parametrize(
    "cv", [TimeSeriesSplit(3), ShuffleSplit(3), RepeatedKFold(n_splits=3)]
)
def test_splitters_that_do_not_hold_out_each_row_once(cv):
    refused(
        ValueError, "hold out each of the 90 samples exactly once", make_cleaner(cv=cv)
    )


BAD_NETS = {
    "module": (lambda: nn.Linear(4, 3), TypeError, "got Linear. Wrap the module"),
    "class": (
        lambda: type(make_net()),
        TypeError,
        r"must be a skorch Neural.* instance, got the class NeuralNetClassifier\. Wrap",
    ),
    "lazy layer": (
        lambda: make_net(nn.LazyLinear, module__out_features=3),
        ValueError,
        r"\(LazyLinear\) is lazy",
    ),
    "clipping": (
        lambda: make_net(callbacks=[GradientNormClipping]),
        ValueError,
        "GradientNormClipping cannot be tracked",
    ),
    "too many outputs": (
        lambda: make_net(module__n_outputs=9),
        ValueError,
        r"Linear returns shape \(2, 9\).*y has 3 classes: \(n_samples, 3\)",
    ),
    "too few outputs": (
        lambda: make_net(module__n_outputs=2),
        ValueError,
        "y has 3 classes.*Change the size of its last layer",
    ),
    "criterion": (
        lambda: make_net(criterion=nn.BCEWithLogitsLoss),
        ValueError,
        "BCEWithLogitsLoss cannot be asked .*CrossEntropyLoss",
    ),
    "other inputs": (
        lambda: make_net(Convolution),
        ValueError,
        r"Convolution cannot be evaluated on the first rows of X, shape \(2, 4\)",
    ),
}


@pytest.mark.parametrize("name", BAD_NETS)
def test_nets_that_cannot_be_tracked(name):
    make, error, match = BAD_NETS[name]
    refused(error, match, make_cleaner(make()))


def test_regressor_with_the_wrong_outputs():
    X, y = make_targets()
    net = make_regressor(module__n_outputs=2)
    match = r"y has one target: \(n_samples, 1\) is needed"
    refused(ValueError, match, make_cleaner(net), X=X, y=y)


class Squeezed(Linear):
    def forward(self, X):
        return super().forward(X).squeeze(1)


def test_outputs_of_one_axis_are_told_to_keep_the_second():
    X, y = make_targets()
    net = make_regressor(Squeezed)
    match = r"Squeezed returns shape \(2,\) for 2 rows.*Leave out the squeeze"
    refused(ValueError, match, make_cleaner(net), X=X, y=y)


@pytest.mark.parametrize("module", [Linear, Squeezed])
def test_one_logit_for_two_classes_is_told_to_be_two(module):
    X, y = make_labels()
    settings = {"module__n_outputs": 1, "criterion": nn.BCEWithLogitsLoss}
    cleaner = make_cleaner(make_net(module, **settings))
    match = r"y has 2 classes: .*two outputs, .*CrossEntropyLoss in place of .*BCE"
    refused(ValueError, match, cleaner, X=X, y=y > 0)
    refused(ValueError, "Change the size of its last layer", cleaner, X=X, y=y)


def test_whole_numbers_for_a_net_of_floats():
    X, _ = make_labels()
    match = r"Linear cannot be evaluated .*torch\.int64.*astype\('float32'\)"
    refused(ValueError, match, make_cleaner(make_net()), X=(X * 10).astype(int))


def test_sample_weights():
    refused(ValueError, r"shape \(4,\), but one weight", sample_weight=np.ones(4))
    refused(ValueError, "must be non-negative", sample_weight=-np.ones(N_ROWS))
    refused(ValueError, "not all zero", sample_weight=np.zeros(N_ROWS))
    refused(ValueError, "contains NaN", sample_weight=np.full(N_ROWS, np.nan))


@pytest.mark.usefixtures("trains")
@pytest.mark.parametrize("optimizer", [torch.optim.Adafactor, torch.optim.LBFGS])
def test_unknown_optimizer(optimizer):
    match = f"{optimizer.__name__} cannot be tracked.*: SGD, Adam, AdamW"
    refused(ValueError, match, make_cleaner(make_net(optimizer=optimizer)))


@pytest.mark.usefixtures("trains")
def test_divergence_names_the_step_and_what_to_lower():
    match = r"diverged: the loss is nan at step \d+ \(epoch 0\)\. Lower the learning"
    refused(FloatingPointError, match, make_cleaner(lr=1e38))
    X, y = make_targets()
    match = r"diverged: .*scale the inputs \(and targets, in regression\)\."
    refused(FloatingPointError, match, make_cleaner(make_regressor()), X=X, y=1e23 * y)


@pytest.mark.usefixtures("trains")
def test_divergence_in_the_last_step_is_noticed():
    cleaner = make_cleaner(lr=1e30, max_epochs=1, batch_size=N_ROWS)
    refused(FloatingPointError, "diverged: .*not finite after epoch 0.*Lower", cleaner)


@pytest.mark.usefixtures("trains")
def test_fewer_rows_than_a_batch_that_must_be_full():
    net = make_net(batch_size=64, iterator_train__drop_last=True)
    match = "No batch to train on: 60 training samples are fewer than batch_size=64"
    refused(ValueError, match, make_cleaner(net))


@pytest.mark.usefixtures("trains")
def test_fewer_rows_than_a_batch_are_fine_otherwise():
    cleaner = make_cleaner(batch_size=1000).fit(*make_labels())
    assert cleaner._findings.recorded.ready[0].run.trajectory.n_steps == 4


@pytest.mark.usefixtures("trains")
def test_questions_about_samples_that_do_not_match():
    X, y = make_labels()
    cleaner = make_cleaner(max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="3 features, but InfluenceCleaner is expec"):
        cleaner.influence_on(X[:2, :3])
    with pytest.raises(ValueError, match=r"y of fit does not hold: \['x'\]"):
        cleaner.influence_on(X[:1], ["x"])
    with pytest.raises(ValueError, match=r"numbers of samples: \[2, 1\]"):
        cleaner.influence_on(X[:2], y[:1])
    with pytest.raises(TypeError, match="must return a scalar tensor, got float"):
        cleaner.influence(query=lambda params, run: 1.0)
    for shape in ((0,), (2, 2)):
        with pytest.raises(ValueError, match=r"one value per query, got shape \("):
            cleaner.influence(query=lambda params, run, n=shape: torch.zeros(n))


def test_defaults_can_be_constructed_without_arguments():
    assert InfluenceCleaner().get_params()["window"] == "convergence"
    assert Linear().output.out_features == 3


def test_missing_numbers_of_arrays_point_to_data_frames():
    X, _ = make_labels()
    X[3, 0] = np.nan
    refused(ValueError, r"give pandas\.DataFrame\(X\), or impute", X=X)


def test_strings_of_arrays_point_to_data_frames():
    X = np.array([["red", "1"]] * N_ROWS, dtype=object)
    refused(ValueError, r"string to float: 'red'\. Categories are encoded in", X=X)


def test_missing_strings_of_a_series_are_counted():
    _, y = make_labels()
    y = pd.Series(np.array(list("abc"))[y]).where(np.arange(N_ROWS) != 5)
    refused(ValueError, r"no label in 1 of 90 rows \(first: row 5\)", y=y)


def test_last_batch_of_one_row_is_refused_by_a_net_that_cannot_take_it():
    net = make_net(Mixed, batch_size=89)  # 90 rows leave one
    refused(ValueError, "Training on 90 rows in batches of 89", InfluenceCleaner(net))
    dropping = net.set_params(iterator_train__drop_last=True)
    refused(AssertionError, "training has begun", InfluenceCleaner(dropping))
    other = make_net(Linear, batch_size=89)
    refused(AssertionError, "training has begun", InfluenceCleaner(other))


def test_folds_that_hold_out_nothing_are_refused():
    rows = np.arange(N_ROWS)
    splits = [(rows[45:], rows[:45]), (rows[:45], rows[45:]), (rows, rows[:0])]
    refused(ValueError, "each of the 90 samples exactly once", make_cleaner(cv=splits))


def test_labels_in_a_frame_of_one_column_are_taken(trains):
    X, y = make_labels()
    expected = make_cleaner(max_epochs=1).fit(X, y).suspicion_
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        found = make_cleaner(max_epochs=1).fit(X, pd.DataFrame({"label": y}))
    assert np.array_equal(found.suspicion_, expected)


def paired(X, y, order):
    return pd.DataFrame(X), pd.Series(y).iloc[order]


@pytest.mark.parametrize("estimator", [make_cleaner(), CleanedClassifier(), SAMPLER])
def test_index_labels_in_another_order_are_warned_of(estimator):
    X, y = paired(*make_labels(), np.arange(N_ROWS)[::-1])
    fit = getattr(estimator, "fit_resample", getattr(estimator, "fit", None))
    match = r"X and y have the same index labels in another order.*y\.loc\[X\.index\]"
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        fit(X, y)


def test_index_labels_that_are_mostly_shared_are_warned_of():
    X, y = make_labels()
    rows = np.random.RandomState(0).permutation(2 * N_ROWS)
    X = pd.DataFrame(X, index=rows[:N_ROWS])
    other = pd.Series(y, index=np.sort(rows[20 : N_ROWS + 20]))
    match = r"share 70 of 90 index labels.*y\.loc\[X\.index\]; or reset"
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        make_cleaner().fit(X, other)
    few = pd.Series(y, index=rows[60 : N_ROWS + 60])
    refused(AssertionError, "training has begun", X=X, y=few)
    refused(AssertionError, "training has begun", X=X, y=pd.Series(y))
    lagged = other.set_axis([*X.index[1:], 1000])
    refused(AssertionError, "training has begun", X=X, y=lagged)
    X.index = pd.MultiIndex.from_product([range(1, 10), range(10)])
    levels = X.index[20:].append(pd.MultiIndex.from_product([[10, 11], range(10)]))
    other.index = levels[::-1]
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        make_cleaner().fit(X, other)


def test_index_labels_of_several_levels_are_not_compared_with_others():
    X, y = paired(*make_labels(), np.arange(N_ROWS))
    X.index = pd.MultiIndex.from_product([range(N_ROWS // 3), ["a", "b", "c"]])
    with pytest.raises(AssertionError, match="training has begun"):
        make_cleaner().fit(X, y)


def test_index_labels_of_validation_samples_are_compared_too():
    X, y = paired(*make_labels(), np.arange(N_ROWS))
    match = r"give y_val\.loc\[X_val\.index\]"
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        make_cleaner().fit(X, y, X_val=X[:9], y_val=y[:9].iloc[::-1])


@pytest.mark.parametrize("estimator", [make_cleaner(), CleanedClassifier()])
def test_index_labels_of_weights_are_compared_too(estimator):
    X, y = paired(*make_labels(), np.arange(N_ROWS))
    weight = pd.Series(np.ones(N_ROWS)).iloc[::-1]
    match = r"give sample_weight\.loc\[X\.index\]"
    with (
        pytest.warns(UserWarning, match=match) as seen,
        pytest.raises(AssertionError),
    ):
        estimator.fit(X, y, sample_weight=weight)
    assert [warning.filename for warning in seen] == [__file__]


@pytest.mark.usefixtures("trains")
def test_index_labels_of_what_comes_after_fit_are_compared_too():
    X, y = paired(*make_labels(), np.arange(N_ROWS))
    cleaner = make_cleaner(max_epochs=1).fit(X, y)
    back = np.arange(N_ROWS)[::-1]
    assert len(cleaner.filter(X, y, y.tolist())) == 3
    for ask, name in (
        (lambda: cleaner.filter(X, y.iloc[back]), r"arrays\[1\]"),
        (lambda: cleaner.influence_on(X[:3], y[:3].iloc[::-1]), "y"),
        (lambda: cleaner.group_influence(y.iloc[back]), "groups"),
        (lambda: cleaner.audit(columns={"t": y.iloc[back]}), r"columns\['t'\]"),
        (lambda: cleaner.audit(columns=X.iloc[back]), "columns"),
        (lambda: cleaner.plot_gallery(samples=X.iloc[back]), "samples"),
    ):
        with pytest.warns(UserWarning, match=rf"give {name}\.loc\[X\.index") as seen:
            ask()
        assert [warning.filename for warning in seen] == [__file__]


def test_targets_beyond_any_integer_are_not_warned_of():
    X, y = make_targets()
    refused(AssertionError, "training has begun", X=X, y=1e23 * y)
    cleaner = make_cleaner(task="classification")
    refused(ValueError, "Unknown label type: continuous", cleaner, X=X, y=1e23 * y)


@pytest.mark.parametrize("case", ["same", "others", "repeated", "array"])
def test_other_index_labels_are_not_warned_of(case):
    X, y = paired(*make_labels(), np.arange(N_ROWS)[::-1])
    if case == "same":
        X.index = y.index
    if case == "others":
        X.index += 60
    if case == "repeated":
        X.index, y.index = X.index % 30, y.index % 30
    refused(
        AssertionError, "training has begun", X=X, y=list(y) if case == "array" else y
    )


def test_a_class_that_a_fold_does_not_train_on_is_named():
    _, y = make_labels()
    names = np.array(list("abc"), dtype=object)[np.sort(y)]
    match = r"all rows of class 'a' at once \(fold 0 of KFold.*cv=5 or cv=Stratified"
    refused(ValueError, match, make_cleaner(cv=KFold(3)), y=names)
    cleaner = make_cleaner(cv=KFold(3, shuffle=True, random_state=0))
    refused(AssertionError, "training has begun", cleaner, y=names)
    targets = np.sort(make_targets()[1])
    refused(AssertionError, "training has begun", make_cleaner(cv=KFold(3)), y=targets)


@pytest.mark.parametrize("cv", [[1, 2], [(1, 2)], [([0.5], [1.5])], [(1, 2, 3)]])
def test_lists_that_hold_no_splits_are_refused(cv):
    match = r"a list of pairs.*list\(splitter\.split\(X, y\)\).*got a list of length \d"
    refused(ValueError, match, make_cleaner(cv=cv))


def test_splits_of_other_rows_are_refused_without_printing_them():
    rows = np.arange(30)
    splits = [(rows[10:], rows[:10]), (rows[:10], rows[10:])]
    match = "each of the 90 samples exactly once.*; a list of length 2 does not"
    refused(ValueError, match, make_cleaner(cv=splits))


TEXTS = ["hello there", "buy now", "see you"] * (N_ROWS // 3)


@pytest.mark.parametrize("container", [list, np.array, pd.Series, tuple])
def test_raw_texts_point_to_a_vectorizer(container):
    X = container(TEXTS)
    match = rf"X is a {type(X).__name__} of texts, but a table.*TfidfVectorizer\.$"
    refused(ValueError, match, X=X)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_of_free_text_are_warned_of(frame):
    X, y = make_labels()
    few = frame({"word": TEXTS, "size": X[:, 0]})
    refused(AssertionError, "training has begun", X=few)
    many = frame({"text": [f"text {i}" for i in range(N_ROWS)], "word": TEXTS})
    match = r"'text' holds 90 different texts in 90 rows.*TfidfVectorizer\. Leave ident"
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        make_cleaner().fit(many, y)


def test_identifiers_of_digits_are_no_numbers():
    X, y = make_labels()
    table = pd.DataFrame({"zip": [f"{i:05}" for i in range(N_ROWS)], "size": X[:, 0]})
    match = r"'zip' holds 90 different texts in .*Leave identifiers out"
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        make_cleaner().fit(table, y)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("number", ["{}.5", "-{}e-3", "{},25", "1,000,{:03}.5"])
def test_numbers_as_text_are_to_become_numbers(frame, number):
    X, y = make_labels()
    texts = [number.format(i) for i in range(N_ROWS)]
    table = frame({"price": [*texts[1:], None], "size": X[:, 0]})
    match = r"'price' holds 89 different numbers as text, .*to_numeric"
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        make_cleaner().fit(table, y)


def test_numbers_as_text_are_named_whatever_their_share_unless_they_are_categories():
    X, y = make_labels()
    texts = [f"{i % 20}" for i in range(N_ROWS)]
    table = pd.DataFrame({"hour": texts, "size": X[:, 0]})
    with (
        pytest.warns(NumbersAsTextWarning, match="'hour' holds 20 different numbers"),
        pytest.raises(AssertionError),
    ):
        make_cleaner().fit(table, y)
    refused(AssertionError, "training has begun", X=table.astype({"hour": "category"}))
    names = pl.Enum([str(hour) for hour in range(20)])
    table = pl.DataFrame({"hour": pl.Series(texts, dtype=names), "size": X[:, 0]})
    refused(AssertionError, "training has begun", X=table)
    few = pd.DataFrame({"month": [f"{i % 12}" for i in range(N_ROWS)]})
    refused(AssertionError, "training has begun", X=few)


@pytest.mark.parametrize("others", [{}, {3: "?"}, {3: "099"}])
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_whole_numbers_of_one_length_or_with_zeros_in_front_may_be_names(frame, others):
    codes = pd.Series([f"{100 + i % 16}" for i in range(N_ROWS)])
    codes.update(pd.Series(others, dtype=object))
    table = frame({"shop": codes.to_numpy(), "size": make_labels()[0][:, 0]})
    match = r"'shop' holds 1[67] different whole .* If they are names.*If they are amou"
    with pytest.warns(NumbersAsTextWarning, match=match) as caught:
        refused(AssertionError, "training has begun", X=table)
    said = str(caught[0].message)
    assert ("'?' means" in said) == ("?" in others.values())
    assert "099' means" not in said
    match = (
        "If they are names, such as postcodes or numbers of shops, that is right. If"
    )
    assert match in in_options(said)
    assert "pandas" not in in_options(said)


@pytest.mark.parametrize(
    ("text", "least", "n"), [("{}.5", 100, 16), ("{}", 90, 16), ("{}", 100, 30)]
)
def test_numbers_that_vary_in_length_or_hardly_repeat_are_amounts_first(text, least, n):
    texts = [text.format(least + i % n) for i in range(N_ROWS)]
    table = pd.DataFrame({"size": texts})
    with pytest.warns(
        NumbersAsTextWarning, match="different numbers .* Turn them into"
    ):
        refused(AssertionError, "training has begun", X=table)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_placeholders_among_numbers_are_named(frame):
    X, y = make_labels()
    texts = [f"{i % 20}" for i in range(N_ROWS)]
    texts[3], texts[7] = "?", "unknown"
    table = frame({"hour": texts, "size": X[:, 0]})
    match = r"'hour' holds 20 different numbers .*such as '\d+'.*'\?', 'unknown' means"
    with pytest.warns(NumbersAsTextWarning, match=match):
        refused(AssertionError, "training has begun", X=table, y=y)
    texts[11:14] = "12a", "12b", "7c"  # names
    table = frame({"hour": texts, "size": X[:, 0]})
    refused(AssertionError, "training has begun", X=table, y=y)


@pytest.mark.parametrize(
    "sign", ["${}", "{} €", "{}%", "({}.50)", "{} kg", "{},5°C", "{}km/h", "{} m2"]
)
def test_amounts_percentages_and_units_are_numbers(sign):
    X, y = make_labels()
    texts = [sign.format(i % 20) for i in range(N_ROWS)]
    table = pd.DataFrame({"price": texts, "size": X[:, 0]})
    with pytest.warns(NumbersAsTextWarning, match="'price' holds 20 different numbers"):
        refused(AssertionError, "training has begun", X=table, y=y)


def test_numbers_of_several_units_or_with_other_letters_are_names():
    written = ["B{}", "{}A", "{} Main", "10{} AB", "{}th", "({}", "{})", "kg {}"]
    for name in written:
        assert texts_beside_numbers([name.format(i) for i in range(40)]) is None
    both = [f"{i} {'kg' if i % 2 else 'lb'}" for i in range(40)]
    assert texts_beside_numbers(both) is None
    assert texts_beside_numbers([f"{i} KG" for i in range(20)] + ["8 lbs"]) == ["8 lbs"]


@pytest.mark.parametrize(
    "written",
    [
        *("%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%Y/%m/%d %H:%M", "%m/%d/%Y %I:%M %p"),
        *("%d-%b-%y", "%b %d, %Y", "%m/%Y", "%B %Y", "%Y-%m"),
    ],
)
def test_dates_in_all_usual_orders_are_dates(written):
    X, y = make_labels()
    dates = pd.date_range("1999-12-28", periods=N_ROWS, freq="9D")
    table = pd.DataFrame({"when": dates.strftime(written), "size": X[:, 0]})
    with pytest.warns(DatesAsTextWarning, match="'when' holds dates as text"):
        refused(AssertionError, "training has begun", X=table, y=y)


@pytest.mark.parametrize(
    "texts", [["1.2.3", "1.10.2"], ["192.168.1.1"], ["3/4"], ["2020.11"], ["jane 22"]]
)
def test_what_only_looks_like_dates_is_none(texts):
    assert not are_texts_like(texts, DATE)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("time", ["", "T12:30", " 12:30:01.25+02:00", "T12:30:01Z"])
@pytest.mark.parametrize("n_days", [2, 28])
def test_dates_as_text_are_to_become_numbers(frame, time, n_days):
    X, y = make_labels()
    dates = [f"2020-01-{1 + i % n_days:02}{time}" for i in range(N_ROWS)]
    table = frame({"when": [*dates[1:], None], "size": X[:, 0]})
    match = r"'when' holds dates as text, such as '2020-01-01.*days since a date"
    with pytest.warns(UserWarning, match=match) as warned:
        refused(AssertionError, "training has begun", X=table, y=y)
    assert len(warned) == 1
    other = frame({"when": [*dates[1:], "later"], "size": X[:, 0]})
    refused(AssertionError, "training has begun", X=other, y=y)


@pytest.mark.parametrize(
    "container", [np.asarray, np.ndarray.tolist, torch.as_tensor, pd.DataFrame]
)
def test_booleans_are_numbers(container):
    X, y = make_labels()
    refused(AssertionError, "training has begun", X=container(X > 0), y=y)
    of_objects = pd.DataFrame((X > 0).astype(object)).map(np.bool_)
    refused(AssertionError, "training has begun", X=of_objects, y=y)


@pytest.mark.parametrize("dtype", ["M8[D]", "m8[s]"])
def test_arrays_of_dates_are_refused_as_columns_are(dtype):
    X, y = make_labels()
    times = X.astype(int).astype(dtype)
    refused(TypeError, r"^X holds dates .* days since a date", X=times, y=y)


def test_very_many_columns_are_warned_of():
    y = make_labels()[1]
    wide = sparse.csr_array(sparse.eye(len(y), 20_001))
    match = r"reads X as 20,001 columns .*max_features=2000"
    with pytest.warns(ManyColumnsWarning, match=match):
        refused(AssertionError, "training has begun", X=wide, y=y)
    refused(AssertionError, "training has begun", X=wide[:, 1:], y=y)
    own = make_cleaner(net=make_net(lambda: nn.Linear(20_001, 3)))
    refused(AssertionError, "training has begun", own, X=wide, y=y)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_columns_with_many_rare_categories_are_warned_of(frame):
    X, y = (np.r_[part, part] for part in make_labels())
    codes = [f"code {i if i < 40 else 40 + i % 12}" for i in range(2 * N_ROWS)]
    match = r"'code' holds 52 different values, and 22% of the rows .*Group the values"
    table = frame({"code": codes, "size": X[:, 0]})
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        make_cleaner().fit(table, y)
    few = frame(
        {"code": [f"code {i % 30}" for i in range(2 * N_ROWS)], "size": X[:, 0]}
    )
    refused(AssertionError, "training has begun", X=few, y=y)


def test_datasets_are_to_be_given_as_arrays():
    X, y = map(torch.as_tensor, make_labels())
    dataset = torch.utils.data.TensorDataset(X, y)
    refused(TypeError, r"^X is a TensorDataset.*SliceDataset\(ds, idx=0\)", X=dataset)


def test_masked_values_are_missing():
    X, y = make_labels()
    mask = np.arange(N_ROWS) % 5 == 3
    masked = np.ma.masked_array(y, mask)
    refused(ValueError, r"y has no label in 18 of 90 rows \(first: row 3\)", y=masked)
    masked = np.ma.masked_array(X, np.c_[mask, mask, mask, mask])
    refused(ValueError, "Input X contains NaN.*pandas.DataFrame", X=masked)
    weight = np.ma.masked_array(np.ones(N_ROWS), mask)
    refused(ValueError, "Input sample_weight contains NaN", sample_weight=weight)
    refused(AssertionError, "training has begun", X=np.ma.masked_array(X), y=y)


def test_few_numbers_may_be_labels():
    X, y = make_labels()
    match = r"3 different numbers, \[0\.5, 1\.5, 2\.5\], .* y\.astype\(str\)"
    with pytest.warns(UserWarning, match=match):
        refused(AssertionError, "training has begun", X=X, y=y + 0.5)
    given = make_cleaner(task="regression")
    refused(AssertionError, "training has begun", given, X=X, y=y + 0.5)
    given = make_cleaner(task="classification")
    refused(ValueError, r"If they are labels.*y\.astype\(str\)", given, y=y + 0.5)


def test_lazy_frames_are_to_be_collected():
    X, y = make_labels()
    lazy = pl.DataFrame(X).lazy()
    refused(ValueError, r"^X is a LazyFrame: give X\.collect\(\)", X=lazy)
    refused(ValueError, r"^y is a LazyFrame: give y\.collect\(\)", y=lazy)
    match = r"X_val does not match .*X is a LazyFrame"
    refused(ValueError, match, X=pl.DataFrame(X), X_val=lazy, y_val=y)


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("dtype", ["datetime64[ns]", "timedelta64[s]", object])
@pytest.mark.parametrize("task", ["auto", "regression"])
def test_targets_that_are_times_are_to_become_numbers(dtype, task):
    days = np.arange(N_ROWS).astype("timedelta64[D]")
    y = (
        days.astype(dtype)
        if dtype == "timedelta64[s]"
        else days + np.datetime64(0, "D")
    )
    match = r"y holds (dates|durations).*turn it into numbers.*timedelta64\(1, 'D'\)"
    refused(ValueError, match, make_cleaner(task=task), y=y.astype(dtype))


def test_several_targets_are_to_be_cleaned_one_by_one():
    X, y = make_labels()
    for inputs in (X, pd.DataFrame(X)):
        match = r"y should be a 1d array, got .*\(90, 2\) instead\. .*clean them one by"
        refused(ValueError, match, X=inputs, y=np.c_[y, y])


def test_frames_without_rows_or_with_names_that_repeat():
    X, y = make_labels()
    X = pd.DataFrame(X)
    clean = {"X_val": X[:0], "y_val": y[:0]}
    refused(ValueError, "X_val does not match .*X has 0 rows", X=X, **clean)
    refused(ValueError, r"X has 0 rows \(shape=\(0, 4\)\)", X=X[:0], y=y[:0])
    twice = X.set_axis(["a", "b", "a", "c"], axis=1)
    refused(
        ValueError, r"2 columns of X are named 'a'\. Rename .*duplicated\(\)", X=twice
    )


def test_names_of_weights_are_refused():
    match = r"sample_weight='balanced', but one number .*compute_sample_weight"
    refused(ValueError, match, sample_weight="balanced")


def test_nets_for_another_task():
    X, y = make_labels()
    match = "A NeuralNetRegressor is not for classification: give a NeuralNetClassifier"
    refused(ValueError, match, make_cleaner(make_regressor(), task="classification"))
    with pytest.raises(ValueError, match=match):
        CleanedClassifier(cleaner=make_cleaner(make_regressor())).fit(X, y)
    match = "A NeuralNetClassifier is not for regression: give a NeuralNetRegressor"
    refused(ValueError, match, make_cleaner(make_net(), task="regression"))


def test_samplers_are_for_whole_data():
    sampler = WeightedRandomSampler(torch.ones(N_ROWS), N_ROWS)
    match = r"iterator_train__sampler names rows .*sample_weight.*dit_clean\.track"
    for rows in (sampler, list(range(45))):
        net = make_net(iterator_train__sampler=rows)
        refused(ValueError, match, make_cleaner(net))


def test_seeds_that_no_later_fit_has_are_warned_of(tmp_path):
    X, y = make_labels()
    for memory in (str(tmp_path), Memory(tmp_path, verbose=0)):
        cleaner = make_cleaner(memory=memory, random_state=None)
        match = "never read again. Set random_state to an int"
        with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
            cleaner.fit(X, y)
    cleaner = make_cleaner(memory=tmp_path, cv=StratifiedKFold(3, shuffle=True))
    match = r"cv=StratifiedKFold\(.* draws its own: .*Set the random_state of cv to an"
    with pytest.warns(UserWarning, match=match), pytest.raises(AssertionError):
        cleaner.fit(X, y)
    for cv in (StratifiedKFold(3), StratifiedKFold(3, shuffle=True, random_state=0)):
        cleaner = make_cleaner(memory=tmp_path, cv=cv)
        refused(AssertionError, "training has begun", cleaner)
    for memory in (None, Memory(None)):
        cleaner = make_cleaner(memory=memory, random_state=None)
        refused(AssertionError, "training has begun", cleaner)


@pytest.mark.usefixtures("trains")
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_clean_rows_that_make_outputs_infinite_are_named():
    X, y = make_labels()
    X_val = X[:9].astype(float)
    X_val[4, 1] = 1e39  # no number in single precision
    match = "not finite for row 4 of X_val, though they are for all of X"
    with pytest.raises(FloatingPointError, match=match):
        make_cleaner(make_net(Linear)).fit(X, y, X_val=X_val, y_val=y[:9])


@pytest.mark.usefixtures("trains")
def test_columns_that_were_text_in_fit_are_named_wherever_frames_are_given():
    rng = np.random.RandomState(0)
    codes = rng.randint(1, 4, 60)
    X = pd.DataFrame({"code": codes.astype(str), "size": rng.rand(60)})
    y, given = codes == 2, X.assign(code=codes)
    y[0] = not y[0]  # not told by the code alone
    match = r"Column 'code' holds numbers \(int64\), but fit saw text.*astype\(str\)"
    with pytest.raises(ValueError, match=f"X_val does not match.*{match}"):
        InfluenceCleaner(max_epochs=1).fit(X, y, X_val=given, y_val=y)
    cleaner = InfluenceCleaner(max_epochs=20, random_state=0)
    model = CleanedClassifier(cleaner=cleaner).fit(X, y)
    cleaner = model.cleaner_
    for answer in (model.predict, cleaner.transform, cleaner.encode):
        assert len(answer(X)) == 60
        with pytest.raises(ValueError, match=match):
            answer(given)
