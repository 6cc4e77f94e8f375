"""
Audit a table
=============

A table with mixed columns and missing values, 15 % of its labels wrong: which rows
look wrong, why, and how to act on it.
"""

# %%
# Any data frame and any labels will do. Here: measurements of breast cancer, some of
# them taken away, and a column of categories.

import numpy as np
from sklearn.datasets import load_breast_cancer

from dit_clean import InfluenceCleaner

rng = np.random.default_rng(0)
X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X.iloc[:, :10].mask(rng.random((len(X), 10)) < 0.02)
X["site"] = rng.choice(["north", "south"], len(X))
true = np.array(["malignant", "benign"])[y]
wrong = rng.random(len(X)) < 0.15
given = np.where(wrong, np.where(true == "benign", "malignant", "benign"), true)

# %%
# No clean data are needed. In a notebook, the fitted cleaner shows what it found.

cleaner = InfluenceCleaner(random_state=0).fit(X, given)
cleaner  # noqa: B018

# %%
# The audit table has one row per sample; `columns` adds columns of X.

table = cleaner.audit(sort="suspicion", flagged=True, columns=["site", "mean radius"])
table.head(10)

# %%
# Here the truth is known, so the flags can be checked.

flagged = ~cleaner.keep_mask_
print(f"{flagged.sum()} flagged, {(flagged & wrong).sum()} of {wrong.sum()} found")

# %%
# Where does the cut lie?

_ = cleaner.plot_suspicion()

# %%
# Which label is suggested instead of which?

_ = cleaner.plot_labels()

# %%
# When did the flagged samples do their harm? Orange: training on the sample in that
# epoch made the predictions for other samples worse.

_ = cleaner.plot_timeline()

# %%
# Which epochs counted, and would others have said the same?

_ = cleaner.plot_training()

# %%

_ = cleaner.plot_stages()

# %%
# **Review.** Somebody looks at the flagged rows and writes a verdict; here the truth
# does. The same works with the CSV file that ``cleaner.report("audit.html")`` exports.

rows = table["row"]
table["verdict"] = np.where(given[rows] != true[rows], "wrong", "right")
corrected = cleaner.apply_review(table)
print(
    f"wrong labels before: {(given != true).sum()}, after: {(corrected != true).sum()}"
)
