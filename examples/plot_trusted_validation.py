"""
With validation rows that you trust: the paper's setting
========================================================

Those who have a network and a clean validation set need no cross-fitting.
:func:`~dit_clean.track` records the training of a skorch net, and the run answers: by
how much would the validation loss change without this row?
"""

# %%
# Breast cancer, 300 rows to train on, 20 % of the labels flipped; 100 validation rows
# with right labels.

import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.stats import pearsonr
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier

from dit_clean import InfluenceCleaner, track
from dit_clean.queries import MeanLoss

ORANGE, BLUE = "#d95f02", "#1b6ca8"
X, y_true = load_breast_cancer(return_X_y=True)
X = scale(X).astype("float32")
rng = np.random.RandomState(0)
order = rng.permutation(len(X))
train, valid = order[:300], order[300:400]
wrong = rng.rand(300) < 0.2
y = np.where(wrong, 1 - y_true[train], y_true[train])


def make_module(n_hidden):
    return torch.nn.Sequential(
        torch.nn.Linear(30, n_hidden), torch.nn.ReLU(), torch.nn.Linear(n_hidden, 2)
    )


net = NeuralNetClassifier(
    make_module,
    module__n_hidden=16,
    criterion=torch.nn.CrossEntropyLoss,
    lr=0.05,
    batch_size=50,
    max_epochs=15,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
run = track(net, X[train], y, random_state=0)
query = MeanLoss(X[valid], y_true[valid])

# %%
# Influence over windows of training
# ----------------------------------
# Negative = harmful: without the row the validation loss would be lower.
# ``history="full"`` takes the row as gone from the first step on, as in the paper;
# ``"window"`` as gone during the window only.

windows = ["full", "early", "middle", "late"]
for history in ("full", "window"):
    areas = [
        roc_auc_score(wrong, -run.influence(query, window=window, history=history))
        for window in windows
    ]
    print(f"{history:8}", dict(zip(windows, np.round(areas, 3).tolist(), strict=True)))
print(f"epochs added up {roc_auc_score(wrong, -run.timeline(query).sum(axis=1)):.3f}")

# %%
# The late window tells little when the row is gone from the start: what is left of an
# early change has then been mixed through all later steps.

# %%
# Is it true? Leave rows out and see
# ----------------------------------
# ``run.leave_one_out`` trains again without a row, on the same batches in the same
# order. That costs a training run for each row, here 40 of them.

rows = np.concatenate([np.flatnonzero(wrong)[:20], np.flatnonzero(~wrong)[:20]])
estimated = run.influence(query)[rows]
measured = run.leave_one_out(query, rows)
agreement = pearsonr(estimated, measured).statistic
print(f"correlation with retraining: {agreement:.3f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
colors = np.where(wrong[rows], ORANGE, BLUE)
left.scatter(measured, estimated, c=colors, s=22)
left.axline((0, 0), slope=1, color="0.6", lw=1, zorder=0)
left.set(
    title=f"influence against retraining, correlation {agreement:.3f}",
    xlabel="change of validation loss, measured",
    ylabel="estimated",
)
total = run.influence(query)
right.hist(
    [total[~wrong], total[wrong]],
    bins=30,
    color=[BLUE, ORANGE],
    label=["right label", "wrong label"],
)
right.set(title="all 300 rows", xlabel="influence on the validation loss")
right.legend()
for axis in (left, right):
    axis.ticklabel_format(axis="x", scilimits=(-2, 2))
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# The cleaner takes the same rows
# -------------------------------
# ``fit(X, y, X_val=..., y_val=...)`` adds the validation loss to the evidence.

plain = InfluenceCleaner(random_state=0).fit(X[train], y)
helped = InfluenceCleaner(random_state=0).fit(
    X[train], y, X_val=X[valid], y_val=y_true[valid]
)
for name, cleaner in (("without", plain), ("with", helped)):
    area = roc_auc_score(wrong, cleaner.suspicion_)
    found = (~cleaner.keep_mask_ & wrong).sum()
    print(f"{name:8} validation rows: area {area:.3f}, {found} of {wrong.sum()} found")

# %%
# Here hardly anything was left to gain. Clean rows pay off where classes are confused
# systematically; see the user guide.
