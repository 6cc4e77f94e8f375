"""The peers of the detection benchmark: cleanlab, and others from their formulas."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from _cells import Cell, Problem
from _nets import make_scaled_net, squared_gradients, train_plainly
from cleanlab.classification import CleanLearning
from cleanlab.count import num_label_issues
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from torch import Tensor

N_FOLDS, N_CHECKPOINTS, N_NEIGHBORS, N_TREES = 5, 5, 10, 100
AUM_PERCENTILE = 99
N_COMPONENTS, MAX_COLUMNS, MAX_TREES = 50, 150, 200
"""Boosted trees get so many principal components of wider data, and grow so many trees:
fewer rounds where there are many classes."""


@dataclass(frozen=True)
class Verdict:
    """What a method says of each training row.

    Attributes
    ----------
    suspicion : ndarray of shape (n_samples,)
        Higher = more likely wrong.
    flagged : ndarray of bool, shape (n_samples,), or None
        By the method's own default cut, where it has one.
    rate : float or None
        Estimated fraction of wrong labels.
    suggestion : ndarray of int, shape (n_samples,), or None
        Labels it would give.
    seconds : float
        CPU seconds.
    """

    suspicion: np.ndarray
    flagged: np.ndarray | None = None
    rate: float | None = None
    suggestion: np.ndarray | None = None
    seconds: float = 0.0


def cross_validated(cell: Cell, problem: Problem) -> np.ndarray:
    """Return held-out class probabilities of the same net, 5 folds, through skorch."""
    torch.manual_seed(cell.seed)
    return cross_val_predict(
        make_scaled_net(cell, problem),
        problem.train.X,
        problem.given,
        cv=StratifiedKFold(N_FOLDS, shuffle=True, random_state=cell.seed),
        method="predict_proba",
    )


def cleanlab_verdicts(
    problem: Problem, probabilities: np.ndarray, seconds: float
) -> Iterator[tuple[str, Verdict]]:
    """Yield confident learning on the network's held-out probabilities."""
    given = problem.given
    flagged = find_label_issues(given, probabilities, n_jobs=1)
    rate = num_label_issues(given, probabilities) / len(given)
    suggestion = np.where(flagged, probabilities.argmax(1), given)
    for name, method in (
        ("self-confidence", "self_confidence"),
        ("normalized margin", "normalized_margin"),
    ):
        quality = get_label_quality_scores(given, probabilities, method=method)
        yield name, Verdict(1 - quality, flagged, rate, suggestion, seconds)


def run_peers(cell: Cell, problem: Problem) -> Iterator[tuple[str, Verdict]]:
    """Yield peers that watch one plain training of the same network on all rows."""
    given = problem.given
    begin = time.process_time()
    run = train_plainly(cell, problem, given, n_checkpoints=N_CHECKPOINTS)
    seconds = time.process_time() - begin
    area = _mean_margin(run.logits, given)
    flagged = _aum_flags(cell, problem, area)
    cost = time.process_time() - begin
    yield "AUM", Verdict(-area, flagged, float(flagged.mean()), seconds=cost)
    log_probability = run.logits.log_softmax(2)[:, range(len(given)), given]
    loss = -log_probability.mean(0).numpy()
    yield "mean loss", Verdict(loss, seconds=seconds)
    begin = time.process_time()
    squares = squared_gradients(run, given).numpy()
    seconds += time.process_time() - begin
    yield "self-influence", Verdict(squares, seconds=seconds)


def netless_peers(cell: Cell, problem: Problem) -> Iterator[tuple[str, Verdict]]:
    """Yield peers that need no network: their verdict is the same in every regime."""
    for name, score in (("KNN-Shapley", knn_shapley), ("Data-OOB", data_oob)):
        begin = time.process_time()
        suspicion = -score(problem, cell.seed)
        yield name, Verdict(suspicion, seconds=time.process_time() - begin)
    for name, model in _models(problem, cell.seed).items():
        begin = time.process_time()
        learner = CleanLearning(model, cv_n_folds=N_FOLDS, seed=cell.seed)
        issues = learner.find_label_issues(problem.train.X, problem.given)
        flagged = issues["is_label_issue"].to_numpy()
        yield (
            name,
            Verdict(
                1 - issues["label_quality"].to_numpy(),
                flagged,
                float(flagged.mean()),
                np.where(flagged, issues["predicted_label"], problem.given),
                time.process_time() - begin,
            ),
        )


