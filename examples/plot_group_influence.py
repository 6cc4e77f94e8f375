"""
Whose labels harm? Influence of annotators, sources and classes
===============================================================

Influence adds up: the sum over a group's samples estimates what leaving out the whole
group would change. By a column of annotators, sensors or dates this tells where bad
labels come from; and retraining without each group shows whether it is true.
"""

# %%
# Seven annotators
# ----------------
# Breast cancer, 450 rows. Six people have labeled them with different care; the
# seventh, "gil", is new, has labeled 15 rows and makes no errors. The people are made
# up: how many errors each makes is known, and used for judging only.

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier

from dit_clean import InfluenceCleaner, track
from dit_clean.influence import group_influence
from dit_clean.queries import MeanLoss

ORANGE, BLUE, GREY = "#d95f02", "#1b6ca8", "0.45"
ERRORS = {
    "ann": 0.02,
    "bob": 0.05,
    "cem": 0.10,
    "dia": 0.15,
    "eve": 0.25,
    "fay": 0.40,
    "gil": 0.0,
}
X, y_true = load_breast_cancer(return_X_y=True, as_frame=True)
y_true = np.array(y_true)
rng = np.random.RandomState(0)
order = rng.permutation(len(X))
train, valid = order[:450], order[450:]
who = rng.choice(list(ERRORS)[:6], 450)
who[:15] = "gil"
wrong = rng.rand(450) < [ERRORS[name] for name in who]
labels = np.array(["malignant", "benign"])
y = labels[np.where(wrong, 1 - y_true[train], y_true[train])]
made = pd.Series(wrong).groupby(who).mean().rename("errors made")

# %%
# The table
# ---------
# ``group_influence`` takes one name per sample, the name of a column of X, or "label",
# the default. Negative = harmful: without the group the error on held-out rows would be
# lower. "harmful" and "flagged" are shares of the group's samples. Names that are kept
# outside of X, as here, are not seen by the networks.

cleaner = InfluenceCleaner(random_state=0).fit(X.iloc[train], y)
table = cleaner.group_influence(who)
table.join(made).round(4)

# %%
# By given label: which class has gained wrong labels?

cleaner.group_influence("label").round(4)

# %%
# The sum grows with the size of the group; compare people by the share of their labels
# that harm or that are flagged.

table = table.join(made).sort_values("errors made")
print(table[["errors made", "flagged", "harmful"]].corr("spearman").round(2))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
names = [f"{name} ({n})" for name, n in table["n_samples"].items()]
colors = np.where(table["influence"] < 0, ORANGE, BLUE)
bars = left.barh(names, table["influence"], color=colors)
left.axvline(0, color="0.4", lw=1)
left.set(title="influence of each annotator's labels", xlabel="negative = harmful")
places = np.arange(len(table))
for shift, column, color, hatch in (
    (-0.27, "errors made", GREY, ""),
    (0, "flagged", ORANGE, ""),
    (0.27, "harmful", BLUE, "//"),
):
    look = {"color": color, "hatch": hatch, "edgecolor": "white", "label": column}
    right.barh(places + shift, table[column], 0.27, **look)
right.set_yticks(places, table.index)
right.set(title="shares of their labels", xlim=(0, 1))
right.legend(frameon=False, loc="lower right")
for axis in (left, right):
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Is it true? Leave whole groups out
# ----------------------------------
# With a tracked run and trusted validation rows, ``check_removal`` trains again without
# each group, on the same batches, and compares.

rows, valid_rows = np.split(scale(X).astype("float32")[order], [450])
classes = (y == "benign").astype(int)


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
run = track(net, rows, classes, random_state=0)
query = MeanLoss(valid_rows, y_true[valid])
found = group_influence(run.influence(query), who)
removal = run.check_removal(query, [np.flatnonzero(who == n) for n in found.names])
agreement = removal.datamodeling_score
print(f"rank correlation of predicted and measured changes: {agreement:.2f}")

order = np.argsort(removal.actual)[::-1]
figure, axis = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
places = np.arange(len(order))
for shift, values, color, hatch, label in (
    (0.2, removal.predicted, BLUE, "", "predicted: sum of influence"),
    (-0.2, removal.actual, GREY, "//", "measured: trained without the group"),
):
    look = {"color": color, "hatch": hatch, "edgecolor": "white", "label": label}
    axis.barh(places + shift, values[order], 0.38, **look)
axis.set_yticks(places, found.names[order])
axis.axvline(0, color="0.4", lw=1)
axis.set(
    title=f"without all labels of one person, rank correlation {agreement:.2f}",
    xlabel="change of the validation loss",
)
axis.legend(frameon=False, loc="lower left")
axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Whom to leave out is predicted well; how much it gains, less so: the sum is first
# order. It takes each sample's effect as what it is while all others are there. Where
# the samples of a group stand in for each other, leaving out all of them does more than
# the sum says.
