"""What users pass in, checked: inputs, validation samples, weights."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import column_or_1d, validate_data

from dit_clean.data.columns import HOLDS_TIMES
from dit_clean.data.tables import TableEncoder, is_frame, only_counts
from dit_clean.data.targets import Targets, plain_labels
from dit_clean.data.texts import TEXT_REMEDY, check_no_raw_texts
from dit_clean.influence.groups import numbered_groups
from dit_clean.tracking.rows import Rows, as_rows, own_rows
from dit_clean.warning import warn

NO_Y = "no_validation"
MANY_SHARED = 0.5
"""Part of the index labels that two objects share by more than chance."""
ARRAYS = {"accept_sparse": "csr", "allow_nd": True}
TEXT = (
    "Categories are encoded in data frames: give pandas.DataFrame(X), or of an Arrow "
    f"table X.to_pandas(). {TEXT_REMEDY}"
)
REMEDIES = {
    "Input X contains NaN": "Missing values are imputed in data frames: give "
    "pandas.DataFrame(X), or impute them before.",
    "could not convert string to float": TEXT,
    "dtype='numeric' is not compatible": TEXT,
    "float() argument must be": "X may hold numbers only: turn dates, for example, "
    "into days since a date.",
    "y should be a 1d array": "Several labels or targets are not supported: clean them "
    "one by one.",
}
"""By the beginning of scikit-learn's own message."""


def checked_data(estimator: Any, X: Any, y: Any = NO_Y) -> Any:
    """Return X, or X and y, as arrays of finite numbers; data frames as they are.

    Data frames may hold categories and missing values, which the encoder deals with.

    Raises
    ------
    ValueError, TypeError
        scikit-learn's own messages, for wrong shapes, lengths, dtypes, NaN and inf.
    """
    if isinstance(X, Mapping) and not sparse.issparse(X):
        raise TypeError(
            f"X is a {type(X).__name__}, but one array or data frame is needed. For a "
            "net with several inputs give the columns side by side, and let its "
            "forward split them; `dit_clean.track` takes a dict of inputs as it is."
        )
    if isinstance(X, torch.utils.data.Dataset):
        raise TypeError(
            f"X is a {type(X).__name__}: a dataset of inputs and targets cannot be "
            "given as X. Give both as arrays or tensors, or of a dataset ds by "
            "skorch.helper.SliceDataset(ds, idx=0), and idx=1 for y."
        )
    check_not_lazy(X, "X")
    check_no_raw_texts(X)
    is_fit = y is not NO_Y
    if is_fit:
        check_not_lazy(y, "y")
        warn_of_other_order(X, y)
        y = plain_labels(y)
    check = _checked_frame if is_frame(X) else _checked_array
    with _remedies():
        checked = check(estimator, X, y, is_fit=is_fit)
        check_sample_shape(estimator, checked[0] if is_fit else checked, reset=is_fit)
        return checked


def check_not_lazy(data: Any, name: str) -> None:
    """Raise if data are a query that has not been run, such as a polars LazyFrame."""
    if hasattr(data, "collect") and not hasattr(data, "shape"):
        raise ValueError(
            f"{name} is a {type(data).__name__}: give {name}.collect(), which holds "
            "the rows."
        )


@contextmanager
def _remedies() -> Iterator[None]:
    """Add what to do to some of scikit-learn's messages."""
    try:
        yield
    except (ValueError, TypeError) as error:
        for known, remedy in REMEDIES.items():
            if str(error).startswith(known):
                problem = str(error).splitlines()[0].rstrip(".")
                raise type(error)(f"{problem}. {remedy}") from error
        raise


