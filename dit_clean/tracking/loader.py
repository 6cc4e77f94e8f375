"""Batches that know which rows they are made of."""

from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from dit_clean.tracking.rows import as_rows, take_rows


class IndexedBatch(tuple):
    """The pair (X, y) of a batch, with the row numbers of its samples.

    Attributes
    ----------
    sample_indices : Tensor of shape (n_batch,)
        Rows of the X given to fit.
    """

    sample_indices: Tensor

    def __new__(cls, X: Any, y: Tensor, sample_indices: Tensor) -> "IndexedBatch":
        """Return the batch."""
        batch = super().__new__(cls, (X, y))
        batch.sample_indices = sample_indices
        return batch


class IndexedLoader:
    """Loader that takes whole batches from tensors by index.

    A replacement of ``torch.utils.data.DataLoader`` for data in memory: no per-row
    access, no collation. Sparse data become dense one batch at a time.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset, or Subset of one
        Data with attributes `X` and `y`.
    batch_size : int, default=1
        Samples per batch.
    shuffle : bool, default=False
        Whether to draw a new order for each pass, from torch's generator.
    drop_last : bool, default=False
        Whether to leave out a last batch of fewer samples.
    sampler : sized iterable of int, optional
        Positions in `dataset` in the order of a pass.
    **ignored
        Options of ``DataLoader`` that change nothing for data in memory.

    Raises
    ------
    TypeError
        If the dataset has no `X` and `y` in memory.
    ValueError
        When iterated, if there is no batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        sampler: Collection[int] | None = None,
        **ignored: Any,
    ):
        base, self.rows = resolve_subset(dataset)
        self.X, self.y = as_rows(base.X), torch.as_tensor(base.y)
        self.batch_size, self.shuffle = batch_size, shuffle
        self.drop_last, self.sampler = drop_last, sampler

    def __len__(self) -> int:
        n_rows = len(self.rows) if self.sampler is None else len(self.sampler)
        full, rest = divmod(n_rows, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[IndexedBatch]:
        order = self._order()
        self._check_batch(len(order))
        for indices in order.split(self.batch_size):
            if self.drop_last and len(indices) < self.batch_size:
                return
            yield IndexedBatch(take_rows(self.X, indices), self.y[indices], indices)

    def _check_batch(self, n_rows: int) -> None:
        """Raise if no batch can be made of so many rows."""
        if n_rows >= (self.batch_size if self.drop_last else 1):
            return
        raise ValueError(
            f"No batch to train on: {n_rows} training samples are fewer than "
            f"batch_size={self.batch_size}, and drop_last leaves out a smaller batch. "
            "Lower batch_size, or set iterator_train__drop_last=False."
            if n_rows
            else "No batch to train on: there are no training samples."
        )

    def _order(self) -> Tensor:
        if self.sampler is not None:
            return self.rows[torch.as_tensor(list(self.sampler))]
        if self.shuffle:
            return self.rows[torch.randperm(len(self.rows))]
        return self.rows


def resolve_subset(dataset: Any) -> tuple[Any, Tensor]:
    """Return the dataset under nested subsets, and its rows, shape (n_rows,)."""
    rows = torch.arange(len(dataset))
    while isinstance(dataset, Subset):
        rows = torch.as_tensor(dataset.indices)[rows]
        dataset = dataset.dataset
    if not (hasattr(dataset, "X") and hasattr(dataset, "y")):
        raise TypeError(
            f"Cannot track training on a {type(dataset).__name__}: batches are taken "
            "by row number from arrays in memory. Give X and y as arrays or tensors."
        )
    return dataset, rows
