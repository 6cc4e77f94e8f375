"""A fitted cleaner offers all of it."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError

from dit_clean import InfluenceCleaner
from dit_clean.estimators.findings import Findings


@pytest.fixture(scope="module")
def frame():
    X, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["se<tosa", "versicolor", "virginica"])
    return X.set_index(np.arange(150) + 7), names[y]


@pytest.fixture(scope="module")
def cleaner(frame):
    return InfluenceCleaner(max_epochs=4, random_state=0).fit(*frame)


def test_audit_follows_the_frame(cleaner, frame):
    X, y = frame
    table = cleaner.audit(columns=["petal width (cm)"])
    assert table.index.equals(X.index)
    assert np.array_equal(table["label"], y)
    assert np.array_equal(table["flagged"], ~cleaner.keep_mask_)
    assert np.array_equal(table["petal width (cm)"], X["petal width (cm)"])
    assert table["margin"].between(-1, 1).all()


def test_rows_that_are_kept_keep_their_label(cleaner):
    table = cleaner.audit(flagged=False)
    assert (table["label"] == table["suggested_label"]).all()


def test_summary_is_json(cleaner):
    summary = cleaner.summary()
    json.dumps(summary, allow_nan=False)
    assert summary["seed"] == 0
    assert summary["lr"] == cleaner.lr_
    assert summary["versions"]["torch"]
    assert summary["n_flagged"] == (~cleaner.keep_mask_).sum()


def test_pictures_and_report_are_drawn(cleaner, tmp_path):
    for kind in ("suspicion", "timeline", "stages", "labels", "training", "gallery"):
        assert getattr(cleaner, f"plot_{kind}")().figure_ is not None
    path = cleaner.report(tmp_path / "audit.html")
    assert "se<tosa" not in path.read_text("utf-8")


def test_review_gives_labels(cleaner, frame):
    review = pd.DataFrame(
        {"row": [3], "verdict": "wrong", "corrected_label": "virginica"}
    )
    labels = cleaner.apply_review(review)
    assert np.flatnonzero(labels != frame[1]).tolist() == [3]


def test_notebooks_show_the_summary_above_the_diagram(cleaner):
    html = cleaner._repr_html_()
    assert "samples are flagged" in cleaner._repr_mimebundle_()["text/html"]
    assert html.index("of 150 samples are flagged") < html.index("sk-top-container")
    assert "se<tosa" not in html
    with config_context(display="text"):
        assert "text/html" not in cleaner._repr_mimebundle_()
        assert not hasattr(cleaner, "_repr_html_")


def test_the_diagram_counts_no_features_of_images(cleaner, frame):
    labels = np.arange(60) % 2
    images = np.random.RandomState(0).rand(60, 8, 8) + labels[:, None, None]
    fitted = InfluenceCleaner(max_epochs=3, random_state=0).fit(images, labels)
    assert "8 features" not in fitted._repr_html_()
    with pytest.raises(ValueError, match=r"shape \(60, 8, 8\).*no columns"):
        fitted.get_feature_names_out()
    assert cleaner.get_feature_names_out().tolist() == frame[0].columns.tolist()


def test_before_fit_only_the_diagram_is_shown():
    cleaner = InfluenceCleaner()
    assert "are flagged" not in cleaner._repr_html_()
    with pytest.raises(NotFittedError):
        cleaner.audit()


def test_regression_is_audited_in_the_unit_of_the_targets(tmp_path):
    generator = np.random.RandomState(0)
    X = generator.normal(size=(90, 3))
    y = 1e5 + 1e4 * X[:, 0]
    cleaner = InfluenceCleaner(max_epochs=3, random_state=0).fit(X, y)
    table = cleaner.audit()
    kept = ~table["flagged"]
    assert np.array_equal(table["label"], y)
    assert np.array_equal(table["suggested_label"][kept], y[kept])
    assert table["margin"].min() < -1000
    cleaner.report(tmp_path / "audit.html")
    cleaner.plot_labels()


def test_looking_at_decisions_replays_no_training(cleaner, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("training was replayed")

    for measures in ("influence", "timeline", "averaged"):
        monkeypatch.setattr(Findings, measures, refuse)
    cleaner._repr_html_()
    with pytest.raises(ValueError, match="X has no column 'zz'"):
        cleaner.group_influence("zz")
    cleaner.apply_review(pd.DataFrame({"row": [0], "verdict": ["right"]}))
    for kind in ("suspicion", "labels", "training", "gallery"):
        getattr(cleaner, f"plot_{kind}")()
