"""How good a verdict is: ranking, flags, suggestions, and models trained after it."""

import numpy as np
from _cells import Problem
from _peers import Verdict, boosted_trees, narrowed
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score


def judge(verdict: Verdict, problem: Problem) -> dict[str, float]:
    """Return the figures of a verdict by name; ranking only where labels are wrong."""
    wrong, suspicion = problem.wrong, verdict.suspicion
    figures = {"seconds": verdict.seconds}
    if verdict.rate is not None:
        figures["rate"] = float(verdict.rate)
    if verdict.flagged is not None:
        figures["flagged"] = float(verdict.flagged.mean())
    if not wrong.any():
        return figures
    at_rate = np.zeros(len(wrong), dtype=bool)
    at_rate[np.argsort(-suspicion, kind="stable")[: wrong.sum()]] = True
    figures |= {
        "ap": float(average_precision_score(wrong, suspicion)),
        "auroc": float(roc_auc_score(wrong, suspicion)),
        "precision": float(wrong[at_rate].mean()),
        "f1_at_rate": f1(wrong, at_rate),
        "best_f1": best_f1(wrong, suspicion),
    }
    if verdict.flagged is not None:
        figures["f1"] = f1(wrong, verdict.flagged)
        found = verdict.flagged & wrong
        if verdict.suggestion is not None and found.any():
            right = verdict.suggestion == problem.train.y
            figures["suggested"] = float(right[found].mean())
    return figures


def f1(wrong: np.ndarray, flagged: np.ndarray) -> float:
    """Return the F1 of flags."""
    return float(2 * (wrong & flagged).sum() / max(wrong.sum() + flagged.sum(), 1))


def best_f1(wrong: np.ndarray, suspicion: np.ndarray) -> float:
    """Return the highest F1 over all cuts."""
    hits = np.cumsum(wrong[np.argsort(-suspicion, kind="stable")])
    return float((2 * hits / (np.arange(1, len(wrong) + 1) + wrong.sum())).max())


def keep_mask(flagged: np.ndarray, problem: Problem) -> np.ndarray:
    """Return rows to train on: all but the flagged ones, unless one class is left."""
    kept = ~flagged
    return kept if len(np.unique(problem.given[kept])) > 1 else np.ones_like(kept)


class Downstream:
    """Clean-test accuracy of plain models trained after a verdict."""

    def __init__(self, problem: Problem, seed: int):
        self.problem = problem
        narrow = narrowed(problem, seed)
        self.X = {
            "LR": (problem.train.X, problem.test.X),
            "HGB": (narrow(problem.train.X), narrow(problem.test.X)),
        }
        self.models = {
            "LR": LogisticRegression(max_iter=100),
            "HGB": boosted_trees(problem, seed),
        }

    def accuracy(
        self,
        labels: np.ndarray,
        kept: np.ndarray | None = None,
        weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Return the accuracy of logistic regression and boosted trees."""
        kept = np.ones(len(labels), dtype=bool) if kept is None else kept
        weight = None if weight is None else weight[kept]
        return {
            name: self._accuracy(name, labels[kept], kept, weight) for name in self.X
        }

    def _accuracy(
        self,
        name: str,
        labels: np.ndarray,
        kept: np.ndarray,
        weight: np.ndarray | None,
    ) -> float:
        if len(np.unique(labels)) == 1:
            return float((self.problem.test.y == labels[0]).mean())
        X, X_test = self.X[name]
        model = clone(self.models[name]).fit(X[kept], labels, sample_weight=weight)
        return float(model.score(X_test, self.problem.test.y))
