"""The public data of the benchmarks, as arrays ready for a network."""

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.feature_extraction.text import TfidfVectorizer

ROOT = Path(__file__).resolve().parents[1]
DATA_DIR = Path(os.environ.get("DIT_CLEAN_DATA", ROOT.parent / "shared" / "data"))


class DataMissing(Exception):
    """A data file is not at hand; says where it was looked for."""


@dataclass(frozen=True)
class Data:
    """A classification problem.

    Attributes
    ----------
    name : str
        Key of `LOADERS`.
    X : ndarray of float32, shape (n_samples, n_features)
        Numeric columns standardized; pixels and TF-IDF standardized as a whole.
    y : ndarray of int64, shape (n_samples,)
        Classes 0, 1, ...
    image_shape : tuple (channels, height, width) or None
        Shape of a row where the data are images.
    """

    name: str
    X: np.ndarray
    y: np.ndarray
    image_shape: tuple[int, int, int] | None = None

    @property
    def n_features(self) -> int:
        return self.X.shape[1]

    @property
    def n_classes(self) -> int:
        return int(self.y.max()) + 1

    def rows(self, indices: np.ndarray) -> "Data":
        """Return the data at `indices`."""
        return replace(self, X=self.X[indices], y=self.y[indices])


def load(name: str, **options: Any) -> Data:
    """Return a data set of `LOADERS`; `options` are its loader's.

    Raises
    ------
    DataMissing
        If its file is not below `DATA_DIR`.
    """
    return LOADERS[name](**options)


def load_available(names: Iterable[str], **options: dict[str, Any]) -> list[Data]:
    """Return the data sets that are at hand, and say which are skipped.

    `options` holds keyword arguments of a loader by the data set's name.
    """
    found = []
    for name in names:
        try:
            found.append(load(name, **options.get(name, {})))
        except DataMissing as missing:
            print(f"skipped {name}: {missing}", file=sys.stderr)
    return found


def split(data: Data, n_first: int, n_second: int, seed: int) -> tuple[Data, Data]:
    """Return two disjoint random parts of the data."""
    order = np.random.RandomState(seed).permutation(len(data.y))
    return data.rows(order[:n_first]), data.rows(order[n_first : n_first + n_second])


def adult(n_rows: int = 10_000) -> Data:
    """Return UCI Adult: numbers standardized, categories one-hot encoded."""
    table = pd.read_csv(_path("adult.csv.gz"))
    table = table[table["split"] == "train"].sample(n_rows, random_state=0)
    y = (table["income"] == ">50K").to_numpy(dtype=np.int64)
    table = table.drop(columns=["income", "split"])
    numbers = table.select_dtypes("number")
    names = [column for column in table if column not in numbers.columns]
    one_hot = pd.get_dummies(table[names].fillna("missing").astype(str))
    X = np.hstack([_standardized(numbers.to_numpy(float)), one_hot.to_numpy(float)])
    return Data("adult", X.astype(np.float32), y)


def newsgroups(n_columns: int = 300) -> Data:
    """Return posts on PC against Mac hardware: TF-IDF scaled as a whole."""
    table = pd.read_csv(_path("newsgroups_pc_mac.csv.gz"))
    words = TfidfVectorizer(max_features=n_columns, stop_words="english")
    X = words.fit_transform(table["text"]).toarray()
    y = table["label"].to_numpy(dtype=np.int64)
    return Data("newsgroups", _standardized_as_a_whole(X), y)


def cifar10(size: int = 16) -> Data:
    """Return CIFAR-10 airplanes and automobiles, averaged down to `size` pixels."""
    file = np.load(_path("cifar10_airplane_automobile.npz"))
    images = np.concatenate([file["x_train"], file["x_test"]]) / 255.0
    labels = np.concatenate([file["y_train"], file["y_test"]])
    return _images("cifar10", _averaged(images.transpose(0, 3, 1, 2), size), labels)


def fashion_mnist(classes: tuple[int, ...] | None = (2, 4), size: int = 28) -> Data:
    """Return fashion-MNIST: two look-alike classes (pullover, coat), or all (None)."""
    file = np.load(_path("fashion_mnist.npz"))
    images = np.concatenate([file["x_train"], file["x_test"]])[:, None] / 255.0
    labels = np.concatenate([file["y_train"], file["y_test"]])
    images, labels = _only(classes, images, labels)
    return _images("fashion_mnist", _averaged(images, size), labels)


def digits(classes: tuple[int, ...] | None = (3, 8)) -> Data:
    """Return scikit-learn's 8x8 digits: two classes (about 350 rows), or all (None)."""
    found = load_digits()
    return _images("digits", *_only(classes, found.images[:, None], found.target))


def breast_cancer() -> Data:
    """Return scikit-learn's breast cancer table, standardized."""
    X, y = load_breast_cancer(return_X_y=True)
    return Data("breast_cancer", _standardized(X).astype(np.float32), y.astype("int64"))


LOADERS: dict[str, Callable[[], Data]] = {
    "adult": adult,
    "cifar10": cifar10,
    "newsgroups": newsgroups,
    "fashion_mnist": fashion_mnist,
    "digits": digits,
    "breast_cancer": breast_cancer,
}


def _path(name: str) -> Path:
    path = DATA_DIR / name
    if not path.exists():
        raise DataMissing(
            f"{path} does not exist. Set the environment variable DIT_CLEAN_DATA to "
            "the folder that holds it."
        )
    return path


def _only(
    classes: tuple[int, ...] | None, images: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    if classes is None:
        return images, labels
    kept = np.isin(labels, classes)
    return images[kept], np.searchsorted(sorted(classes), labels[kept])


def _images(name: str, images: np.ndarray, labels: np.ndarray) -> Data:
    X = _standardized_as_a_whole(images.reshape(len(images), -1))
    return Data(name, X, labels.astype(np.int64), images.shape[1:])


def _averaged(images: np.ndarray, size: int) -> np.ndarray:
    """Return (n, channels, height, width) images averaged down to `size` pixels."""
    n, channels, height, _ = images.shape
    step = height // size
    return images.reshape(n, channels, size, step, size, step).mean((3, 5))


def _standardized_as_a_whole(X: np.ndarray) -> np.ndarray:
    return ((X - X.mean()) / X.std()).astype(np.float32)


def _standardized(X: np.ndarray) -> np.ndarray:
    spread = X.std(0)
    return (X - X.mean(0)) / np.where(spread > 0, spread, 1.0)
