"""
Why a bounded query, cross-fitting, and one reading for every label
===================================================================

Influence answers: *by how much did this sample change that quantity?* The quantity, the
query, decides what is found. With a clean validation set its cross-entropy is a good
choice. Without one, three things are needed, and this page measures each of them on
digits with known wrong labels.
"""

# %%
# The problems
# ------------
# Ten classes with 30 % of the labels replaced by any other; and a rare class, the digit
# 8 against all others, once with 20 % of all labels flipped and once with 40 % of the
# eights labeled as "other".

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from skorch import NeuralNetClassifier

from dit_clean import InfluenceCleaner, track
from dit_clean.influence import Window, label_influence
from dit_clean.queries import ClassProbability, LabelError, MeanLoss

ORANGE, BLUE, GREEN, GREY = "#d95f02", "#1b6ca8", "#1b9e77", "0.6"
X, digit = load_digits(return_X_y=True)
X = (X / 16).astype("float32")
rng = np.random.RandomState(1)
order = rng.permutation(len(X))
train, held_out, clean = order[:700], order[700:1200], order[1200:]
is_eight = (digit == 8).astype(int)


def flip(labels, rows):
    """Labels with the given rows replaced by any other label."""
    n_classes = labels.max() + 1
    noisy = labels.copy()
    noisy[rows] += rng.randint(1, n_classes, rows.sum())
    return noisy % n_classes


draw = rng.rand(len(X))
problems = {
    "10 digits\n30 % any other": (digit, flip(digit, draw < 0.3)),
    "eight or not\n20 % flipped": (is_eight, flip(is_eight, draw < 0.2)),
    "eight or not\n40 % of eights": (
        is_eight,
        flip(is_eight, (draw < 0.4) & (is_eight == 1)),
    ),
}


def make_module(n_hidden, n_classes):
    return torch.nn.Sequential(
        torch.nn.Linear(64, n_hidden),
        torch.nn.ReLU(),
        torch.nn.Linear(n_hidden, n_classes),
    )


def make_net(n_classes, n_hidden=64, **options):
    settings = {"lr": 0.1, "max_epochs": 20, "batch_size": 64} | options
    return NeuralNetClassifier(
        make_module,
        module__n_hidden=n_hidden,
        module__n_classes=n_classes,
        criterion=torch.nn.CrossEntropyLoss,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **settings,
    )


# %%
# 1. A bounded query
# ------------------
# Cross-entropy has no upper limit. On a held-out set with wrong labels, these few rows
# make up most of the loss and most of its gradient, so that training rows are praised
# for *repeating* the errors. The probability of the given label lies in [0, 1]: a wrong
# label among the held-out rows counts as one row and no more.
#
# The same run is asked three times: cross-entropy on noisy held-out rows, bounded error
# on the same rows, and, for reference, cross-entropy on rows whose labels are known to
# be right. Below 0.5, wrong labels rank as *more* helpful than right ones.

runs, by_query = {}, {}
for name, (true, given) in problems.items():
    run = track(make_net(true.max() + 1), X[train], given[train], random_state=0)
    runs[name] = run
    wrong = given[train] != true[train]
    queries = {
        "cross-entropy, noisy rows": MeanLoss(X[held_out], given[held_out]),
        "bounded error, same rows": LabelError(X[held_out], given[held_out]),
        "cross-entropy, clean rows": MeanLoss(X[clean], true[clean]),
    }
    by_query[name] = {
        label: roc_auc_score(wrong, -run.timeline(query).sum(axis=1))
        for label, query in queries.items()
    }
    print(name.replace("\n", ", "))
    for label, area in by_query[name].items():
        print(f"    {label:26} {area:.3f}")

# %%
# 2. Cross-fitting
# ----------------
# A network that was trained on a wrong label ends up repeating it, and then finds
# nothing wrong with it. A network that never saw the row has no such reason. The
# cleaner therefore trains on all folds but one and asks on the fold left out, so that
# each row is judged by a network that did not learn from it. The price: that network
# has seen fewer rows.

true, given = problems["10 digits\n30 % any other"]
memorizing = make_net(10, 128, optimizer=torch.optim.Adam, lr=0.01, max_epochs=40)
halves = np.array_split(train[:600], 2)
seen_area, unseen_area = [], []
pair = [track(memorizing, X[half], given[half], random_state=0) for half in halves]


def agreement(run, rows, epoch):
    """Probability of the given label at the end of an epoch."""
    params = run.trajectory.params(run.trajectory.epoch_starts[epoch + 1])
    with torch.no_grad():
        logs = run.model.log_probabilities(params, torch.as_tensor(X[rows]))
    return logs.exp().numpy()[np.arange(len(rows)), given[rows]]


