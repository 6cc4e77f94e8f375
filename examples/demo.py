"""Clean two real data sets whose wrong labels are known, and show what it brought.

Run by ``make demo``. Digits: 20 % of the training labels are wrong, half of them any
other digit, half of them the next digit. Breast cancer: 20 % of the malignant training
samples are labeled benign. Test data stay clean.
"""

from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, precision_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dit_clean import InfluenceCleaner

matplotlib.use("Agg")
from matplotlib import pyplot as plt

FIGURE = Path("outputs") / "demo.png"
ORANGE, BLUE = "#d95f02", "#1b6ca8"


@dataclass
class Problem:
    """Training data with known wrong labels, and clean test data."""

    name: str
    X: np.ndarray
    given: np.ndarray
    true: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray

    @property
    def wrong(self):
        return self.given != self.true


def make_digits(rng):
    X, X_test, y, y_test = split(*load_digits(return_X_y=True))
    given = y.copy()
    rows = rng.choice(len(y), len(y) // 5, replace=False)
    any_other, next_one = np.array_split(rows, 2)
    given[any_other] = (y[any_other] + rng.integers(1, 10, len(any_other))) % 10
    given[next_one] = (y[next_one] + 1) % 10
    return Problem("digits", X, given, y, X_test, y_test)


def make_cancer(rng):
    X, X_test, y, y_test = split(*load_breast_cancer(return_X_y=True))
    given = y.copy()
    malignant = np.flatnonzero(y == 0)
    given[rng.choice(malignant, len(malignant) // 5, replace=False)] = 1
    return Problem("breast cancer", X, given, y, X_test, y_test)


def split(X, y):
    return train_test_split(X, y, test_size=0.3, stratify=y, random_state=0)


def accuracy(problem, X, y):
    """Test accuracy of a plain scikit-learn model trained on X and y."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return model.fit(X, y).score(problem.X_test, problem.y_test)


def clean(problem):
    """Fit a cleaner, print what it found, and return it."""
    cleaner = InfluenceCleaner(random_state=0, verbose=1).fit(problem.X, problem.given)
    wrong, flagged = problem.wrong, ~cleaner.keep_mask_
    X_clean, y_clean = cleaner.filter(problem.X, problem.given)
    right = ~wrong
    rows = {
        "wrong labels": f"{wrong.sum()} of {len(wrong)}",
        "found / missed": f"{(wrong & flagged).sum()} / {(wrong & ~flagged).sum()}",
        "right ones flagged": f"{(right & flagged).sum()}",
        "precision": f"{precision_score(wrong, flagged):.3f}",
        "recall": f"{recall_score(wrong, flagged):.3f}",
        "average precision": (
            f"{average_precision_score(wrong, cleaner.suspicion_):.3f}"
        ),
        "error rate, estimated": f"{cleaner.contamination_:.3f}",
        "error rate, true": f"{wrong.mean():.3f}",
        "test accuracy, all rows": f"{accuracy(problem, problem.X, problem.given):.3f}",
        "test accuracy, cleaned": f"{accuracy(problem, X_clean, y_clean):.3f}",
        "test accuracy, oracle": (
            f"{accuracy(problem, problem.X[right], problem.true[right]):.3f}"
        ),
        "seconds training": f"{cleaner.fit_seconds_['training']:.1f}",
        "seconds influence": f"{cleaner.fit_seconds_['influence']:.1f}",
    }
    print(f"\n{problem.name}")
    for name, value in rows.items():
        print(f"  {name:24} {value}")
    return cleaner


def draw(problems, cleaners):
    """Save suspicion of right and wrong labels, and the most suspicious digits."""
    figure = plt.figure(figsize=(11, 7), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    for axis, problem, cleaner in zip(
        top.subplots(1, 2), problems, cleaners, strict=True
    ):
        parts = [cleaner.suspicion_[~problem.wrong], cleaner.suspicion_[problem.wrong]]
        axis.hist(
            parts,
            bins=np.linspace(0, 1, 21),
            label=["right label", "wrong label"],
            color=[BLUE, ORANGE],
        )
        axis.axvline(cleaner.threshold_, color="0.3", linestyle="--", label="threshold")
        axis.set(title=problem.name, xlabel="suspicion", ylabel="samples", yscale="log")
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.legend(loc="upper center", framealpha=1)
    bottom.suptitle(
        "digits: the most suspicious samples, given → suggested label (blue: the true)"
    )
    worst = np.argsort(-cleaners[0].suspicion_)[:16]
    for axis, row in zip(bottom.subplots(2, 8).flat, worst, strict=True):
        axis.imshow(problems[0].X[row].reshape(8, 8), cmap="gray_r")
        given, suggested = problems[0].given[row], cleaners[0].suggested_label_[row]
        right = suggested == problems[0].true[row]
        axis.set_title(f"{given} → {suggested}", color=BLUE if right else ORANGE)
        axis.set_axis_off()
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=120)
    print(f"\nfigure saved as {FIGURE}")


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    problems = [make_digits(rng), make_cancer(rng)]
    draw(problems, [clean(problem) for problem in problems])
