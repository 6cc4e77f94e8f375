"""Which classes go wrong in a way of their own, and which alike.

T has n_classes (n_classes - 1) free entries: fitted to few samples a class, they
explain by chance what did not happen. Here each row becomes one of four, whichever its
class's expected counts of given labels speak for:

- pooled: errors spread evenly, at the rate of all classes that share it;
- even: errors spread evenly, at a rate of its own;
- single: errors to one other class at a rate of its own, the rest spread evenly;
- free: errors as the counts have them, pulled towards the pooled row.

They are compared by marginal likelihood (Beta-binomial, Dirichlet-multinomial), which
charges a row for what it leaves open. Row by row, because a single class that goes
wrong must not be averaged away by many that do not; and at odds of 1 to n_classes for
a row of its own, because of many rows one looks unlike the others by chance.

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
CHARGE = 0.1
"""Part of the charge that counts between the two starts, and between explanations of
the labels. The full charge is right only if true labels were observed; here it would
suppress real errors by class."""


class PooledRows(NamedTuple):
    """A transition matrix, and what its rows are charged.

    Attributes
    ----------
    transition : ndarray of shape (n_classes, n_classes)
        Row = true label, column = given label.
    charge : float
        For what the rows leave open, in log-probability per sample, as far as it counts
        (`CHARGE`).
    """

    transition: np.ndarray
    charge: float


class _Options(NamedTuple):
    """What each row may be: pooled, even, single or free, along the first axis.

    Attributes
    ----------
    rows : ndarray of shape (n_options, n_classes, n_classes)
        Rows of the transition matrix.
    worth : ndarray of shape (n_options, n_classes)
        Log marginal likelihood of the counts of each class, with its prior odds.
    """

    rows: np.ndarray
    worth: np.ndarray


def pool_rows(
    transition: np.ndarray, prior: np.ndarray, problem: Problem, strength: float
) -> PooledRows:
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

    def worth(rows: PooledRows) -> float:
        return mean_log_likelihood(problem.joint(prior, rows.transition)) - rows.charge

    return max(found, key=worth)


def expected_counts(posterior: np.ndarray, problem: Problem) -> np.ndarray:
    """Return expected numbers of samples by true and given label."""
    labels, n_classes = problem.labels, problem.n_classes
    return np.array([np.bincount(labels, p, n_classes) for p in posterior])


def _search(
    transition: np.ndarray, prior: np.ndarray, problem: Problem, strength: float
) -> PooledRows:
    n_classes = len(transition)
    shares = np.zeros(n_classes, bool)
    for _ in range(N_ROUNDS):
        counts = expected_counts(normalized(problem.joint(prior, transition)), problem)
        options = _options(counts, _pooled(counts, shares, strength), strength)
        choice = options.worth.argmax(axis=0)
        shares = choice == 0
        transition = options.rows[choice, np.arange(n_classes)]
    charge = (_log_multinomial(counts, transition) - options.worth.max(axis=0)).sum()
    return PooledRows(transition, float(CHARGE * charge / problem.n_samples))


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
    if n_classes > 2:  # noqa: PLR2004
        single = _single(counts, pooled, strength)
        rows, worth = [*rows, single.rows], [*worth, single.worth]
    worth[1:] = [one - np.log(n_classes) for one in worth[1:]]
    return _Options(np.stack(rows), np.stack(worth))


def _single(counts: np.ndarray, pooled: np.ndarray, strength: float) -> _Options:
    """Return rows with errors to one other class, of three classes or more.

    Which class it is costs as much as a choice among n_classes - 1.
    """
    right, n_classes = np.diag(counts), len(counts)
    rows = np.arange(n_classes)
    other = (counts - np.diag(right + 1)).argmax(axis=1)
    to_other = counts[rows, other]
    rest = counts.sum(axis=1) - right - to_other
    three_ways = np.stack([right, to_other, rest], axis=1)
    kept, wrong = pooled[0, 0], pooled[0, 1]
    pull = strength * np.array([kept, wrong, (n_classes - 2) * wrong])
    shares = three_ways + pull
    shares /= shares.sum(axis=1, keepdims=True)
    single = np.repeat(shares[:, 2:] / (n_classes - 2), n_classes, axis=1)
    single[rows, rows], single[rows, other] = shares[:, 0], shares[:, 1]
    spread = rest * np.log(n_classes - 2) + np.log(n_classes - 1)
    return _Options(single, _log_marginal(three_ways, pull[None]) - spread)


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
