"""
Why short windows: what a network says while it memorizes
=========================================================

A network learns first what labels have in common, and repeats single wrong labels
later. Once it repeats them, its loss on them is small, their gradients vanish, and
training steps no longer tell which labels are wrong. This page measures that, and shows
why the cleaner adds up the influence of *single epochs*, each asked at its own end,
instead of asking once at the end of training.

300 digits, 30 % of their labels replaced by any other. The network is large enough to
learn all of them by heart. The query is the bounded error on 300 other digits, whose
labels are just as noisy.
"""

# %%
# A network that memorizes
# ------------------------
# :func:`dit_clean.track` records every step. From the recorded run we read the share of
# given labels that the network repeats and the loss on the rows it never saw.

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from skorch import NeuralNetClassifier

from dit_clean import track
from dit_clean.queries import LabelError

ORANGE, BLUE, GREEN, GREY = "#d95f02", "#1b6ca8", "#1b9e77", "0.45"
N_EPOCHS = 60

X, y_true = load_digits(return_X_y=True)
X = (X / 16).astype("float32")
rng = np.random.RandomState(0)
order = rng.permutation(len(y_true))
train, held_out = order[:300], order[300:600]
y = y_true.copy()
flipped = rng.rand(len(y)) < 0.3
y[flipped] = (y[flipped] + rng.randint(1, 10, flipped.sum())) % 10
wrong = y[train] != y_true[train]


def make_module(n_hidden):
    return torch.nn.Sequential(
        torch.nn.Linear(64, n_hidden), torch.nn.ReLU(), torch.nn.Linear(n_hidden, 10)
    )


net = NeuralNetClassifier(
    make_module,
    module__n_hidden=128,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    batch_size=30,
    max_epochs=N_EPOCHS,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
run = track(net, X[train], y[train], random_state=0)


def probabilities(rows, epoch):
    """Class probabilities of some rows at the end of an epoch."""
    params = run.trajectory.params(run.trajectory.epoch_starts[epoch + 1])
    with torch.no_grad():
        logs = run.model.log_probabilities(params, torch.as_tensor(X[rows]))
    return logs.exp().numpy()


def given_label(values, rows):
    return values[np.arange(len(rows)), y[rows]]


repeated, unseen_loss, in_sample = [], [], []
for epoch in range(N_EPOCHS):
    seen = probabilities(train, epoch)
    unseen = given_label(probabilities(held_out, epoch), held_out)
    repeated.append((seen.argmax(1) == y[train]).mean())
    unseen_loss.append(-np.log(unseen).mean())
    in_sample.append(roc_auc_score(wrong, -given_label(seen, train)))
best = int(np.argmin(unseen_loss))
print(f"Loss on unseen rows is lowest in epoch {best + 1}.")
print(f"Labels repeated then: {repeated[best]:.0%}; at the end: {repeated[-1]:.0%}.")

# %%
# Four ways to ask the same run
# -----------------------------
# - *one-epoch windows, added up*: the influence of each epoch on the query at the end
#   of that epoch. One reverse pass over the run.
# - *one long window*: the influence of all epochs so far on the query at the end of the
#   last one, with the curvature carried through all steps in between.
# - *a late window, sample gone from the start*: the last five epochs, as the paper
#   defines its windows: by how much the effect of leaving the sample out changed.
# - *no influence at all*: the probability of the given label, by the network that was
#   trained on it.

query = LabelError(X[held_out], y[held_out])
timeline = run.timeline(query)
added_up = [
    roc_auc_score(wrong, -timeline[:, : epoch + 1].sum(axis=1))
    for epoch in range(N_EPOCHS)
]
asked = [1, 3, 6, 10, 15, 20, 30, 45, 60]
long_window, late_window = [], []
for stop in asked:
    values = run.influence(query, window=(0, stop), history="window")
    long_window.append(roc_auc_score(wrong, -values))
    values = run.influence(query, window=(max(0, stop - 5), stop), history="full")
    late_window.append(roc_auc_score(wrong, -values))

epochs = np.arange(1, N_EPOCHS + 1)
figure, (top, bottom) = plt.subplots(
    2, 1, figsize=(7.5, 7), sharex=True, height_ratios=[1, 2], layout="constrained"
)
top.plot(epochs, repeated, color=ORANGE, label="given labels repeated (share)")
top.plot(
    epochs,
    np.array(unseen_loss) / max(unseen_loss),
    color=GREY,
    label="loss on unseen rows (scaled)",
)
top.set(ylim=(0, 1.05), title="The network learns its labels by heart")
bottom.plot(epochs, added_up, color=BLUE, lw=2.5, label="one-epoch windows, added up")
bottom.plot(epochs, in_sample, color=GREEN, ls="--", label="probability, no influence")
bottom.plot(asked, long_window, "o-", color=ORANGE, label="one long window")
bottom.plot(
    asked, late_window, "s:", color=GREY, label="last 5 epochs, gone from start"
)
bottom.axhline(0.5, color="0.8", lw=1, zorder=0)
bottom.set(
    title="How well each finds the wrong labels",
    xlabel="epochs of training",
    ylabel="area under ROC curve",
    ylim=(0.3, 1.02),
)
for axis in (top, bottom):
    axis.axvspan(0, 2 * best + 2, color=BLUE, alpha=0.1, label="convergence window")
    axis.spines[["top", "right"]].set_visible(False)
top.legend(fontsize=8, loc="lower right")
bottom.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)
plt.show()

# %%
# What to see
# -----------
# For two or three epochs all ways of asking for influence agree. Then the long window
# and the late window lose the wrong labels: they carry each sample's effect through
# the curvature of many steps, during which the network fits every label on its own.
# The probability of the given label fades as the network memorizes. The sum of
# one-epoch windows keeps what the early epochs have shown, because each epoch was
# asked while it was going on.
#
# Early in training the probability alone is the better of the two. The cleaner combines
# both: influence and probability err on different rows.
#
# The shaded window is what ``window="convergence"`` stands for: up to twice the epoch
# with the lowest loss on unseen rows. That loss is measured on the given labels, so no
# clean data are needed to find it.
#
# When it does not work
# ---------------------
# - Training that is too short: with two or three epochs there is little to add up.
# - A learning rate so small that nothing is memorized *and* little is learned: all
#   windows are equally poor, and the held-out curve is still falling at the end. Then
#   train longer before you look at windows.
# - A question about the final model ("which rows drive this prediction?") is a question
#   about a long window: use ``history="full"`` and the whole run there.
