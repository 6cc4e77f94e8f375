"""A second fit leaves nothing of the first."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from dit_clean import CleanedClassifier, InfluenceCleaner, InfluenceSampler
from tests.estimators.cases import N_ROWS, make_cleaner, make_labels, make_targets
from tests.nets import make_net

CLEANER = make_cleaner(max_epochs=1, hidden_layer_sizes=(4,), contamination=0.1)
pytestmark = pytest.mark.filterwarnings("ignore:The networks hardly predict")
X, Y = make_labels()
DATA = {
    "array": (X, Y),
    "frame": (pd.DataFrame(X[:, :3], columns=list("abc")), Y),
    "images": (X.reshape(N_ROWS, 2, 2), Y),
    "targets": make_targets(),
}
OPTIONS = {
    "validation": {"X_val": X[1:9], "y_val": Y[1:9]},
    "groups": {"groups": np.arange(N_ROWS) // 3},
    "weights": {"sample_weight": np.arange(N_ROWS) + 1.0},
}


def state(estimator):
    """Return the attributes, simple ones with their values."""
    return {
        name: value if isinstance(value, tuple | int) else type(value)
        for name, value in vars(estimator).items()
    }


@pytest.mark.parametrize(("first", "second"), list(permutations(DATA, 2)))
def test_of_other_data(first, second):
    again = clone(CLEANER).fit(*DATA[first]).fit(*DATA[second])
    assert state(again) == state(clone(CLEANER).fit(*DATA[second]))
    assert again.transform(DATA[second][0]) is not None


@pytest.mark.parametrize("first", OPTIONS)
def test_without_options(first):
    again = clone(CLEANER).fit(X, Y, **OPTIONS[first])
    given = again.influence_
    fresh, again = clone(CLEANER).fit(X, Y), again.fit(X, Y)
    assert state(again) == state(fresh)
    assert np.array_equal(again.influence_, fresh.influence_)
    assert not np.array_equal(again.influence_, given)


def test_of_another_net():
    again = InfluenceCleaner(make_net(), random_state=0).fit(X, Y)
    again.set_params(**CLEANER.get_params(deep=False)).fit(X, Y)
    fresh = clone(CLEANER).fit(X, Y)
    assert state(again) == state(fresh)
    assert np.array_equal(again.suspicion_, fresh.suspicion_)


def test_of_models_and_samplers():
    for kind, fit in ((CleanedClassifier, "fit"), (InfluenceSampler, "fit_resample")):
        again, fresh = kind(cleaner=CLEANER), kind(cleaner=CLEANER)
        getattr(again, fit)(*DATA["array"])
        for estimator in (again, fresh):
            getattr(estimator, fit)(*DATA["frame"])
        assert state(again) == state(fresh)


@pytest.mark.parametrize("window", [(5, 9), "nonsense"])
def test_a_rescore_that_is_refused_changes_nothing(window):
    cleaner = clone(CLEANER).fit(X, Y)
    before = vars(cleaner) | {"window": window}
    with pytest.raises(ValueError, match="window"):
        cleaner.set_params(window=window).rescore()
    assert vars(cleaner) == before


def test_an_interrupted_rescore_changes_nothing(monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    cleaner = make_cleaner(max_epochs=3).fit(X, Y).set_params(window=(0, 1))
    before = dict(vars(cleaner))
    monkeypatch.setattr("dit_clean.estimators.findings.judge_labels", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cleaner.rescore()
    assert vars(cleaner) == before