def _checked_array(estimator: Any, X: Any, y: Any, *, is_fit: bool) -> Any:
    least = 2 if is_fit else 1
    # Of lists scikit-learn makes arrays of objects (None among numbers) and lets them
    # pass; of arrays of objects it makes numbers.
    X = X if hasattr(X, "dtype") else np.asarray(X)
    X = _unmasked(X)
    if getattr(X.dtype, "kind", None) in ("m", "M"):
        raise TypeError(f"X {HOLDS_TIMES.format(what=X.dtype)}")
    return validate_data(
        estimator, X, y, reset=is_fit, ensure_min_samples=least, **ARRAYS
    )


def _unmasked(values: Any) -> Any:
    """Return a masked array with NaN where it is masked, all else as it is."""
    is_masked = isinstance(values, np.ma.MaskedArray) and values.mask.any()
    return values.astype(np.float64).filled(np.nan) if is_masked else values


def _checked_frame(estimator: Any, X: Any, y: Any, *, is_fit: bool) -> Any:
    for n_given, part in zip(X.shape, ("rows", "columns"), strict=True):
        if n_given == 0:
            raise ValueError(f"X has 0 {part} (shape={X.shape}): at least 1 is needed.")
    name, n_columns = Counter(X.columns).most_common(1)[0]
    if n_columns > 1:
        raise ValueError(
            f"{n_columns} columns of X are named {name!r}. Rename all but one, or drop "
            "the others: X.loc[:, ~X.columns.duplicated()]."
        )
    validate_data(estimator, X, y, reset=is_fit, skip_check_array=True)
    if not is_fit:
        return X
    y = column_or_1d(y, warn=True)
    check_consistent_length(X, y)
    if y.dtype.kind == "f":
        check_array(y, ensure_2d=False, input_name="y")
    return X, y


def warn_of_other_order(X: Any, y: Any, names: tuple[str, str] = ("X", "y")) -> None:
    """Warn if two pandas objects have the same index labels in another order.

    Or mostly the same ones. Labels that repeat say nothing about which rows belong
    together, nor does a new index that counts from 0, or a lag of some rows.

    Warns
    -----
    UserWarning
        Rows are paired by position, as everywhere in scikit-learn.
    """
    if not (hasattr(X, "iloc") and hasattr(y, "iloc")) or len(X) != len(y):
        return
    given, other = X.index, y.index
    if given.equals(other) or not (given.is_unique and other.is_unique):
        return
    if given.nlevels != other.nlevels:
        return
    n_shared, n_rows = given.isin(other).sum(), len(given)
    inputs, labels = names
    if n_shared == n_rows:
        warn(
            f"{inputs} and {labels} have the same index labels in another order, but "
            "their rows are paired by position. If the labels tell which rows belong "
            f"together, give {labels}.loc[{inputs}.index]; else reset the index of "
            "both."
        )
    elif n_shared >= MANY_SHARED * n_rows and not _are_meant(given, other):
        warn(
            f"{inputs} and {labels} share {n_shared} of {n_rows} index labels, but "
            "their rows are paired by position: were they filtered or split apart? "
            f"Give rows of the same labels, in the same order, such as {labels}.loc"
            f"[{inputs}.index]; or reset the index of both."
        )


def _are_meant(given: Any, other: Any) -> bool:
    """Tell whether index labels may differ on purpose.

    Some only count the rows, or all rows are a fixed number of rows apart (a target is
    the next value of a series).
    """
    places = given.get_indexer(other)
    lags = places - np.arange(len(places))
    is_new = only_counts(given) or only_counts(other)
    return is_new or len(np.unique(lags[places >= 0])) == 1


def check_sample_shape(estimator: Any, X: Any, *, reset: bool) -> None:
    """Note the shape of one sample, or raise if it is another one than in fit."""
    shape = tuple(X.shape[1:])
    if reset:
        estimator._sample_shape = shape
    elif shape != estimator._sample_shape:
        raise ValueError(
            f"X has samples of shape {shape}, but {type(estimator).__name__} was "
            f"fitted on samples of shape {estimator._sample_shape}."
        )


