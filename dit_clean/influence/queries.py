"""Queries: scalars of the parameters whose change by a sample's removal is wanted.

A query is any callable ``query(params, run) -> scalar tensor`` (or a vector, one value
per query). `params` are parameters and buffers by name; `run.model` computes outputs
and losses from them.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dit_clean.influence.batch_norm import MEAN, differentiable_norm
from dit_clean.tracking import TrackedModel
from dit_clean.tracking.criterion_checks import check_same_shape
from dit_clean.tracking.exclusive import holds_global_state, on_behalf_of_lock_holder
from dit_clean.tracking.rows import (
    Rows,
    as_rows,
    as_targets,
    as_tensor,
    cast_floats,
    n_rows,
    take_rows,
)

QUERY_ROWS, MIN_QUERY_ROWS = 4096, 64
"""Query samples whose activations are held at a time: at most, and at least."""
QUERY_VALUES = 2**24
"""Input values that are held at a time, as far as `MIN_QUERY_ROWS` allow: sparse rows
become dense."""

TAKES_NO_HOOKS = "support saved tensor hooks"
"""What torch.func says within `torch.utils.checkpoint`."""


class HasModel(Protocol):
    """What a query is given beside the parameters: a run, or a trajectory."""

    @property
    def model(self) -> TrackedModel:
        """Outputs and losses as functions of the parameters."""


Query: TypeAlias = Callable[[Mapping[str, Tensor], HasModel], Tensor]


@dataclass(frozen=True, eq=False, repr=False)
class SampleQuery:
    """A query on given samples.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like, first axis n_query_samples, or None
        Labels or targets.

    Raises
    ------
    ValueError
        If X and y differ in length, or there are no samples when it is asked.
    """

    X: Any
    y: Any

    def __post_init__(self) -> None:
        n_samples = self.n_samples
        if self.y is not None and len(self.y) != n_samples:
            raise ValueError(
                f"{type(self).__name__}: X has {n_samples} samples, but y has "
                f"{len(self.y)}. Give one label or target for each sample."
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.n_samples} samples)"

    @property
    def n_samples(self) -> int:
        """Number of given samples."""
        return n_rows(as_rows(self.X))


@dataclass(frozen=True, eq=False, repr=False)
class MeanLoss(SampleQuery):
    """Mean training loss on given samples, in evaluation mode (the paper's query).

    Influence on it: negative = harmful, since removal would lower the loss. Class
    weights multiply the losses, and labels that the criterion ignores have a loss of
    0: the mean is over all samples all the same.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like of shape (n_query_samples, ...)
        Targets as the criterion takes them.
    """

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the mean loss, a scalar in the unit of the criterion."""
        return _losses(self, params, run).mean()


@dataclass(frozen=True, eq=False, repr=False)
class ClassProbability(SampleQuery):
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

    n_classes: int | None = None

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return mean probabilities: a scalar, or shape (n_classes,)."""
        labels, given = _given_probability(self, params, run)
        if self.n_classes is None:
            return given.mean()
        check_below(self, labels, self.n_classes, f"n_classes={self.n_classes}")
        totals = given.new_zeros(self.n_classes).index_add(0, labels, given)
        return totals / labels.bincount(minlength=self.n_classes).clamp(min=1)


@dataclass(frozen=True, eq=False, repr=False)
class LabelError(SampleQuery):
    """Mean probability of not predicting the label, over samples and over classes.

    One minus the probability of the given label, averaged over all given samples and
    over the means of the classes, half and half: rare classes count without being
    drowned, and common ones without drowning. In [0, 1], and therefore tolerant to
    wrong labels among the query samples.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like of int, shape (n_query_samples,)
        Class indices.
    """

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the mean error, a scalar in [0, 1]."""
        labels, given = _given_probability(self, params, run)
        error = 1 - given
        counts = labels.bincount()
        share = 1 / (counts[labels] * (counts > 0).sum())
        return (error.mean() + (error * share).sum()) / 2


@dataclass(frozen=True, eq=False, repr=False)
class BoundedError(SampleQuery):
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

    scale: float

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the mean bounded error, a scalar in [0, 1]."""
        output = read_in_parts(run.model.forward, params, self.X)
        y = as_tensor(self.y).to(output)
        check_same_shape(output, y)
        square = ((output - y) / self.scale) ** 2
        return (square / (1 + square)).mean()


@dataclass(frozen=True, eq=False, repr=False)
class SampleLosses(SampleQuery):
    """Training loss of each given sample: one query per sample, evaluation mode.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like of shape (n_query_samples, ...)
        Targets as the criterion takes them.
    """

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return losses, shape (n_query_samples,), in the unit of the criterion."""
        return _losses(self, params, run)


@dataclass(frozen=True, eq=False)
class Several:
    """Several queries answered by one reverse pass.

    Parameters
    ----------
    queries : tuple of callable
        Each a scalar query or one of several values.
    """

    queries: tuple[Query, ...]

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the values of all queries, shape (n_queries,)."""
        return torch.cat([query(params, run).reshape(-1) for query in self.queries])


def read_in_parts(
    read: Callable[..., Tensor], params: Mapping[str, Tensor], X: Any, *more: Tensor
) -> Tensor:
    """Return ``read(params, X, *more)``, of many rows in parts.

    The activations of a part are computed anew when its gradient is taken, so that
    memory is that of `QUERY_ROWS` samples, or of `QUERY_VALUES` input values where rows
    are wide, however many there are. Those of networks that take gradients by
    torch.func are held: it does not take that.

    Parameters
    ----------
    read : callable
        Reads a batch: one row of output for each row of input, evaluation mode.
    params : dict of str to Tensor
        Parameters and buffers.
    X : array-like, first axis n_samples
        Inputs as the network takes them.
    *more : Tensor, first axis n_samples
        Further rows.

    Returns
    -------
    outputs : Tensor, first axis n_samples
    """
    rows = _query_rows(X, params)

    def read_part(indices: Tensor) -> Tensor:
        return read(params, take_rows(rows, indices), *(each[indices] for each in more))

    parts = torch.arange(n_rows(rows)).split(_n_rows_at_a_time(rows))
    if len(parts) == 1:
        return read_part(parts[0])
    by_statistics = any(
        name.endswith(MEAN) and values.requires_grad for name, values in params.items()
    )

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _OnceMore(
            is_locked=holds_global_state(), by_statistics=by_statistics
        )

    def read_in_turn(indices: Tensor) -> Tensor:
        try:
            return checkpoint(
                read_part, indices, use_reentrant=False, context_fn=contexts
            )
        except RuntimeError as error:
            if TAKES_NO_HOOKS not in str(error):
                raise
            return read_part(indices)

    return torch.cat([read_in_turn(part) for part in parts])


class _OnceMore:
    """Context in which a part is computed anew, whenever its gradient is taken.

    The query's own context has been left by then, and the thread may be another one:
    it goes without the lock if the asker has it, and waits for it otherwise.
    """

    def __init__(self, *, is_locked: bool, by_statistics: bool):
        self.is_locked, self.by_statistics = is_locked, by_statistics

    def __enter__(self) -> None:
        self.contexts = ExitStack()
        if self.is_locked:
            self.contexts.enter_context(on_behalf_of_lock_holder())
        if self.by_statistics:
            self.contexts.enter_context(differentiable_norm())

    def __exit__(self, *_: Any) -> None:
        self.contexts.close()


def _n_rows_at_a_time(rows: Rows) -> int:
    parts = rows.values() if isinstance(rows, Mapping) else [rows]
    width = sum(math.prod(part.shape[1:]) for part in parts)
    return min(QUERY_ROWS, max(MIN_QUERY_ROWS, QUERY_VALUES // max(width, 1)))


def as_batch(X: Any, params: Mapping[str, Tensor]) -> Any:
    """Return query inputs as one dense batch in the precision of the parameters."""
    rows = _query_rows(X, params)
    return take_rows(rows, torch.arange(n_rows(rows)))


def _query_rows(X: Any, params: Mapping[str, Tensor]) -> Rows:
    """Return query inputs in the parameters' precision, or raise if there are none.

    A query without inputs may be made: a network that holds out nothing has one, too,
    which nobody asks.
    """
    rows = cast_floats(as_rows(X), _dtype(params))
    if n_rows(rows) == 0:
        raise ValueError("The query has no samples: its X is empty. Give one at least.")
    return rows


def _given_probability(
    query: ClassProbability | LabelError, params: Mapping[str, Tensor], run: HasModel
) -> tuple[Tensor, Tensor]:
    """Return class indices and the probability of each, (n_query_samples,) both."""
    labels = class_indices(query, run.model.device)
    logs = read_in_parts(run.model.log_probabilities, params, query.X)
    if logs.shape[1] == 1:
        raise ValueError(
            f"{type(query).__name__} needs a network with one output per class, got 1 "
            "output."
        )
    return labels, at_classes(query, logs, labels).exp()


def class_indices(query: SampleQuery, device: torch.device) -> Tensor:
    """Return the y of a query as class indices, (n_query_samples,), or raise."""
    labels = as_tensor(query.y).to(device).long()
    if labels.ndim != 1:
        raise ValueError(
            f"{type(query).__name__} needs one class index for each sample, got y of "
            f"shape {tuple(labels.shape)}. Of one-hot rows: y.argmax(axis=1)."
        )
    return labels


def at_classes(query: SampleQuery, outputs: Tensor, classes: Tensor) -> Tensor:
    """Return each sample's output for its class, (n_query_samples,), or raise."""
    n_outputs = outputs.shape[1]
    check_below(query, classes, n_outputs, f"{n_outputs} outputs")
    return outputs.gather(1, classes[:, None])[:, 0]


def check_below(query: SampleQuery, labels: Tensor, n_classes: int, given: str) -> None:
    """Raise unless labels count from 0 and are below what is given, in words."""
    low, high = int(labels.min()), int(labels.max())
    if not 0 <= low <= high < n_classes:
        raise ValueError(
            f"{type(query).__name__} needs class indices from 0 to {n_classes - 1}: "
            f"got {given} and labels from {low} to {high}."
        )


def _losses(
    query: MeanLoss | SampleLosses, params: Mapping[str, Tensor], run: HasModel
) -> Tensor:
    """Return the loss of each sample, (n_query_samples,)."""
    y = targets_of(query, params)
    with labels_in_words(query):
        return read_in_parts(run.model.losses, params, query.X, y)


def targets_of(query: SampleQuery, params: Mapping[str, Tensor]) -> Tensor:
    """Return y for the criterion: floats as precise as the parameters, else labels."""
    y = as_targets(query.y)
    return y.to(_dtype(params)) if y.is_floating_point() else y


@contextmanager
def labels_in_words(query: SampleQuery) -> Iterator[None]:
    """Add the query, and what labels are, to torch's message about wrong ones."""
    try:
        yield
    except IndexError as error:
        if "Target" not in str(error):
            raise
        raise ValueError(
            f"{type(query).__name__}: {error} Labels are class indices, from 0 to one "
            "less than the network has outputs."
        ) from error


def _dtype(params: Mapping[str, Tensor]) -> torch.dtype:
    return next(iter(params.values())).dtype
