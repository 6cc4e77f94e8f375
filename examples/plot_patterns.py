"""
When samples matter: four patterns, and how far stages agree
============================================================

Some samples shape a network at the start, some at the end, some all the time, and some
first help and then harm. This page names the pattern of each sample, shows the clearest
examples, and measures how far one stage of training agrees with another on who helps.
"""

# %%
# A timeline
# ----------
# 400 digits, every fifth label replaced by any other; the query is the mean loss on 300
# digits with right labels. One column for each epoch, the query at the epoch's end.

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import cohen_kappa_score
from skorch import NeuralNetClassifier

from dit_clean import track
from dit_clean.audit import StagesDisplay, TimelineDisplay
from dit_clean.influence import (
    influence_patterns,
    pattern_correlation,
    pattern_counts,
    pattern_examples,
    stage_correlation,
    stage_slices,
)
from dit_clean.queries import MeanLoss

N_EPOCHS = 30
COLORS = {
    "stable": "#1b6ca8",
    "early": "#1b9e77",
    "late": "#d95f02",
    "fluctuating": "#8a5ca8",
}
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
    lr=0.2,
    batch_size=100,
    max_epochs=N_EPOCHS,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
query = MeanLoss(X[valid], y_true[valid])
run = track(net, X[train], y, random_state=0)
timeline = run.timeline(query)
print(timeline.shape)

# %%
# Four patterns
# -------------
# Each epoch is divided by its root mean square over samples. Then, with the sum of the
# sizes of a sample's values as 100 %: "early" and "late" have more than half of it in
# the first or last third of training, "fluctuating" samples have values of both signs
# that cancel by more than half, and the others are "stable".

patterns = influence_patterns(timeline)
print("all samples: ", pattern_counts(patterns))
print("wrong labels:", pattern_counts(patterns[wrong]))

# %%
# The clearest examples of each, epoch by epoch: orange harms, blue helps.

examples = pattern_examples(timeline, patterns, k=12)
scaled = timeline / np.sqrt((timeline**2).mean(axis=0))
rows = np.concatenate(list(examples.values()))
early, middle, late = stage_slices(N_EPOCHS)
display = TimelineDisplay(
    scaled[rows],
    [name for name, found in examples.items() for _ in found],
    window=(middle.start, middle.stop),
).plot()
display.ax_.set_xlabel("epoch (dashed: thirds of training)")
plt.show()

# %%
# The four clearest of each as curves. Dashed: the label is wrong.

figure, axes = plt.subplots(
    1, 4, figsize=(11, 3), sharex=True, sharey=True, layout="constrained"
)
epochs = np.arange(1, N_EPOCHS + 1)
for axis, (name, found) in zip(axes, examples.items(), strict=True):
    for row in found[:4]:
        line = "--" if wrong[row] else "-"
        axis.plot(epochs, scaled[row], line, color=COLORS[name], lw=1.5)
    axis.axhline(0, color="0.6", lw=1, zorder=0)
    axis.set(title=name, xlabel="epoch")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("influence, scaled")
plt.show()

# %%
# Does a sample have its pattern, or does the run? Train on the same rows again, with
# other initial parameters and another order of batches. Kappa is 1 if each sample has
# its pattern again, and 0 if no more often than by chance. The mean timeline of several
# runs says more about the sample.

timelines = [timeline] + [
    track(net, X[train], y, random_state=seed).timeline(query) for seed in range(1, 8)
]
single = [
    cohen_kappa_score(*map(influence_patterns, pair))
    for pair in zip(timelines[:4], timelines[4:], strict=True)
]
averaged = cohen_kappa_score(
    influence_patterns(np.mean(timelines[:4], axis=0)),
    influence_patterns(np.mean(timelines[4:], axis=0)),
)
print(f"one run against another: kappa {np.mean(single):.2f} (mean of four pairs)")
print(f"mean of four runs against mean of four others: kappa {averaged:.2f}")

# %%
# Do the stages agree?
# --------------------
# Rank correlation of influence between thirds of training. What it says depends on what
# is asked:
#
# - *epochs added up*: the columns of the timeline, summed over each third;
# - *gone in the window*: the sample is left out during the third, and the query is read
#   at its end;
# - *gone from the start*: the paper's. The sample is left out from step 0 on, and the
#   third is where the effect of that on the query is read.
#
# Kendall's correlation counts pairs of samples in the same order, and is mostly smaller
# than Spearman's.

names = ["early", "middle", "late", "full"]
stages = [early, middle, late, slice(0, N_EPOCHS)]
figure, axes = plt.subplots(2, 2, figsize=(9.4, 7.4), layout="constrained")
for axis, title, correlation in (
    (axes[0, 0], "epochs added up", stage_correlation(timeline, stages)),
    (
        axes[0, 1],
        "gone in the window",
        stage_correlation(run.timeline(query, names, "window")),
    ),
    (
        axes[1, 0],
        "gone from the start",
        stage_correlation(run.timeline(query, names, "full")),
    ),
    (
        axes[1, 1],
        "epochs added up, Kendall",
        stage_correlation(timeline, stages, method="kendall"),
    ),
):
    StagesDisplay(names, correlation).plot(axis)
    axis.set_title(title)
plt.show()

# %%
# Within each pattern
# -------------------
# Fluctuating samples are those on which early and late training disagree, the others
# agree more or less. That follows from the definition; how strongly does not.

by_pattern = pattern_correlation(timeline, patterns, stages[:3])
figure, axis = plt.subplots(figsize=(6.4, 3), layout="constrained")
values = [matrix[0, 2] for matrix in by_pattern.values()]
labels = [f"{name} ({n})" for name, n in pattern_counts(patterns).items()]
bars = axis.barh(labels, values, color=list(COLORS.values()))
axis.bar_label(bars, fmt="%.2f", padding=4)
axis.axvline(0, color="0.4", lw=1)
axis.set(xlim=(-1.05, 1.05), xlabel="rank correlation of early and late influence")
axis.invert_yaxis()
axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# What to make of it
# ------------------
# - A pattern belongs to the sample *and* to the run: two runs agree more often than
#   chance and far from always. Average timelines over runs before you rely on one.
# - "Early and late disagree" is true of samples gone from the start, since an early
#   change of the network is mostly undone later. Asked epoch by epoch, the stages
#   mostly agree. Six data sets are compared in the benchmarks of the documentation.
# - Patterns depend on the learning rate and on the length of training: with more
#   epochs the first third covers more of what there is to learn.
# - A fitted :class:`~dit_clean.InfluenceCleaner` has all of this:
#   ``influence_timeline_``, the column "pattern" of ``audit()``, ``plot_timeline()``
#   and ``plot_stages()``.
