"""
Any window of training, and what a timeline costs
=================================================

A recorded run answers questions about any stretch of training. This page asks about
windows of several kinds, draws timelines of half epochs, and measures what timelines
cost.
"""

# %%
# A recorded run
# --------------
# 400 digits, every fifth label replaced by any other; the query is the mean loss on 300
# digits with right labels.

import time
from itertools import pairwise

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier

from dit_clean import Steps, track
from dit_clean.queries import MeanLoss

ORANGE, BLUE, GREEN, GREY = "#d95f02", "#1b6ca8", "#1b9e77", "0.45"
N_EPOCHS = 20

X, y_true = load_digits(return_X_y=True)
X = (X / 16).astype("float32")
rng = np.random.RandomState(0)
order = rng.permutation(len(X))
train, valid = order[:400], order[400:700]
wrong = rng.rand(400) < 0.2
y = y_true[train].copy()
y[wrong] = (y[wrong] + rng.randint(1, 10, wrong.sum())) % 10


def make_module(n_hidden):
    return torch.nn.Sequential(
        torch.nn.Linear(64, n_hidden), torch.nn.ReLU(), torch.nn.Linear(n_hidden, 10)
    )


net = NeuralNetClassifier(
    make_module,
    module__n_hidden=32,
    criterion=torch.nn.CrossEntropyLoss,
    lr=0.15,
    batch_size=50,
    max_epochs=N_EPOCHS,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
run = track(net, X[train], y, record="all", random_state=0)
query = MeanLoss(X[valid], y_true[valid])
print(f"{run.n_epochs} epochs, {run.trajectory.n_steps} steps")

# %%
# Windows
# -------
# By name, in epochs, as fractions of training, the last k epochs, in steps. Negative =
# harmful: without the sample the loss would be lower. With ``history="full"``, the
# default of a run, the sample is gone from step 0 on and the window is where the effect
# of that is read; with ``"window"`` it is gone during the window only.

windows = {
    '"full"': "full",
    '"early"': "early",
    "(2, 6), epochs": (2, 6),
    "(0.25, 0.5), fractions": (0.25, 0.5),
    "3, the last epochs": 3,
    "Steps(0, 50)": Steps(0, 50),
}
print(f"Wrong labels among the {wrong.sum()} most harmful samples:")
for name, window in windows.items():
    for history in ("full", "window"):
        influence = run.influence(query, window, history)
        share = wrong[np.argsort(influence)[: wrong.sum()]].mean()
        print(f"{name:24} {history:8} {share:.0%}")

# %%
# A late window tells little where the sample is gone from the start: what is left of an
# early change has been mixed through all later steps.

# %%
# A timeline
# ----------
# ``timeline`` asks for a whole grid: one column for each window. By default the windows
# are the epochs; here there are 40, each half an epoch long. A sample is visited once
# per epoch, so that in every other of these windows it is not trained on.
#
# With ``query_step`` the query stays at one point of training, here the end, and the
# columns add up to the influence of the whole run.

end = run.trajectory.n_steps
moving = run.timeline(query, 40)
fixed = run.timeline(query, 40, query_step=end)
whole = run.influence(query, "full", "window")
print("columns add up:", np.allclose(fixed.sum(axis=1), whole, atol=1e-6))

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
middles = (np.arange(40) + 0.5) * N_EPOCHS / 40
for axis, timeline, title in (
    (axes[0], moving, "query at each window's end"),
    (axes[1], fixed, "query at the end of training"),
):
    for rows, color, label in (
        (~wrong, BLUE, "right labels"),
        (wrong, ORANGE, "wrong labels"),
    ):
        low, middle, high = np.percentile(timeline[rows], [10, 50, 90], axis=0)
        mean = timeline[rows].mean(axis=0)
        axis.fill_between(middles, low, high, color=color, alpha=0.2, lw=0)
        style = {"color": color, "ls": "-" if color == BLUE else "--", "lw": 2}
        axis.plot(middles, mean, label=label, **style)
    axis.axhline(0, color="0.6", lw=1, zorder=0)
    axis.set(title=title, xlabel="epoch", xticks=range(0, N_EPOCHS + 1, 5))
    axis.ticklabel_format(axis="y", scilimits=(-2, 2))
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("influence of half an epoch")
axes[0].legend(frameon=False, title="mean, and 10 to 90 % of samples")
plt.show()

# %%
# What it costs
# -------------
# Seconds of CPU time, in units of one ``run.influence(query)`` over the whole run.
# Asking window by window goes over the run again and again, since the query of
# ``history="full"`` needs all steps before the window. A timeline goes over it once:
#
# - query step fixed: one adjoint, whatever the number of windows;
# - query at each window's end, windows that do not overlap: one adjoint, started anew
#   at each window's end;
# - ``history="full"``: one adjoint for each window bound, all carried along together.


def seconds(function, *args, n_repeats=5, **options):
    """Median CPU seconds of a call."""
    found = []
    for _ in range(n_repeats):
        start = time.process_time()
        function(*args, **options)
        found.append(time.process_time() - start)
    return np.median(found)


def one_by_one(n_windows):
    bounds = np.linspace(0, end, n_windows + 1).astype(int)
    for start, stop in pairwise(bounds.tolist()):
        run.influence(query, Steps(start, stop))


counts = [1, 2, 4, 8, 16]
unit = seconds(run.influence, query)
costs = {
    'history="full", window by window': [
        seconds(one_by_one, n, n_repeats=1) for n in counts
    ],
    'history="full", one timeline': [
        seconds(run.timeline, query, n, "full") for n in counts
    ],
    "query at each window's end": [seconds(run.timeline, query, n) for n in counts],
    "query step fixed": [
        seconds(run.timeline, query, n, query_step=end) for n in counts
    ],
}
looks = [(GREY, ":", "v"), (ORANGE, "--", "s"), (BLUE, "-", "o"), (GREEN, "-.", "^")]
figure, axis = plt.subplots(figsize=(6.8, 4), layout="constrained")
for (name, values), (color, line, marker) in zip(costs.items(), looks, strict=True):
    axis.plot(counts, np.divide(values, unit), marker, ls=line, color=color, label=name)
    print(f"{name:34}", "  ".join(f"{value / unit:5.1f}" for value in values))
axis.set(
    xscale="log",
    yscale="log",
    xlabel="windows",
    ylabel="times the cost of one pass",
)
axis.set_xticks(counts, counts)
axis.set_yticks(counts, counts)
axis.minorticks_off()
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
plt.show()
