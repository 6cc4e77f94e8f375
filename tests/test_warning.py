"""Warnings name the user's own line, whatever lies in between."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from dit_clean import (
    CleanedClassifier,
    CleanedRegressor,
    InfluenceCleaner,
    InfluenceSampler,
    exceptions,
    track,
)
from dit_clean.exceptions import (
    LabelAmongInputsWarning,
    ManyTextsWarning,
    NoSignalWarning,
    UnfinishedTrainingWarning,
)
from tests.nets import make_net, make_rows

CLEANER = InfluenceCleaner(max_epochs=1, random_state=0, hidden_layer_sizes=(4,))
N_ROWS = 60


def assert_named_here(seen, *categories):
    assert [warning.category for warning in seen] == list(categories)
    assert {warning.filename for warning in seen} == {__file__}


def make_noise():
    """Return inputs that tell nothing of the labels."""
    return np.random.RandomState(0).randn(N_ROWS, 3), np.arange(N_ROWS) % 2


@pytest.mark.parametrize(
    "call",
    [
        CLEANER.fit,
        CLEANER.fit_transform,
        CLEANER.fit_predict,
        lambda *data: make_pipeline(CLEANER, LogisticRegression()).fit(*data),
        lambda *data: CleanedClassifier(cleaner=CLEANER).fit(*data),
        lambda *data: CleanedRegressor(cleaner=CLEANER).fit(*data),
        lambda *data: InfluenceSampler(CLEANER).fit_resample(*data),
        lambda *data: GridSearchCV(
            CleanedClassifier(cleaner=CLEANER), {"cleaner__cv": [2]}, cv=2
        ).fit(*data),
    ],
)
def test_a_missing_signal_is_warned_of_where_the_user_fits(call):
    with pytest.warns(NoSignalWarning) as seen:
        call(*make_noise())
    assert_named_here(seen, *[NoSignalWarning] * len(seen))


def test_columns_and_seeds_are_warned_of_where_the_user_fits(tmp_path):
    _, y = make_noise()
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(N_ROWS)], "y": y})
    cleaner = InfluenceCleaner(max_epochs=20, memory=tmp_path)
    with pytest.warns(UserWarning) as seen:
        cleaner.fit_predict(frame, y)
    assert_named_here(seen, UserWarning, LabelAmongInputsWarning, ManyTextsWarning)


def test_far_targets_are_warned_of_where_the_user_fits():
    X, _ = make_noise()
    cleaner = clone(CLEANER).set_params(max_epochs=20, lr=0.1)
    with pytest.warns(UserWarning, match="outside the range of the kept") as seen:
        cleaner.fit_transform(X, np.r_[1e3, X[1:, 0]])
    assert_named_here(seen, UnfinishedTrainingWarning, UserWarning)


def test_samples_in_no_batch_are_warned_of_where_the_user_tracks():
    X, y = make_rows()
    with pytest.warns(UserWarning, match="were in no batch") as seen:
        track(make_net(iterator_train__drop_last=True, max_epochs=1), X, y)
    assert_named_here(seen, UserWarning)


def test_classes_of_warnings_can_be_imported_from_one_place():
    known = UserWarning.__subclasses__()
    own = {kind for kind in known if kind.__module__.startswith("dit_clean.")}
    names = {kind.__name__ for kind in own}
    assert names == set(exceptions.__all__)
