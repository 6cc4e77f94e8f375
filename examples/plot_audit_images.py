"""
Audit images
============

Handwritten digits, one label in ten wrong. The gallery shows the most suspicious ones
as what they are: images.
"""

# %%
# Images go in as they are, with more than two axes.

import numpy as np
from sklearn.datasets import load_digits

from dit_clean import InfluenceCleaner

rng = np.random.default_rng(0)
digits = load_digits()
wrong = rng.random(len(digits.target)) < 0.1
given = np.where(wrong, rng.integers(10, size=len(wrong)), digits.target)
wrong = given != digits.target

cleaner = InfluenceCleaner(max_epochs=15, random_state=0).fit(digits.images, given)
flagged = ~cleaner.keep_mask_
print(f"{flagged.sum()} flagged, {(flagged & wrong).sum()} of {wrong.sum()} found")

# %%
# Above each image: the given label and the one that is suggested.

_ = cleaner.plot_gallery(n_items=12)

# %%
# Ten classes: which are taken for which?

_ = cleaner.plot_labels()

# %%
# What was flagged wrongly? Rows are chosen by number.

mistaken = np.flatnonzero(flagged & ~wrong)
if len(mistaken):
    _ = cleaner.plot_gallery(rows=mistaken[:8])
