"""
Remove the most harmful rows: predicted against actual change
=============================================================

If influence is right, its sum over a group of rows predicts what training without them
does. This page checks it twice: with random groups, which is how the field scores such
predictions, and with the rows that influence itself calls most harmful.
"""

# %%
# A run to check
# --------------
# Breast cancer, 256 rows, every fifth label flipped; the query is the mean loss on 200
# validation rows with right labels.

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier

from dit_clean import track
from dit_clean.influence import random_groups, top_samples
from dit_clean.queries import MeanLoss

ORANGE, BLUE, GREEN, GREY = "#d95f02", "#1b6ca8", "#1b9e77", "0.45"
X, y_true = load_breast_cancer(return_X_y=True)
X = scale(X).astype("float32")
rng = np.random.RandomState(0)
order = rng.permutation(len(X))
train, valid, test = order[:256], order[256:456], order[456:]
wrong = rng.rand(256) < 0.2
y = np.where(wrong, 1 - y_true[train], y_true[train])


def make_module(n_hidden):
    return torch.nn.Sequential(
        torch.nn.Linear(30, n_hidden), torch.nn.ReLU(), torch.nn.Linear(n_hidden, 2)
    )


net = NeuralNetClassifier(
    make_module,
    module__n_hidden=32,
    criterion=torch.nn.CrossEntropyLoss,
    lr=0.1,
    batch_size=32,
    max_epochs=20,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
run = track(net, X[train], y, random_state=0)
query = MeanLoss(X[valid], y_true[valid])
influence = run.influence(query)

# %%
# Random groups: the linear datamodeling score
# --------------------------------------------
# ``check_removal`` trains once for each group, without its rows, on the same batches in
# the same order. The rank correlation of predicted and actual changes over random
# groups of one size is the linear datamodeling score (Park and others, 2023).

groups = random_groups(256, 40, size=26, generator=np.random.RandomState(1))
at_random = run.check_removal(query, groups)
print(f"linear datamodeling score: {at_random.datamodeling_score:.3f}")
print(f"Pearson correlation:       {at_random.pearson:.3f}")

# %%
# The k most harmful
# ------------------
# Groups that are chosen *because* of their influence are a harder test: what is chosen
# for a low sum is too low on average, and the larger the group, the less the first
# order holds. The validation rows have chosen them, so 113 test rows, not used for
# anything else, are asked as well.

sizes = [0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90]
ranked = top_samples(influence, max(sizes)).harmful
groups = [ranked[:k] for k in sizes]
worst = run.check_removal(query, groups)
on_test = MeanLoss(X[test], y_true[test])
test_change = run.leave_out(on_test, groups)


def loss_at_end(query):
    with torch.no_grad():
        return float(query(run.trajectory.params(run.trajectory.n_steps), run))


before, test_before = loss_at_end(query), loss_at_end(on_test)
for name, start, change in (
    ("validation", before, worst.actual),
    ("test", test_before, test_change),
):
    k = int(np.argmin(change))
    print(
        f"{name + ' loss':16} {start:.3f}, without the {sizes[k]} most harmful rows "
        f"{start + change[k]:.3f}"
    )
print(
    f"{wrong.sum()} labels are wrong, {wrong[groups[5]].sum()} of the 40 most harmful"
)

# %%
# Left: each point is one random group. Right: the loss without the k most harmful rows.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.axline((0, 0), slope=1, color="0.7", lw=1, zorder=0)
left.scatter(at_random.predicted, at_random.actual, color=BLUE, s=24)
left.set(
    title=f"26 random rows, datamodeling score {at_random.datamodeling_score:.2f}",
    xlabel="predicted change of the validation loss",
    ylabel="actual",
)
left.ticklabel_format(scilimits=(-2, 2))
right.plot(sizes, before + worst.predicted, "o--", color=ORANGE, label="predicted")
right.plot(sizes, before + worst.actual, "s-", color=BLUE, label="actual")
right.plot(
    sizes, test_before + test_change, "^:", color=GREEN, label="actual, test rows"
)
right.axvline(wrong.sum(), color=GREY, lw=1)
right.annotate(
    f"{wrong.sum()} wrong labels",
    (wrong.sum(), 0.02),
    (4, 0),
    textcoords="offset points",
    color=GREY,
)
right.set(title="the k most harmful", xlabel="rows removed", ylabel="loss")
right.set_ylim(bottom=0)
right.legend(frameon=False)
for axis in (left, right):
    axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# Prediction and truth part where the wrong labels run out: the sum goes on falling
# slowly, the loss rises again. Take the order from influence, and the number of rows
# from somewhere else: from a few retrainings as here, or from the cleaner's own cut.