def checked_weight(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """Return sample weights as float64, shape (n_samples,), or None.

    Raises
    ------
    ValueError
        If they are negative, all zero, or of another length.
    """
    if sample_weight is None:
        return None
    if isinstance(sample_weight, str):
        raise ValueError(
            f"sample_weight={sample_weight!r}, but one number for each of the "
            f"{n_samples} samples is needed. For weights by class give sklearn.utils."
            "class_weight.compute_sample_weight('balanced', y)."
        )
    weight = check_array(
        _unmasked(sample_weight),
        ensure_2d=False,
        dtype=np.float64,
        input_name="sample_weight",
    )
    if weight.shape != (n_samples,):
        raise ValueError(
            f"sample_weight has shape {weight.shape}, but one weight for each of the "
            f"{n_samples} samples is needed."
        )
    if weight.min() < 0 or weight.max() == 0:
        raise ValueError(
            "Sample weights must be non-negative and not all zero, got values from "
            f"{weight.min()} to {weight.max()}."
        )
    return weight


def checked_groups(groups: Any, n_samples: int) -> np.ndarray | None:
    """Return the number of each row's group, shape (n_samples,), or None.

    Raises
    ------
    ValueError
        If there is not one entry for each row, or some are missing.
    """
    return None if groups is None else numbered_groups(groups, n_samples)[1]


def relative_weight(sample_weight: Any, n_samples: int) -> np.ndarray | None:
    """Return sample weights of mean 1, or None; see `checked_weight`.

    Gradients grow with the weights, so that large ones would act as a higher learning
    rate: only their ratios are to count.
    """
    weight = checked_weight(sample_weight, n_samples)
    return None if weight is None else weight / weight.mean()


def checked_validation(
    estimator: Any,
    X_val: Any,
    y_val: Any,
    encoder: TableEncoder,
    targets: Targets,
    *,
    in_double: bool,
) -> tuple[Rows, torch.Tensor]:
    """Return clean validation samples, encoded like the training data.

    `in_double` says whether the network computes in double precision.

    Raises
    ------
    ValueError
        If only one of X_val and y_val is given, or they do not match the training data.
    """
    if X_val is None or y_val is None:
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{given} was given without {missing}: give both or none.")
    try:
        X_val = checked_data(estimator, X_val)
        encoder.check_kinds(X_val)
    except ValueError as error:
        raise ValueError(f"X_val does not match the X of fit. {error}") from error
    check_consistent_length(X_val, y_val)
    warn_of_other_order(X_val, y_val, ("X_val", "y_val"))
    try:
        encoded = targets.encode(y_val)
    except ValueError as error:
        raise ValueError(f"y_val does not match the y of fit. {error}") from error
    return as_network_rows(encoder.transform(X_val), in_double=in_double), encoded


def warn_of_unread_validation(scoring: str) -> None:
    """Warn that clean samples do not change what is decided about targets."""
    warn(
        "X_val and y_val change influence_ alone, not suspicion_ and keep_mask_: with "
        f"scoring={scoring!r} regression targets are judged by their residuals. Leave "
        'them out, or ask by scoring="influence", which mostly finds less.'
    )


def as_network_rows(X: Any, *, in_double: bool) -> Rows:
    """Return encoded inputs as a network takes them, in memory of their own.

    Floats in single precision, or double if it computes in that; int32 and int64 stay
    (token numbers). Always a copy: the runs are replayed on the rows as they were.

    Parameters
    ----------
    X : ndarray or sparse matrix, first axis n_samples
        Encoded inputs.
    in_double : bool
        Whether the network computes in double precision.
    """
    X = X if sparse.issparse(X) else np.asarray(X)
    is_tokens = X.dtype.kind == "i" and X.dtype.itemsize >= np.dtype(np.int32).itemsize
    if in_double and X.dtype == np.float64:
        return own_rows(X)
    if sparse.issparse(X):
        return as_rows(X.astype(np.float32))
    return own_rows(X) if is_tokens else as_rows(X.astype(np.float32, order="C"))
