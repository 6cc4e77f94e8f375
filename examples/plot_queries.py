"""
Ask the network anything: losses, predictions, layers, features
===============================================================

Influence is always influence *on* something, the query. This page asks one fitted
cleaner which training images are behind single predictions, and one tracked run about
probabilities, logits, margins, layers and the importance of pixels.
"""

# %%
# Which training images are behind this prediction?
# -------------------------------------------------
# 800 digits to train on, every seventh label replaced by any other.
# ``influence_on(X, y)`` measures the influence of all training samples on the loss of
# each given sample, and :func:`~dit_clean.influence.top_samples` lists the strongest.

import numpy as np
import torch
from matplotlib import pyplot as plt
from scipy.stats import pearsonr, spearmanr
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier

from dit_clean import InfluenceCleaner, track
from dit_clean.influence import top_samples
from dit_clean.queries import (
    FeatureImportance,
    MeanLoss,
    Parameter,
    Prediction,
    SampleLosses,
    Several,
)

ORANGE, BLUE = "#d95f02", "#1b6ca8"
X, y_true = load_digits(return_X_y=True)
X = (X / 16).astype("float32")
rng = np.random.RandomState(0)
order = rng.permutation(len(X))
train, test = order[:800], order[800:]
wrong = rng.rand(800) < 1 / 7
y = y_true[train].copy()
y[wrong] = (y[wrong] + rng.randint(1, 10, wrong.sum())) % 10

cleaner = InfluenceCleaner(max_epochs=20, random_state=0).fit(X[train], y)
asked = test[[np.flatnonzero(y_true[test] == digit)[0] for digit in (3, 5, 8, 9)]]
influence = cleaner.influence_on(X[asked], y_true[asked], window="full")
top = top_samples(influence, k=4)
print(influence.shape, top.harmful.shape)

# %%
# Left, the images asked about; then the training images that lower their loss most and
# those that raise it most, with their given labels. Labels that are wrong are marked.

figure = plt.figure(figsize=(10, 5.8), layout="constrained")
grid = figure.subplots(4, 9)
for line, row in zip(grid, asked, strict=True):
    line[0].set_title(f"a {y_true[row]}", fontsize=10, fontweight="bold")
    line[0].imshow(X[row].reshape(8, 8), cmap="gray_r")
for found, columns in ((top.helpful, grid[:, 1:5]), (top.harmful, grid[:, 5:])):
    for axis, sample in zip(columns.flat, found.flat, strict=True):
        axis.imshow(X[train[sample]].reshape(8, 8), cmap="gray_r")
        note = " (wrong)" if wrong[sample] else ""
        color = ORANGE if wrong[sample] else BLUE
        axis.set_title(f"{y[sample]}{note}", fontsize=10, color=color)
for axis in grid.flat:
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_color("0.7")
for axis, name in zip(
    grid[0, [0, 1, 5]], ("asked about", "most helpful", "most harmful"), strict=True
):
    axis.set_title(f"{name}\n\n", loc="left", fontsize=10, fontweight="bold")
plt.show()

# %%
# Several queries in one pass
# ---------------------------
# A tracked run takes any query. :class:`~dit_clean.queries.Several` asks many at once:
# one reverse pass, whose forward passes are shared. Here 50 images as loss,
# probability, logit and margin, 200 queries; and the norms of the two layers, for which
# :class:`~dit_clean.queries.Parameter` takes names of parameters, of layers, or of
# several of them.


def make_module(n_hidden):
    return torch.nn.Sequential(
        torch.nn.Linear(64, n_hidden), torch.nn.Tanh(), torch.nn.Linear(n_hidden, 10)
    )


