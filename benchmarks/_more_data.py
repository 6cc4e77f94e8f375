"""Further data of the detection benchmark: text, songs, generated clusters."""

import numpy as np
import pandas as pd
from _data import DATA_DIR, Data, DataMissing
from sklearn.datasets import load_wine, make_classification
from sklearn.feature_extraction.text import TfidfVectorizer

N_SONGS_TO_TRAIN = 700
GENERATED: dict[int, dict] = {
    2: {
        "n_features": 20,
        "n_informative": 8,
        "n_clusters_per_class": 2,
        "class_sep": 1.2,
    },
    10: {
        "n_features": 30,
        "n_informative": 12,
        "n_clusters_per_class": 1,
        "class_sep": 1.5,
    },
    26: {
        "n_features": 40,
        "n_informative": 20,
        "n_clusters_per_class": 1,
        "class_sep": 1.8,
    },
    100: {
        "n_features": 64,
        "n_informative": 32,
        "n_clusters_per_class": 1,
        "class_sep": 2.2,
    },
}


def wine() -> Data:
    """Return scikit-learn's wine table (178 rows), standardized."""
    X, y = load_wine(return_X_y=True)
    return Data("wine", _standardized(X), y.astype(np.int64))


def sms_spam(n_columns: int = 1000) -> Data:
    """Return short messages, 13 % spam: TF-IDF scaled as a whole."""
    table = pd.read_csv(_path("sms_spam.csv.gz"))
    words = TfidfVectorizer(max_features=n_columns, sublinear_tf=True)
    X = words.fit_transform(table["text"]).toarray()
    y = (table["label"] == "spam").to_numpy(dtype=np.int64)
    return Data("sms_spam", ((X - X.mean()) / X.std()).astype(np.float32), y)


def music() -> Data:
    """Return songs of ten genres with their gold labels, the 700 to train on first."""
    file = np.load(_path("music_genre_crowd.npz"))
    X = np.concatenate([file["x_train"], file["x_test"]])
    y = np.concatenate([file["y_gold"], file["y_test"]]).astype(np.int64)
    return Data("music", _standardized(X), y)


def music_annotations(kind: str) -> np.ndarray:
    """Return what annotators said of the first 700 songs: "majority" or "single"."""
    return np.load(_path("music_genre_crowd.npz"))[f"y_{kind}"].astype(np.int64)


def generated(n_classes: int, n_rows: int, *, imbalance: int = 1) -> Data:
    """Return Gaussian clusters on a hypercube; class 1 is `imbalance` times rarer."""
    weights = None if imbalance == 1 else [imbalance / (imbalance + 1)]
    X, y = make_classification(
        n_samples=n_rows,
        n_classes=n_classes,
        weights=weights,
        n_redundant=5,
        flip_y=0,
        random_state=0,
        **GENERATED[n_classes],
    )
    return Data(f"generated {n_classes}", _standardized(X), y.astype(np.int64))


def _path(name: str):
    path = DATA_DIR / name
    if not path.exists():
        raise DataMissing(f"{path} does not exist. Set DIT_CLEAN_DATA to its folder.")
    return path


def _standardized(X: np.ndarray) -> np.ndarray:
    spread = X.std(0)
    return ((X - X.mean(0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
