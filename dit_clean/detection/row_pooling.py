"""Which classes go wrong in a way of their own, and which alike.

T has n_classes (n_classes - 1) free entries: fitted to few samples a class, they
explain by chance what did not happen. Here each row is either kept, pulled towards
noise alike in all classes as while it was fitted, or it is exactly that. Of the two the
one counts that the row's counts of given labels speak for by their marginal likelihood
(of a Dirichlet-multinomial, which charges a free row for its entries). Row by row,
because a single class that goes wrong must not be averaged away by many that do not.

The counts rest on true labels that are inferred with the very T in question, so where
the search starts matters: errors by class are found from free rows, and rows that are
alike from rows that are alike. It is started from both.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from dit_clean.detection.evidence import TINY
from dit_clean.detection.latent_labels import (
    INITIAL_RATE,
    Problem,
    mean_log_likelihood,
    normalized,
)
from dit_clean.detection.noise_model import symmetric_transition

N_ROUNDS = 10
"""Rounds of expectation and maximization."""
CHARGE = 0.3
"""Part of the charge for free rows that counts between the two starts. All of it would
be due if the true labels were seen; they are inferred, and it drives out errors by
class that are there."""


class _Rows(NamedTuple):
    """A transition matrix, and what its free rows are charged (per sample)."""

    transition: np.ndarray
    charge: float


def pool_rows(
    transition: np.ndarray, prior: np.ndarray, problem: Problem, strength: float
) -> np.ndarray:
    """Return T with rows that show no errors of their own replaced by the pooled one.

    Parameters
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        With all rows free.
    prior : ndarray of shape (n_classes, n_samples)
        P(true | i) of the evidence.
    problem : Problem
        Holds the given labels.
    strength : float
        Pseudo-samples that pull a free row towards the pooled one.

    Returns
    -------
    transition : ndarray of shape (n_classes, n_classes)
        The rate of the pooled rows is that of their samples, and of all samples where
        every row is free.
    """
    starts = transition, symmetric_transition(INITIAL_RATE, len(transition))
    found = [_search(start, prior, problem, strength) for start in starts]

    def worth(rows: _Rows) -> float:
        joint = problem.joint(prior, rows.transition)
        return mean_log_likelihood(joint) - CHARGE * rows.charge

    return max(found, key=worth).transition


def expected_counts(posterior: np.ndarray, problem: Problem) -> np.ndarray:
    """Return expected numbers of samples by true and given label."""
    labels, n_classes = problem.labels, problem.n_classes
    return np.array([np.bincount(labels, p, n_classes) for p in posterior])


def _search(
    transition: np.ndarray, prior: np.ndarray, problem: Problem, strength: float
) -> _Rows:
    is_free = np.ones(len(transition), bool)
    for _ in range(N_ROUNDS):
        counts = expected_counts(normalized(problem.joint(prior, transition)), problem)
        sharing = counts * (is_free.all() | ~is_free)[:, None]
        wrong, total = sharing.sum() - np.trace(sharing), sharing.sum()
        rate = wrong / max(total, TINY)
        pooled = symmetric_transition(rate, len(transition))
        marginal = _log_marginal(counts, strength * pooled)
        is_free = marginal > _log_multinomial(counts, pooled)
        free = counts + strength * pooled
        free /= free.sum(axis=1, keepdims=True)
        transition = np.where(is_free[:, None], free, pooled)
    charge = (_log_multinomial(counts, transition) - marginal)[is_free].sum()
    return _Rows(transition, float(charge / problem.n_samples))


def _log_multinomial(counts: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Return log P(counts) of each row under T."""
    return (counts * np.log(transition)).sum(axis=1)


def _log_marginal(counts: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Return log P(counts) of each row, its entries integrated over a Dirichlet."""
    total, pulled = counts.sum(axis=1), pull.sum(axis=1)
    by_entry = (gammaln(pull + counts) - gammaln(pull)).sum(axis=1)
    return gammaln(pulled) - gammaln(pulled + total) + by_entry