for epoch in range(40):
    for areas, parts in ((seen_area, halves), (unseen_area, halves[::-1])):
        rows = np.concatenate(parts)
        agree = [agreement(r, p, epoch) for r, p in zip(pair, parts, strict=True)]
        areas.append(roc_auc_score(given[rows] != true[rows], -np.concatenate(agree)))
print(f"last epoch, networks that trained on the row: {seen_area[-1]:.3f}")
print(f"last epoch, networks that never saw it:       {unseen_area[-1]:.3f}")

# %%
# 3. One reading for every label
# ------------------------------
# With one-sided noise in a rare class, the mean probability of the given labels is
# mostly about the frequent class: rows labeled "eight" lower it, right or wrong.
# Reading the influence that a row *would have had under each label*, and comparing,
# takes away what all rows of a class share, and mends much of that. One reverse pass
# gives all readings. Averaging over classes as well as over rows, as
# :class:`~dit_clean.queries.LabelError` does, removes most of the pull before it
# arises. The cleaner does both, and fits an offset for each class.

name = "eight or not\n40 % of eights"
true, given = problems[name]
run, wrong = runs[name], given[train] != true[train]
rows = np.arange(len(train))
readings = {}
for label, query, sign in (
    ("mean probability", ClassProbability(X[held_out], given[held_out]), -1),
    ("balanced error", LabelError(X[held_out], given[held_out]), 1),
):
    influence = sign * sum(
        label_influence(
            run.trajectory, query, Window(epoch, epoch + 1).in_steps(run.trajectory)
        )[0]
        for epoch in range(run.n_epochs)
    )
    own = influence[rows, given[train]]
    other = influence[rows, 1 - given[train]]
    readings[f"{label},\nas labeled"] = roc_auc_score(wrong, -own)
    readings[f"{label},\nfor each label"] = roc_auc_score(wrong, other - own)
cleaner = InfluenceCleaner(scoring="influence", max_epochs=20, random_state=0)
cleaner.fit(X[train], given[train])
readings["the cleaner,\ninfluence alone"] = roc_auc_score(wrong, cleaner.suspicion_)
for label, area in readings.items():
    print(f"{label.replace(chr(10), ' '):34} {area:.3f}")

# %%
# The picture
# -----------

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
colors = {
    "cross-entropy, noisy rows": ORANGE,
    "bounded error, same rows": BLUE,
    "cross-entropy, clean rows": GREY,
}
for shift, (label, color) in enumerate(colors.items()):
    heights = [areas[label] for areas in by_query.values()]
    axes[0].bar(
        np.arange(3) + 0.27 * (shift - 1), heights, 0.25, color=color, label=label
    )
axes[0].set_xticks(range(3), list(by_query), fontsize=8)
axes[0].set(title="1. Bounded query", ylabel="area under ROC curve", ylim=(0, 1.3))
axes[0].legend(fontsize=8, loc="upper left")
epochs = np.arange(1, 41)
axes[1].plot(epochs, unseen_area, color=BLUE, label="networks that never saw the row")
axes[1].plot(epochs, seen_area, color=ORANGE, label="networks that trained on it")
axes[1].set(title="2. Cross-fitting", xlabel="epochs of training", ylim=(0.5, 1.02))
axes[1].legend(fontsize=8, loc="lower left")
labels = list(readings)[::-1]
axes[2].barh(
    labels,
    [readings[label] for label in labels],
    color=[GREEN, BLUE, BLUE, ORANGE, ORANGE],
)
axes[2].tick_params(axis="y", labelsize=8)
axes[2].set(title="3. Reading for each label, one-sided noise", xlim=(0, 1))
for draw_line in (axes[0].axhline, axes[2].axvline):
    draw_line(0.5, color="0.3", lw=1, ls=":")
for axis in axes:
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# When it does not work
# ---------------------
# - **Reading for each label** compares labels of *one* row, and so loses what the class
#   as a whole could tell. With the balanced query on one-sided noise the reading as
#   labeled is as good or better; the fitted model of how labels go wrong has to put the
#   classes back in their places. It needs enough held-out rows per class: influence is
#   trusted fully from 25 held-out rows per class on and not at all below 5.
# - **Cross-fitting** costs training rows. Before the network memorizes, the networks
#   that trained on a row judge it about as well, which is why the cleaner hears both.
# - **A bounded query** saturates: rows that the network gets hopelessly wrong have no
#   gradient. At the very start of training, or for a network that learns nothing,
#   there is nothing to read. With clean validation rows, cross-entropy needs no bound,
#   and on one-sided noise it is the better query: see the example on validation rows
#   that you trust.
# - Noise that depends on the inputs alone (all blurred eights are called 3) looks like
#   the truth to any network. No query can find it.