net = NeuralNetClassifier(
    make_module,
    module__n_hidden=24,
    criterion=torch.nn.CrossEntropyLoss,
    lr=0.2,
    batch_size=50,
    max_epochs=15,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
run = track(net, X[train], y, random_state=0)
some = test[:50]
kinds = ("probability", "logit", "margin")
queries = Several(
    (
        SampleLosses(X[some], y_true[some]),
        *(Prediction(X[some], y_true[some], kind) for kind in kinds),
        Parameter("0"),
        Parameter("2"),
    )
)
values = run.influence(queries)
predictions, norms = values[:200].reshape(4, 50, 800), values[200:]
print(values.shape)

# %%
# On *one* image, loss, probability and logit name the same training samples: each is
# a function of the others. The margin, which looks at the strongest rival alone, does
# not. Mean rank correlation over the 50 images:

for kind, influence in zip(kinds, predictions[1:], strict=True):
    agreement = [
        spearmanr(-on_loss, on_kind).statistic
        for on_loss, on_kind in zip(predictions[0], influence, strict=True)
    ]
    print(f"loss and {kind:12} {np.mean(agreement):.2f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for rows, color, marker, label in (
    (~wrong, BLUE, "o", "right label"),
    (wrong, ORANGE, "D", "wrong label"),
):
    on_loss, on_margin = predictions[0, 0, rows], predictions[3, 0, rows]
    left.scatter(on_loss, on_margin, s=14, c=color, marker=marker, label=label)
left.set(
    title=f"one test image, a {y_true[some[0]]}",
    xlabel="influence on its loss",
    ylabel="influence on its margin",
)
left.legend(frameon=False)
places = np.arange(2)
for shift, rows, color, hatch, label in (
    (-0.2, ~wrong, BLUE, "", "right label"),
    (0.2, wrong, ORANGE, "//", "wrong label"),
):
    look = {"color": color, "hatch": hatch, "edgecolor": "white", "label": label}
    right.bar(places + shift, norms[:, rows].mean(axis=1), 0.36, **look)
right.legend(frameon=False)
right.set_xticks(places, ["first layer", "second layer"])
right.axhline(0, color="0.4", lw=1)
right.set(title="norm of the layers", ylabel="mean influence on the norm")
right.ticklabel_format(axis="y", scilimits=(-2, 2))
for axis in (left, right):
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Right: without a sample of right label the layers would be smaller, without one of
# wrong label larger. Wrong labels hold the network back.

# %%
# The importance of features
# --------------------------
# :class:`~dit_clean.queries.FeatureImportance` is the gradient with respect to the
# inputs, one query per pixel: how much the logit of "3" rises with the ink there,
# averaged over test images of a 3. Which pixels would matter more or less without one
# training image? Estimated by influence, and measured by training again without it.
# (For this question take "logit" or "probability". The importance for the margin jumps
# whenever another class becomes the strongest rival, and no first-order estimate can
# follow that.)

threes = test[y_true[test] == 3]
importance = FeatureImportance(X[threes], y_true[threes], kind="logit")
with torch.no_grad():
    final = run.trajectory.params(run.trajectory.n_steps)
    weight = importance(final, run).numpy()
harm = run.influence(MeanLoss(X[threes], y_true[threes]))
sample = int(harm.argmin())
estimated = run.influence(importance)[:, sample]
measured = run.leave_one_out(importance, [sample])[:, 0]
fidelity = pearsonr(estimated, measured).statistic

figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
axes[0].imshow(X[train[sample]].reshape(8, 8), cmap="gray_r")
axes[0].set_title(f"most harmful for threes:\nlabel {y[sample]}")
bound = np.abs(estimated).max()
for axis, pixels, limit, title in (
    (axes[1], weight, np.abs(weight).max(), "what speaks for a 3"),
    (axes[2], estimated, bound, "change without the image,\nestimated"),
    (axes[3], measured, bound, f"measured,\ncorrelation {fidelity:.2f}"),
):
    image = axis.imshow(pixels.reshape(8, 8), cmap="PuOr", vmin=-limit, vmax=limit)
    axis.set_title(title)
    figure.colorbar(image, ax=axis, shrink=0.8)
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()
