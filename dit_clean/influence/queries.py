"""Queries: scalars of the parameters whose change by a sample's removal is wanted.

A query is any callable ``query(params, run) -> scalar tensor`` (or a vector, one value
per query). `params` are parameters and buffers by name; `run.model` computes outputs
and losses from them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from dit_clean.tracking import TrackedModel
from dit_clean.tracking.rows import Rows, as_rows


class HasModel(Protocol):
    """What a query is given beside the parameters: a run, or a trajectory."""

    @property
    def model(self) -> TrackedModel:
        """Outputs and losses as functions of the parameters."""


Query: TypeAlias = Callable[[Mapping[str, Tensor], HasModel], Tensor]


@dataclass(frozen=True, eq=False)
class MeanLoss:
    """Mean training loss on given samples, in evaluation mode (the paper's query).

    Influence on it: negative = harmful, since removal would lower the loss.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like of shape (n_query_samples, ...)
        Targets as the criterion takes them.
    """

    X: Any
    y: Any

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the mean loss, a scalar in the unit of the criterion."""
        X, y = _prepared(self.X, run), torch.as_tensor(self.y)
        return run.model.losses(params, X, _like(y, params)).mean()


@dataclass(frozen=True, eq=False)
class ClassProbability:
    """Mean probability of each sample's label: one query per class, or one for all.

    Bounded in [0, 1], so that wrong labels among the query samples cannot dominate
    it as they dominate cross-entropy.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like of int, shape (n_query_samples,)
        Class indices.
    n_classes : int, optional
        With it, query c is the mean probability of class c over the rows labelled c
        (0 for a class without rows); without, one query over all rows.
    """

    X: Any
    y: Any
    n_classes: int | None = None

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return mean probabilities: a scalar, or shape (n_classes,)."""
        labels = torch.as_tensor(self.y).to(run.model.device).long()
        logits = run.model.log_probabilities(params, _prepared(self.X, run))
        given = logits.gather(1, labels[:, None])[:, 0].exp()
        if self.n_classes is None:
            return given.mean()
        totals = given.new_zeros(self.n_classes).index_add(0, labels, given)
        return totals / labels.bincount(minlength=self.n_classes).clamp(min=1)


@dataclass(frozen=True, eq=False)
class BoundedError:
    """Mean bounded squared error on given samples, for regression targets.

    Geman and McClure's 1 - 1 / (1 + (r / scale)^2) of each residual r: squared error
    for small residuals, at most 1 for gross target errors.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like of shape (n_query_samples, ...)
        Targets as the criterion takes them.
    scale : float
        Residual that counts half, in the unit of y.
    """

    X: Any
    y: Any
    scale: float

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the mean bounded error, a scalar in [0, 1]."""
        output = run.model.forward(params, _prepared(self.X, run))
        y = torch.as_tensor(self.y).to(output)
        square = ((output - y) / self.scale) ** 2
        return (square / (1 + square)).mean()


def _prepared(X: Any, run: HasModel) -> Any:
    """Return query inputs as a batch in the precision of the training inputs."""
    rows: Rows = as_rows(X)
    if not isinstance(rows, Tensor | dict):
        rows = torch.from_numpy(rows.toarray())
    example = run.model.inputs
    if isinstance(rows, Tensor) and isinstance(example, Tensor):
        return rows.to(example.dtype)
    return rows


def _like(y: Tensor, params: Mapping[str, Tensor]) -> Tensor:
    """Return float targets in the precision of the parameters; labels as they are."""
    if not y.is_floating_point():
        return y
    return y.to(next(iter(params.values())).dtype)
