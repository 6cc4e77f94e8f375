"""Which classes go wrong in a way of their own, and which alike.

T has n_classes (n_classes - 1) free entries: fitted to few samples a class, they
explain by chance what did not happen. Here each row becomes one of three, whichever its
class's expected counts of given labels speak for:

- pooled: errors spread evenly, at the rate of all classes that share it;
- even: errors spread evenly, at a rate of its own;
- free: errors as the counts have them, pulled towards the pooled row.

They are compared by marginal likelihood (Beta-binomial, Dirichlet-multinomial), which
charges a row for what it leaves open. Row by row, because a single class that goes
wrong must not be averaged away by many that do not.

The true labels behind the counts are inferred, with the very T in question. So counts
are expected ones, fractions, which a marginal likelihood charges more than whole ones:
a row is free on clear evidence only. And it matters where the search starts: errors by
class are found from free rows, and rows that are alike from rows that are alike. It is
started from both.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

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
"""Part of the charge that counts between the two starts. All of it would be due if the
true labels were seen; as it is, it drives out errors by class that are there."""


class _Rows(NamedTuple):
    """A transition matrix, and what its rows are charged (per sample)."""

    transition: np.ndarray
    charge: float


class _Options(NamedTuple):
    """What each row may be: pooled, even or free, along the first axis.

    Attributes
    ----------
    rows : ndarray of shape (3, n_classes, n_classes)
        Rows of the transition matrix.
    worth : ndarray of shape (3, n_classes)
        Log marginal likelihood of the counts of each class.
    """

    rows: np.ndarray
    worth: np.ndarray


def pool_rows(
    transition: np.ndarray, prior: np.ndarray, problem: Problem, strength: float
) -> np.ndarray:
    """Return T with as little left open in each row as its class allows.

    Parameters
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        With all rows free.
    prior : ndarray of shape (n_classes, n_samples)
        P(true | i) of the evidence.
    problem : Problem
        Holds the given labels.
    strength : float
        Pseudo-samples that pull even and free rows towards the pooled one, and that
        one towards the rate of all samples.
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
    n_classes = len(transition)
    shares = np.zeros(n_classes, bool)
    for _ in range(N_ROUNDS):
        counts = expected_counts(normalized(problem.joint(prior, transition)), problem)
        options = _options(counts, _pooled(counts, shares, strength), strength)
        choice = options.worth.argmax(axis=0)
        shares = choice == 0
        transition = options.rows[choice, np.arange(n_classes)]
    charge = (_log_multinomial(counts, transition) - options.worth.max(axis=0)).sum()
    return _Rows(transition, float(charge / problem.n_samples))


def _pooled(counts: np.ndarray, shares: np.ndarray, strength: float) -> np.ndarray:
    """Return T of one rate, that of the classes which share it."""
    total = counts.sum(axis=1)
    wrong = total - np.diag(counts)
    of_all = wrong.sum() / total.sum()
    rate = wrong[shares].sum() + strength * of_all
    rate /= total[shares].sum() + strength
    return symmetric_transition(rate, len(counts))


def _options(counts: np.ndarray, pooled: np.ndarray, strength: float) -> _Options:
    right, total, n_classes = np.diag(counts), counts.sum(axis=1), len(counts)
    wrong = total - right
    two_ways = np.stack([right, wrong], axis=1)
    right_or_wrong = np.array([[pooled[0, 0], 1 - pooled[0, 0]]])
    kept = (right + strength * pooled[0, 0]) / (total + strength)
    free = counts + strength * pooled
    rows = [pooled, _even(kept), free / free.sum(axis=1, keepdims=True)]
    spread = wrong * np.log(n_classes - 1)
    worth = [
        _log_multinomial(counts, pooled),
        _log_marginal(two_ways, strength * right_or_wrong) - spread,
        _log_marginal(counts, strength * pooled),
    ]
    return _Options(np.stack(rows), np.stack(worth))


def _even(kept: np.ndarray) -> np.ndarray:
    """Return rows that keep these shares of labels and spread the rest evenly."""
    n_classes = len(kept)
    rows = np.repeat((1 - kept)[:, None] / (n_classes - 1), n_classes, axis=1)
    np.fill_diagonal(rows, kept)
    return rows


def _log_multinomial(counts: np.ndarray, transition: np.ndarray) -> np.ndarray:
    """Return log P(counts) of each row under T."""
    return (counts * np.log(transition)).sum(axis=1)


def _log_marginal(counts: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Return log P(counts) of each row, its entries integrated over a Dirichlet."""
    total, pulled = counts.sum(axis=1), pull.sum(axis=1)
    by_entry = (gammaln(pull + counts) - gammaln(pull)).sum(axis=1)
    return gammaln(pulled) - gammaln(pulled + total) + by_entry
