"""Hashes of values alone: the same for equal tensors, in every process."""

from typing import Any

import torch
from joblib.hashing import NumpyHasher
from torch import Tensor


class _TensorHasher(NumpyHasher):
    """Takes tensors as joblib takes arrays.

    Torch pickles a tensor together with where it lies in memory, so that joblib's own
    hash of a network differs from process to process.
    """

    def save(self, value: Any) -> None:
        """Add a value to the hash."""
        if isinstance(value, Tensor) and value.layout is torch.strided:
            kind = type(value).__qualname__, str(value.dtype), value.requires_grad
            value = kind, _as_array(value)
        if isinstance(value, frozenset):  # joblib sorts sets alone
            value = "frozenset", set(value)
        super().save(value)


def hash_of(value: Any, hash_name: str = "md5") -> str:
    """Return the hash of any value that can be pickled, as `joblib.hash` does."""
    return _TensorHasher(hash_name=hash_name).hash(value)


def _as_array(tensor: Tensor) -> Any:
    values = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    try:
        return values.numpy()
    except TypeError:  # bfloat16, say
        return values.double().numpy()
