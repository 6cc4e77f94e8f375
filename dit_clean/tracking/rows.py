"""Training data as rows that a whole batch is taken from by index."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

Rows: TypeAlias = "Tensor | dict[str, Tensor] | sparse.csr_array"


class Float16Rows(sparse.csr_array):
    """Sparse rows for a network in half precision, which scipy does not have.

    In single precision themselves; `take_rows` casts each batch. A class of its own,
    because slicing sparse rows keeps the class.
    """

    batch_dtype = torch.float16


class BFloat16Rows(Float16Rows):
    """The same for the other half precision."""

    batch_dtype = torch.bfloat16


HALVES = {kind.batch_dtype: kind for kind in (Float16Rows, BFloat16Rows)}


def as_rows(data: Any) -> Rows:
    """Return `data` in a form that `take_rows` can index by whole batches.

    Parameters
    ----------
    data : array-like, Tensor, scipy sparse matrix or dict of these
        First axis: samples. Arrays are not copied where torch can share them.

    Returns
    -------
    rows : Tensor, dict of Tensor, or scipy.sparse.csr_array
        Sparse data stay sparse; `take_rows` makes each batch dense.

    Raises
    ------
    TypeError
        If the data are no array of numbers (text, objects, a list of arrays).
    """
    if isinstance(data, Mapping):
        return {key: as_tensor(values) for key, values in data.items()}
    if isinstance(data, Float16Rows):
        return data
    if sparse.issparse(data):
        return sparse.csr_array(data)
    return as_tensor(data)


def own_rows(data: Any, dtype: torch.dtype | None = None) -> Rows:
    """Return `as_rows` of data in memory of their own, whatever is done to `data`.

    Row after row, since not every layer can be differentiated in another order of
    memory; floats in the precision `dtype`, if one is given.
    """
    rows = as_rows(data)
    if isinstance(rows, Mapping):
        return {key: _owned(values, dtype) for key, values in rows.items()}
    if isinstance(rows, Tensor):
        return _owned(rows, dtype)
    return rows.copy() if dtype is None else cast_floats(rows, dtype)  # a copy too


def take_rows(rows: Rows, indices: Tensor) -> Any:
    """Return the batch at `indices`: a dense tensor, or a dict of them.

    Row after row in memory, however the rows lie.
    """
    if isinstance(rows, Mapping):
        return {key: values[indices].contiguous() for key, values in rows.items()}
    if isinstance(rows, Tensor):
        return rows[indices].contiguous()
    batch = torch.from_numpy(rows[indices.numpy()].toarray())
    return batch.to(rows.batch_dtype) if isinstance(rows, Float16Rows) else batch


def skorch_rows(rows: Rows) -> Any:
    """Return rows as skorch's own loader takes them, which reads validation data.

    One row of a sparse array has no second axis, which that loader needs.
    """
    return sparse.csr_matrix(rows) if type(rows) is sparse.csr_array else rows


def subset_rows(rows: Rows, indices: Tensor) -> Rows:
    """Return the rows at `indices` in the same form; sparse data stay sparse."""
    if isinstance(rows, Tensor | Mapping):
        return take_rows(rows, indices)
    return rows[indices.numpy()]


def sent_to(device: Any, values: Any) -> Any:
    """Return a tensor, or a dict of them, on a device; anything else as it is."""
    if isinstance(values, Mapping):
        return {key: sent_to(device, part) for key, part in values.items()}
    return values.to(device) if isinstance(values, Tensor) else values


def are_finite(rows: Rows) -> bool:
    """Tell whether all values are finite numbers."""
    if isinstance(rows, Mapping):
        return all(map(are_finite, rows.values()))
    values = rows if isinstance(rows, Tensor) else torch.as_tensor(rows.data)
    return bool(values.isfinite().all())


def described(rows: Any) -> str:
    """Return shape and dtype in words."""
    if isinstance(rows, Mapping):
        return ", ".join(f"{key}: {described(part)}" for key, part in rows.items())
    if not hasattr(rows, "shape"):
        return type(rows).__name__
    return f"shape {tuple(rows.shape)} of {rows.dtype}"


def n_rows(rows: Rows) -> int:
    """Return the number of samples in `rows`."""
    if isinstance(rows, Mapping):
        return len(next(iter(rows.values())))
    return int(rows.shape[0])


def cast_floats(rows: Rows, dtype: torch.dtype) -> Rows:
    """Return `rows` with floating-point values in the precision of the network."""
    if isinstance(rows, Mapping):
        return {key: _cast(values, dtype) for key, values in rows.items()}
    if isinstance(rows, Tensor):
        return _cast(rows, dtype)
    kept = torch.float32 if dtype in HALVES else dtype
    kind = HALVES.get(dtype, sparse.csr_array)
    return kind(rows.astype(torch.empty(0, dtype=kept).numpy().dtype))


def cast_targets(targets: Tensor, dtype: torch.dtype) -> Tensor:
    """Return targets with floating-point values in the precision of the network.

    For a network in half precision, those in double become single and others stay:
    many such networks compute their output in single.
    """
    if dtype in HALVES:
        is_double = targets.dtype == torch.float64
        return targets.to(torch.float32) if is_double else targets
    return _cast(targets, dtype)


def _owned(values: Tensor, dtype: torch.dtype | None) -> Tensor:
    found = values if dtype is None else _cast(values, dtype)
    if found is values or not found.is_contiguous():
        found = found.clone(memory_format=torch.contiguous_format)
    return found


def _cast(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype) if values.is_floating_point() else values


def as_tensor(data: Any) -> Tensor:
    """Return numbers as a tensor; shares the memory of arrays that may be written.

    Raises
    ------
    TypeError
        If they are no numbers.
    ValueError
        If some are masked.
    """
    if isinstance(data, Tensor):
        return data.detach()
    if np.ma.is_masked(data):
        raise ValueError(
            f"{np.ma.count_masked(data)} values are masked, and networks do not know "
            "gaps. Fill them, for example by numpy.ma.filled, or leave their rows out."
        )
    array = np.asarray(data)
    if array.dtype.kind not in "biuf":
        raise TypeError(
            f"Cannot train a network on values of dtype {array.dtype}. Give numbers: "
            "encode text and categories first, or let InfluenceCleaner() build the "
            "network, which encodes data frames itself."
        )
    # torch shares memory, must not write to what the user gave read-only, and does not
    # know strides that go backwards.
    is_shared = array.flags.writeable and min(array.strides, default=0) >= 0
    return torch.from_numpy(array if is_shared else array.copy())


def as_targets(data: Any) -> Tensor:
    """Return targets as a tensor: class indices as the integers that torch takes.

    Raises
    ------
    TypeError
        If they are no numbers.
    """
    dtype = None if isinstance(data, Tensor) else np.asarray(data).dtype
    if dtype is not None and dtype.kind not in "biuf":
        raise TypeError(
            f"y holds values of dtype {dtype}, but a network is trained on class "
            "indices 0, 1, ... or on numbers. Give "
            "sklearn.preprocessing.LabelEncoder().fit_transform(y)."
        )
    targets = as_tensor(data)
    if targets.is_floating_point() or targets.dtype == torch.bool:
        return targets
    return targets.long()
