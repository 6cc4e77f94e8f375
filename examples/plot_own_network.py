"""
Your own network: a small convolutional net on images
=====================================================

A skorch classifier or regressor can be tracked: it is cloned and trained as it is, with
its own optimizer, batch size and number of epochs. Images stay images.
"""

# %%
# 900 digits of 8 x 8 pixels, one channel; 20 % of the labels moved on by one.

import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier

from dit_clean import InfluenceCleaner

images, digit = load_digits(return_X_y=True)
X = (images[:900] / 16).astype("float32").reshape(-1, 1, 8, 8)
y_true = digit[:900]
wrong = np.random.RandomState(0).rand(900) < 0.2
y = np.where(wrong, (y_true + 1) % 10, y_true)

# %%
# ``train_split=None`` lets the net train on all rows that it is given; skorch would
# otherwise set a fifth aside for itself. The cleaner takes care of held-out rows.


class ConvNet(torch.nn.Module):
    def __init__(self, n_classes=10):
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 12, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Conv2d(12, 24, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.Linear(24 * 4 * 4, n_classes),
        )

    def forward(self, X):
        return self.layers(X)


net = NeuralNetClassifier(
    ConvNet,
    criterion=torch.nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.003,
    batch_size=64,
    max_epochs=10,
    iterator_train__shuffle=True,
    train_split=None,
    verbose=0,
)
cleaner = InfluenceCleaner(net, random_state=0).fit(X, y)
flagged = ~cleaner.keep_mask_
print(f"{wrong.sum()} wrong labels")
print(f"{flagged.sum()} flagged, {(flagged & wrong).sum()} of them wrong")
repaired = cleaner.suggested_label_[flagged & wrong] == y_true[flagged & wrong]
print(f"suggested label right for {repaired.mean():.0%} of the wrong ones found")
print(f"window: epochs {cleaner.window_.start} to {cleaner.window_.stop}")
print({part: round(seconds, 1) for part, seconds in cleaner.fit_seconds_.items()})

# %%
# The most suspicious images, given and suggested label. Blue: the label was indeed
# wrong; orange: it was right all along.

worst = np.argsort(-cleaner.suspicion_)[:24]
figure, axes = plt.subplots(3, 8, figsize=(9, 4.2), layout="constrained")
for axis, row in zip(axes.flat, worst, strict=True):
    axis.imshow(X[row, 0], cmap="gray_r")
    axis.set_title(
        f"{y[row]} → {cleaner.suggested_label_[row]}",
        fontsize=10,
        color="#1b6ca8" if wrong[row] else "#d95f02",
    )
    axis.set_axis_off()
plt.show()

# %%
# Which training images move the networks' loss on one given image? Negative influence:
# without the training image, the loss would be lower. The rows that harm the prediction
# for a three most are threes with another label, and other digits labeled 3.

sample = int(np.flatnonzero(~wrong & (y_true == 3))[0])
influence = cleaner.influence_on(X[[sample]], y_true[[sample]], window="full")[0]
harmful = np.argsort(influence)[:7]
figure, axes = plt.subplots(1, 8, figsize=(9, 1.6), layout="constrained")
for axis, row in zip(axes, [sample, *harmful], strict=True):
    axis.imshow(X[row, 0], cmap="gray_r" if row == sample else "Oranges")
    axis.set_title("asked" if row == sample else f"labeled {y[row]}", fontsize=9)
    axis.set_axis_off()
plt.show()
