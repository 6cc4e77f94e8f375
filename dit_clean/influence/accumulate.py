"""Adding up contributions of steps to windows: as few adjoints as the windows need."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from dit_clean.influence.adjoint import check_same_number, sweep_back
from dit_clean.influence.functional import check_query, query_gradients
from dit_clean.influence.queries import HasModel, Query
from dit_clean.influence.windows import Steps
from dit_clean.tracking import StepRecord, TrainingState, Trajectory


@dataclass(frozen=True)
class Term:
    """A part of a window's score.

    Attributes
    ----------
    query_step : int
        State that the query is evaluated at.
    removal : Steps
        Where the sample is gone; none is after `query_step`.
    column : int
        Number of the window.
    sign : float
        Factor of the part in the score.
    """

    query_step: int
    removal: Steps
    column: int
    sign: float = 1.0


@dataclass(frozen=True)
class Span:
    """An adjoint's way back: from the query step to the first step that it serves.

    Attributes
    ----------
    query_step, start : int
        Where it begins and where it ends, in steps.
    terms : tuple of Term
        What it serves.
    """

    query_step: int
    start: int
    terms: tuple[Term, ...]


def accumulate(
    trajectory: Trajectory,
    gradient_of: Callable[[TrainingState], Tensor],
    terms: Sequence[Term],
    on_step: Callable[[], object] | None = None,
    *,
    each_label: bool = False,
) -> np.ndarray:
    """Return the sums of all terms, (n_queries, n_samples[, n_classes], n_columns).

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run.
    gradient_of : callable
        ``gradient_of(state)`` -> gradients of the queries, see `query_gradients`.
    terms : sequence of Term
        At least one.
    on_step : callable, optional
        Called after each of the `n_steps_back`.
    each_label : bool, default=False
        Whether to ask what each sample would have done under each label.

    Raises
    ------
    FloatingPointError
        If a sum is not finite; names the step.

    Notes
    -----
    Terms with one query step share an adjoint, adjoints whose spans do not overlap
    share a lane of the reverse pass, and steps that no term needs are not gone over.
    """
    n_columns = max(term.column for term in terms) + 1
    values: Any = None
    for spans in _chains(_spans(terms)):
        lanes = _lanes(spans)
        served = [term for span in spans for term in span.terms]
        start = min(span.start for span in spans)
        for record, contributions in sweep_back(
            trajectory, gradient_of, lanes, start, each_label=each_label
        ):
            found = contributions.cpu().double()
            if values is None:
                n_queries, n_samples = found.shape[1], trajectory.model.n_samples
                shape = (n_columns, n_queries, n_samples, *found.shape[3:])
                values = torch.zeros(shape, dtype=torch.float64)
            check_same_number(found.shape[1], values.shape[1], record.step)
            for term in served:
                if record.step in term.removal:
                    part = term.sign * found[lanes[term.query_step]]
                    values[term.column].index_add_(1, record.sample_indices, part)
            if not (found.isfinite().all() or values.isfinite().all()):
                _refuse_infinite(record, max(lanes))
            if on_step is not None:
                on_step()
    return values.movedim(0, -1).numpy()


def _refuse_infinite(record: StepRecord, query_step: int) -> NoReturn:
    """Raise because influence is not finite from a step back."""
    raise FloatingPointError(
        f"Influence is not finite at step {record.step} (epoch {record.epoch}), on its "
        f"way back from step {query_step}. If the query is finite, its changes grow "
        "from step to step until numbers overflow, as they do where training is "
        'unstable. Ask for shorter windows, with history="window", lower the learning '
        "rate (lr), or train in double precision: module.double()."
    )


def n_steps_back(terms: Sequence[Term]) -> int:
    """Return how many steps `accumulate` goes back over."""
    return sum(
        spans[0].query_step - min(span.start for span in spans)
        for spans in _chains(_spans(terms))
    )


def query_gradient(
    trajectory: Trajectory, query: Query, run: HasModel | None
) -> Callable[[TrainingState], Tensor]:
    """Return the function state -> gradients of the queries there."""
    check_query(query)
    context = trajectory if run is None else run

    def gradient_of(state: TrainingState) -> Tensor:
        return query_gradients(
            lambda params: query(params, context),
            trajectory.model,
            trajectory.layout,
            state,
        )

    return gradient_of


def _spans(terms: Iterable[Term]) -> list[Span]:
    """Return one span for each query step, the last step first."""
    by_step: dict[int, list[Term]] = {}
    for term in terms:
        by_step.setdefault(term.query_step, []).append(term)
    return [
        Span(step, min(term.removal.start for term in parts), tuple(parts))
        for step, parts in sorted(by_step.items(), reverse=True)
    ]


def _chains(spans: list[Span]) -> Iterator[list[Span]]:
    """Yield groups of spans; between two groups lie only steps that no span serves."""
    chain = [spans[0]]
    for span in spans[1:]:
        if span.query_step < min(earlier.start for earlier in chain):
            yield chain
            chain = []
        chain.append(span)
    yield chain


def _lanes(spans: list[Span]) -> dict[int, int]:
    """Return by query step the first lane that no other span needs at that time."""
    ends: list[int] = []
    lanes = {}
    for span in spans:
        free = [lane for lane, end in enumerate(ends) if end >= span.query_step]
        lane = free[0] if free else len(ends)
        ends[lane : lane + 1] = [span.start]
        lanes[span.query_step] = lane
    return lanes
