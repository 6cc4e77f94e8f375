"""Wrong labels put in on purpose: who is hit, and what the label becomes."""

from collections.abc import Callable

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict


def symmetric(
    X: np.ndarray, y: np.ndarray, rate: float, rng: np.random.RandomState
) -> np.ndarray:
    """Return labels of which a fraction became any other class, each equally often."""
    hit = _drawn(np.ones(len(y)), rate * len(y), rng)
    return _relabeled(y, hit, _other_class(y, rng))


def pair_flips(
    X: np.ndarray, y: np.ndarray, rate: float, rng: np.random.RandomState
) -> np.ndarray:
    """Return labels of which a fraction became the next class (the last: the first)."""
    hit = _drawn(np.ones(len(y)), rate * len(y), rng)
    return _relabeled(y, hit, (y + 1) % (y.max() + 1))


def one_class(
    X: np.ndarray,
    y: np.ndarray,
    rate: float,
    rng: np.random.RandomState,
    given: int = 1,
) -> np.ndarray:
    """Return labels where a fraction of one class became the class before it."""
    members = (y == given).astype(float)
    hit = _drawn(members, rate * members.sum(), rng)
    return _relabeled(y, hit, (y - 1) % (y.max() + 1))


def instance_dependent(
    X: np.ndarray, y: np.ndarray, rate: float, rng: np.random.RandomState
) -> np.ndarray:
    """Return labels wrong where classes meet: the likelier, the less sure a model is.

    The model is an out-of-fold logistic regression; a hit row gets its likeliest
    other class.
    """
    model = LogisticRegression(C=0.01, max_iter=1000)
    sure = cross_val_predict(model, X, y, cv=5, method="predict_proba")
    rows = np.arange(len(y))
    doubt = 1 - sure[rows, y]
    sure[rows, y] = -1
    return _relabeled(y, _drawn(doubt, rate * len(y), rng), sure.argmax(1))


NOISES: dict[str, Callable[..., np.ndarray]] = {
    "symmetric": symmetric,
    "pair": pair_flips,
    "one-class": one_class,
    "instance": instance_dependent,
}


def _drawn(weight: np.ndarray, n_hit: float, rng: np.random.RandomState) -> np.ndarray:
    """Return `n_hit` rows drawn without replacement, with these chances."""
    chances = weight / weight.sum()
    return rng.choice(len(weight), round(n_hit), replace=False, p=chances)


def _relabeled(y: np.ndarray, hit: np.ndarray, other: np.ndarray) -> np.ndarray:
    noisy = y.copy()
    noisy[hit] = other[hit]
    return noisy


def _other_class(y: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    n_classes = int(y.max()) + 1
    return (y + rng.randint(1, n_classes, size=len(y))) % n_classes
