"""A small cleaner, and data with wrong labels or targets for it."""

import numpy as np

from dit_clean import InfluenceCleaner
from tests.nets import make_rows

N_ROWS, N_EPOCHS = 90, 4
WRONG = np.arange(0, N_ROWS, 10)
NAMES = np.array(["ant", "bee", "cat"])
SHAPES = {
    "influence_": (N_ROWS,),
    "influence_timeline_": (N_ROWS, N_EPOCHS),
    "suspicion_": (N_ROWS,),
    "keep_mask_": (N_ROWS,),
    "sample_weight_": (N_ROWS,),
    "suggested_label_": (N_ROWS,),
}


def make_cleaner(net=None, **settings):
    of_default_net = {"max_epochs": N_EPOCHS, "batch_size": 16} if net is None else {}
    return InfluenceCleaner(net, **({"random_state": 0} | of_default_net | settings))


def make_labels():
    """Return X and class indices, those of the rows WRONG wrong."""
    X, y = make_rows(N_ROWS)
    X += 2 * np.eye(3, 4, dtype=np.float32)[y]
    y[WRONG] = (y[WRONG] + 1) % 3
    return X, y


def make_targets():
    """Return X and float targets, those of the rows WRONG far off."""
    X, _ = make_rows(N_ROWS)
    y = X @ np.array([1.0, -2.0, 0.5, 0.0]) + 50
    y[WRONG] += 30
    return X, y
