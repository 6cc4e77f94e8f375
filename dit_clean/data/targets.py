"""Labels and regression targets as networks take them."""

from dataclasses import dataclass
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d
from skorch import NeuralNetClassifier, NeuralNetRegressor

from dit_clean.data.columns import is_time
from dit_clean.detection.spread import robust_spread
from dit_clean.gaps import are_missing
from dit_clean.warning import warn

LARGEST = 1e15
"""Absolute value, in robust standard deviations, that targets are cut to for the
network: single precision holds its square. Larger ones are as wrong as that."""
MANY_VALUES = 20
"""Numbers with more distinct values than this may be a measurement."""
FEW_VALUES = 5
"""Numbers with no more distinct values than this may be labels."""
SHOWN = 5
"""Classes that an error names."""
IQR_OF_NORMAL = 1.349
IF_TARGETS = (
    'If y is a regression target, set task="regression", or use CleanedRegressor in '
    "place of CleanedClassifier."
)
LABEL_TYPES = (str, Number, np.generic)


@dataclass(frozen=True)
class Targets:
    """The y given to fit, encoded.

    Attributes
    ----------
    given : ndarray of shape (n_samples,)
        As the user gave it.
    encoded : Tensor of shape (n_samples,) or (n_samples, 1)
        Class indices, or scaled regression targets.
    classes : ndarray of shape (n_classes,) or None
        Sorted labels; None for regression.
    center, scale : float
        Regression: encoded = (given - center) / scale.
    spread : float
        Regression: robust standard deviation of the encoded targets.
    """

    given: np.ndarray
    encoded: torch.Tensor
    classes: np.ndarray | None = None
    center: float = 0.0
    scale: float = 1.0
    spread: float = 1.0

    @property
    def is_classifier(self) -> bool:
        """Whether the targets are labels."""
        return self.classes is not None

    @property
    def labels(self) -> np.ndarray:
        """The sorted labels of a classification problem."""
        if self.classes is None:
            raise AttributeError("Regression targets have no classes.")
        return self.classes

    @property
    def n_outputs(self) -> int:
        """Outputs that a network needs: one per class, or one."""
        return len(self.labels) if self.is_classifier else 1

    @property
    def codes(self) -> np.ndarray:
        """Class indices, or given regression targets: shape (n_samples,)."""
        return self.encoded.numpy() if self.is_classifier else self.given

    def are(self, y: np.ndarray) -> bool:
        """Tell whether y are the targets given to fit."""
        return np.array_equal(self.given, _inferred(y))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return encoded labels or targets as the user gives them."""
        if self.is_classifier:
            return self.labels[codes]
        return codes.astype(np.float64) * self.scale + self.center

    def encode(self, y: Any) -> torch.Tensor:
        """Return further targets in the same encoding.

        Raises
        ------
        ValueError
            If a label was not among those given to fit.
        """
        y = column_or_1d(plain_labels(y))
        check_labels(y)
        y = _inferred(y)
        if not self.is_classifier:
            y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
            return _column((y - self.center) / self.scale, self.spread)
        unknown = np.setdiff1d(y, self.labels)
        if len(unknown):
            raise ValueError(
                f"Labels that the y of fit does not hold: {unknown[:5].tolist()}. "
                f"Known labels: {self.labels[:10].tolist()}."
            )
        return torch.as_tensor(np.searchsorted(self.labels, y))


def encode_targets(y: np.ndarray, net: Any, task: str = "auto") -> Targets:
    """Return y as class indices or scaled targets.

    With ``task="auto"`` the net decides; without a net, y is a regression target if
    it holds floats that are no whole numbers, or many distinct ones that are.

    Raises
    ------
    ValueError
        If y has one class or value only, lacks labels, or does not fit the net.

    Warns
    -----
    UserWarning
        If numbers that were taken for labels look like measurements, or the other way.
    """
    _check_task(net, task)
    check_labels(y)
    y = _inferred(y).copy()  # as it was, for the runs that are replayed on it
    if is_classification(y, net, task):
        return _encoded_labels(y, may_be_measured=net is None and task == "auto")
    if net is None and task == "auto":
        _warn_of_few_numbers(y)
    return _encoded_numbers(y, is_scaled=net is None)


def _encoded_numbers(y: np.ndarray, *, is_scaled: bool) -> Targets:
    """Return regression targets; a given net takes them as they are."""
    if y.dtype.kind in "mM":
        raise ValueError(_are_times(y))
    try:
        y = y.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"y holds {y.tolist()[0]!r}, but regression targets are numbers. For "
            'labels set task="classification", or use CleanedClassifier in place of '
            "CleanedRegressor, and give a classifier if you give a net."
        ) from error
    if y.min() == y.max():
        raise ValueError(
            f"y holds 1 value only ({y[0]}). Finding wrong targets needs targets "
            "that differ."
        )
    center, scale = float(np.median(y)), robust_spread(y) / IQR_OF_NORMAL
    if not is_scaled:
        return Targets(y, _column(y, scale), spread=scale)
    return Targets(y, _column((y - center) / scale, 1.0), None, center, scale)


def _encoded_labels(y: np.ndarray, *, may_be_measured: bool) -> Targets:
    """Return labels; of numbers that look like measurements it may be warned."""
    try:
        with np.errstate(invalid="ignore"):  # as in is_classification
            check_classification_targets(y)
    except ValueError as error:
        labels = "If they are labels, give them as strings: y.astype(str)."
        raise ValueError(f"{error} {labels} {IF_TARGETS}") from error
    classes, codes = np.unique(y, return_inverse=True)
    if may_be_measured:
        _warn_of_measurements(classes)
    if len(classes) == 1:
        raise ValueError(
            f"y holds 1 class only ({classes.tolist()[0]!r}). Finding wrong labels "
            "needs samples of at least 2 classes."
        )
    return Targets(y, torch.as_tensor(codes), classes)


def is_classification(y: np.ndarray, net: Any, task: str) -> bool:
    """Tell whether y is taken for labels rather than regression targets."""
    if task != "auto":
        return task == "classification"
    if isinstance(net, NeuralNetRegressor):
        return False
    if isinstance(net, NeuralNetClassifier):
        return True
    with np.errstate(invalid="ignore"):  # floats beyond int64
        if type_of_target(y) == "continuous":
            return False
    n_values = len(np.unique(y))
    is_measured = n_values > max(MANY_VALUES, len(y) // 10)
    return not (y.dtype.kind == "f" and is_measured)


def _check_task(net: Any, task: str) -> None:
    """Raise if a net is for another task than it is to be trained for."""
    kinds = {"classification": NeuralNetClassifier, "regression": NeuralNetRegressor}
    if net is None or task == "auto" or isinstance(net, kinds[task]):
        return
    raise ValueError(
        f"A {type(net).__name__} is not for {task}: give a {kinds[task].__name__} as "
        "the net."
    )


def _warn_of_measurements(classes: np.ndarray) -> None:
    """Warn if sorted labels are many numbers, and no codes that count from 0 or 1."""
    if len(classes) <= MANY_VALUES or classes.dtype.kind not in "iuf":
        return
    counted = np.arange(len(classes))
    if not any(np.array_equal(classes, counted + first) for first in (0, 1)):
        warn(
            f"y holds {len(classes):,} different whole numbers, taken as labels, but "
            'they look like measurements. If they are, set task="regression"; if they '
            'are labels, set task="classification" to silence this.'
        )


def _warn_of_few_numbers(y: np.ndarray) -> None:
    """Warn if regression targets have so few values that they may be labels."""
    values = np.unique(y)
    if 1 < len(values) <= FEW_VALUES:
        warn(
            f"y holds {len(values)} different numbers, {values.tolist()}, taken as a "
            "regression target for their fractions or size. If they are labels, "
            'give them as strings, y.astype(str); if not, set task="regression" to '
            "silence this."
        )


def _inferred(y: np.ndarray) -> np.ndarray:
    """Return numbers among Python objects as numbers: gaps of a column may leave such.

    Texts stay objects, as they are given; decimals, as of databases, become floats.
    """
    if y.dtype.kind != "O" or any(isinstance(label, str) for label in y):
        return y
    if any(isinstance(label, Decimal) for label in y):
        return y.astype(np.float64)
    return np.array(y.tolist())


def check_labels(y: np.ndarray) -> None:
    """Raise if labels without gaps are of types that cannot be sorted together."""
    if y.dtype.kind != "O":
        return
    odd = next((v for v in y if not isinstance(v, LABEL_TYPES)), None)
    if odd is not None and is_time(odd):
        raise ValueError(_are_times(y, f", such as {odd!r}"))
    if odd is not None:
        raise ValueError(
            f"y holds {odd!r}, a {type(odd).__name__}. Labels must be strings, numbers "
            "or booleans: give each such label a name."
        )
    kinds = {"str" if isinstance(v, str) else type(v).__name__ for v in y}
    if "str" in kinds and len(kinds) > 1:
        raise ValueError(
            f"y mixes labels of types {', '.join(sorted(kinds))}. Give all labels as "
            "strings, or all as numbers."
        )


def plain_labels(y: Any) -> Any:
    """Return a y of any container without gaps; one of pandas as numpy has it.

    scikit-learn makes floats of whole numbers and booleans whose dtype may have gaps.
    """
    check_gaps(y)
    return np.asarray(y) if hasattr(y, "isna") else y


def check_gaps(y: Any) -> None:
    """Raise if a y of any container has gaps, as numpy and pandas write them."""
    missing = are_missing(y)
    rows = np.flatnonzero(missing)
    if len(rows) and missing.shape in ((missing.size,), (missing.size, 1)):
        given = y if hasattr(y, "isna") else np.asarray(y)
        are_numbers = getattr(getattr(given, "dtype", None), "kind", "") == "f"
        noun = "label or target" if are_numbers else "label"
        own = "" if are_numbers else ", or give them a label of their own"
        raise ValueError(
            f"y has no {noun} in {len(rows)} of {len(missing)} rows (first: row "
            f"{rows[0]}). Drop these rows{own}."
        )


def check_class_sizes(targets: Targets, n_folds: int) -> None:
    """Raise if a class has fewer rows than there are folds."""
    if not targets.is_classifier:
        return
    counts = np.bincount(targets.codes)
    rare = counts < n_folds
    if not rare.any():
        return
    if targets.labels.dtype.kind in "mM":
        raise ValueError(_are_times(targets.labels))
    named = zip(targets.labels[rare].tolist(), counts[rare], strict=True)
    shown = [f"{label!r}: {count}" for label, count in named][:SHOWN]
    more = ", ..." if rare.sum() > SHOWN else ""
    remedy = "Merge" if counts.min() == 1 else "Lower cv, merge"
    are_numbers = targets.labels.dtype.kind in "iuf"
    raise ValueError(
        f"{rare.sum()} of {len(counts)} classes have fewer rows than cv={n_folds} "
        f"folds (label: rows = {{{', '.join(shown)}{more}}}). {remedy} or drop "
        f"these classes.{f' {IF_TARGETS}' if are_numbers else ''}"
    )


def _are_times(y: np.ndarray, example: str = "") -> str:
    """Return what to do with a y of dates or durations."""
    what = "durations" if y.dtype.kind == "m" else "dates or times"
    days = "y / numpy" if y.dtype.kind == "m" else "(y - y.min()) / numpy"
    return (
        f"y holds {what} ({y.dtype}{example}), but labels or numbers are needed. If y "
        "is a regression target, turn it into numbers, for example days since a "
        f"date: {days}.timedelta64(1, 'D'). For labels give few values, as strings."
    )


def _column(values: np.ndarray, spread: float) -> torch.Tensor:
    """Return targets as a network takes them, `LARGEST` at most.

    In double precision: each network casts them to its own.
    """
    return torch.as_tensor(values.clip(-LARGEST * spread, LARGEST * spread))[:, None]
