"""The data given to fit: kept once, and encoded for the networks when needed."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import TransformerMixin

from dit_clean.crossfit.fold import Fold
from dit_clean.data.inputs import as_network_rows
from dit_clean.data.tables import MATRIX_AXES, select_rows
from dit_clean.data.targets import Targets
from dit_clean.influence import BoundedError, LabelError, MeanLoss
from dit_clean.influence.queries import Query, Several
from dit_clean.tracking.rows import Rows, as_tensor, n_rows, subset_rows

ENCODED_AT_A_TIME = 1024
"""Rows of X that are compared with what was trained on, before they are pickled."""
Validation = tuple[Rows, torch.Tensor] | None
"""Encoded inputs and targets of clean samples."""


@dataclass(eq=False, repr=False)
class TrainingData:
    """X as given, and what networks, queries and runs take of it.

    The encoded rows are not pickled: they are made again from X.

    Attributes
    ----------
    X : data frame, ndarray or sparse matrix, first axis n_samples
        As given to fit.
    encoder : transformer
        Fitted on X.
    targets : Targets
        The y given to fit.
    sample_weight : ndarray of shape (n_samples,) or None
        Factor of each sample's loss.
    validation : pair of inputs and encoded targets, or None
        Clean samples.
    groups : ndarray of int, shape (n_samples,), or None
        Numbers of the groups that rows belong to.
    in_double : bool, default=False
        Whether the network computes in double precision.
    """

    X: Any
    encoder: TransformerMixin
    targets: Targets
    sample_weight: np.ndarray | None = None
    validation: Validation = None
    groups: np.ndarray | None = None
    in_double: bool = field(default=False, kw_only=True)

    @cached_property
    def rows(self) -> Any:
        """X as the networks take it: Tensor or csr_array, first axis n_samples."""
        return self.encoded(self.X)

    @property
    def table(self) -> np.ndarray | None:
        """The rows as a dense table, (n_samples, n_columns), if they are one."""
        is_table = isinstance(self.rows, torch.Tensor) and self.rows.ndim == MATRIX_AXES
        return self.rows.numpy() if is_table else None

    @cached_property
    def for_networks(self) -> "NetworkData":
        """All that networks are trained on and asked about, encoded."""
        return NetworkData(self.rows, self.targets, self.sample_weight, self.validation)

    def encoded(self, X: Any) -> Rows:
        """Return other inputs in the same encoding."""
        return as_network_rows(self.encoder.transform(X), in_double=self.in_double)

    def equals(self, X: Any, y: np.ndarray) -> bool:
        """Tell whether X and y are those given to fit."""
        if not self.targets.are(y):
            return False
        try:
            return _are_equal(self.rows, self.encoded(X))
        except (ValueError, TypeError):  # other columns
            return False

    def __getstate__(self) -> dict[str, Any]:
        state = vars(self).copy()
        state.pop("for_networks", None)
        # Kept only if X itself has been changed since it was trained on.
        if "rows" in state and self._encodes(state["rows"]):
            del state["rows"]
        return state

    def _encodes(self, rows: Rows) -> bool:
        """Tell whether X gives these rows: in parts, as encoding takes much memory."""
        if self.X.shape[0] != n_rows(rows):
            return False
        for part in torch.arange(n_rows(rows)).split(ENCODED_AT_A_TIME):
            encoded = self.encoded(select_rows(self.X, part.numpy()))
            if not _are_equal(subset_rows(rows, part), encoded):
                return False
        return True


@dataclass(frozen=True)
class NetworkData:
    """What the networks of a cross-fit are trained on and asked about.

    Attributes
    ----------
    X : Tensor or csr_array, first axis n_samples
        All inputs.
    targets : Targets
        All targets.
    sample_weight : ndarray of shape (n_samples,) or None
        Factor of each sample's loss.
    validation : pair of inputs and encoded targets, or None
        Clean samples.
    """

    X: Rows
    targets: Targets
    sample_weight: np.ndarray | None
    validation: Validation

    def query(self, fold: Fold) -> Query:
        """Return the default query of a fold, on the rows that it holds out.

        Bounded, since nobody has checked those rows: the mean error of labels, or the
        mean bounded error of regression targets. Clean validation samples add their
        mean loss as a second query.
        """
        rows = as_tensor(fold.held_out)
        X, y = subset_rows(self.X, rows), self.targets.encoded[rows]
        query: Query = (
            LabelError(X, y)
            if self.targets.is_classifier
            else BoundedError(X, y, scale=self.targets.spread)
        )
        if self.validation is None:
            return query
        return Several((query, MeanLoss(*self.validation)))


def _are_equal(rows: Any, others: Any) -> bool:
    if type(rows) is not type(others):
        return False
    if sparse.issparse(rows):
        return rows.shape == others.shape and (rows != others).nnz == 0
    return bool(torch.equal(rows, others))