def knn_shapley(problem: Problem, seed: int) -> np.ndarray:
    """Return exact Shapley values of a nearest-neighbor classifier (Jia et al. 2019).

    Each fold serves as the validation set of the others; values are averaged.
    """
    X, y = StandardScaler().fit_transform(problem.train.X), problem.given
    total, count = np.zeros(len(y)), np.zeros(len(y))
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed)
    for train, held in folds.split(X, y):
        distance = (X[train] ** 2).sum(1) - 2 * X[held] @ X[train].T
        order = np.argsort(distance, axis=1)
        match = (y[train][order] == y[held][:, None]).astype(float)
        n, rank = len(train), np.arange(1, len(train))
        step = (match[:, :-1] - match[:, 1:]) * np.minimum(N_NEIGHBORS, rank)
        step /= N_NEIGHBORS * rank
        last = match[:, -1:] * min(N_NEIGHBORS, n) / (N_NEIGHBORS * n)
        value = np.hstack([np.cumsum(step[:, ::-1], axis=1)[:, ::-1] + last, last])
        sums = np.zeros((len(held), n))
        np.put_along_axis(sums, order, value, axis=1)
        total[train] += sums.mean(0)
        count[train] += 1
    return total / count


def data_oob(problem: Problem, seed: int) -> np.ndarray:
    """Return how often trees that never drew a row agree with its label (Kwon 2023)."""
    X, y = problem.train.X, problem.given
    forest = RandomForestClassifier(N_TREES, random_state=seed).fit(X, y)
    right, count = np.zeros(len(y)), np.full(len(y), 1e-9)
    for tree, drawn in zip(forest.estimators_, forest.estimators_samples_, strict=True):
        out = np.setdiff1d(np.arange(len(y)), drawn)
        right[out] += forest.classes_[tree.predict(X[out]).astype(int)] == y[out]
        count[out] += 1
    return right / count


def narrowed(problem: Problem, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes wide inputs narrow enough for boosted trees."""
    if problem.train.n_features <= MAX_COLUMNS:
        return np.asarray
    return PCA(N_COMPONENTS, random_state=seed).fit(problem.train.X).transform


def boosted_trees(problem: Problem, seed: int) -> HistGradientBoostingClassifier:
    """Return boosted trees that a benchmark can afford."""
    per_round = 1 if problem.n_classes == 2 else problem.n_classes
    return HistGradientBoostingClassifier(
        max_iter=min(100, max(5, MAX_TREES // per_round)),
        max_leaf_nodes=15,
        early_stopping=False,
        random_state=seed,
    )


def _models(problem: Problem, seed: int) -> dict:
    return {
        "CleanLearning LR": make_pipeline(
            StandardScaler(), LogisticRegression(max_iter=100)
        ),
        "CleanLearning RF": RandomForestClassifier(random_state=seed),
        "CleanLearning HGB": make_pipeline(
            FunctionTransformer(narrowed(problem, seed)), boosted_trees(problem, seed)
        ),
    }


def _mean_margin(logits: Tensor, labels: np.ndarray) -> np.ndarray:
    """Return the logit margin averaged over epochs, (n_samples,)."""
    rows = torch.arange(len(labels))
    own = logits[:, rows, labels]
    others = logits.clone()
    others[:, rows, labels] = -torch.inf
    return (own - others.amax(2)).mean(0).numpy()


def _aum_flags(cell: Cell, problem: Problem, area: np.ndarray) -> np.ndarray:
    """Return the published cut: below the 99th percentile of a made-up class.

    Two further trainings, each with another n / (n_classes + 1) rows moved to a class
    of their own; a row is judged by the training in which it kept its label.
    """
    given, n_classes = problem.given, problem.n_classes
    n_moved = len(given) // (n_classes + 1)
    order = np.random.RandomState(cell.seed).permutation(len(given))
    flagged = np.zeros(len(given), dtype=bool)
    halves = (order[:n_moved], order[n_moved : 2 * n_moved])
    for moved, first in zip(halves, (True, False), strict=True):
        labels = given.copy()
        labels[moved] = n_classes
        run = train_plainly(cell, problem, labels, n_outputs=n_classes + 1)
        margin = _mean_margin(run.logits, labels)
        threshold = np.percentile(margin[moved], AUM_PERCENTILE)
        judged = halves[0] if not first else np.setdiff1d(order, moved)
        flagged[judged] = margin[judged] < threshold
    return flagged
