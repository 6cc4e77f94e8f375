"""
Wrong numbers: regression targets
=================================

The same estimator takes float targets. Diabetes progression of 442 patients; 10 % of
the targets are replaced by those of other patients, plausible values in the wrong
rows.
"""

# %%
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

from dit_clean import CleanedRegressor, InfluenceCleaner

X, target = load_diabetes(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(X, target, test_size=0.25, random_state=0)


def corrupt(kind, rng):
    wrong = rng.rand(len(y_true)) < 0.1
    y = y_true.copy()
    if kind == "swapped":
        y[wrong] = rng.permutation(y_true)[wrong]
    else:
        y[wrong] += rng.choice([-1, 1], wrong.sum()) * 5 * y_true.std()
    return y, wrong


# %%
# Suspicion is the probability that the residual is too large for a right target, from a
# mixture fitted to the residuals of all networks. A swapped target that happens to be
# close to the true one cannot be seen, and does no harm either. Gross errors can.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for axis, kind in zip(axes, ("swapped", "gross"), strict=True):
    y, wrong = corrupt(kind, np.random.RandomState(0))
    model = CleanedRegressor(Ridge(), InfluenceCleaner(random_state=0)).fit(X, y)
    cleaner = model.cleaner_
    flagged = ~cleaner.keep_mask_
    scores = {
        "given targets": Ridge().fit(X, y).score(X_test, y_test),
        "cleaned": model.score(X_test, y_test),
        "true targets": Ridge().fit(X, y_true).score(X_test, y_test),
    }
    precision = average_precision_score(wrong, cleaner.suspicion_)
    print(
        f"{kind}: {wrong.sum()} wrong, {flagged.sum()} flagged, "
        f"{(flagged & wrong).sum()} of them wrong, average precision {precision:.2f}"
    )
    print("    R2 on test rows:", {k: round(v, 3) for k, v in scores.items()})
    axis.scatter(
        y[~wrong],
        cleaner.suspicion_[~wrong],
        s=12,
        color="#1b6ca8",
        label="right target",
    )
    axis.scatter(
        y[wrong], cleaner.suspicion_[wrong], s=18, color="#d95f02", label="wrong target"
    )
    axis.axhline(cleaner.threshold_, color="0.3", ls="--", label="threshold")
    axis.set(title=f"{kind} targets", xlabel="given target", ylabel="suspicion")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].legend(fontsize=8)
plt.show()

# %%
# A third of the swapped targets is flagged, with one right target among them: the model
# explains a third of the variance, and most replaced targets are not far enough off to
# be told from right ones with a large residual. The order is still useful, for looking
# at the first rows by hand. Gross errors are found, all of them and no others.
