"""
Text: spam that somebody called ham
===================================

Sparse features go in as they come from a vectorizer. 2,400 short messages; 30 % of the
spam is labeled "ham", as happens when users report spam only when they feel like it.
"""

# %%
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score, precision_recall_curve

from dit_clean import InfluenceCleaner

FOLDER = Path("data") if Path("data").is_dir() else Path("examples/data")
messages = pd.read_csv(FOLDER / "sms_sample.csv.gz")
text, y_true = messages["text"], messages["label"].to_numpy(dtype=str)
draw = np.random.RandomState(0).rand(len(y_true))
wrong = (y_true == "spam") & (draw < 0.3)
y = np.where(wrong, "ham", y_true)

X = TfidfVectorizer(min_df=3, max_features=1000, sublinear_tf=True).fit_transform(text)
print(type(X).__name__, X.shape, f"{wrong.sum()} wrong labels")

# %%
# Spam is rare, so its rows are few: 30 epochs of the default network.

cleaner = InfluenceCleaner(random_state=0).fit(X, y)
flagged = ~cleaner.keep_mask_
print(f"flagged {flagged.sum()}, of them wrong {(flagged & wrong).sum()}")
print(f"error rate: estimated {cleaner.contamination_:.3f}, true {wrong.mean():.3f}")

# %%
# The messages at the top of the list, with what was done to them:

for row in np.argsort(-cleaner.suspicion_)[:10]:
    note = "planted" if wrong[row] else "as published"
    print(f"{cleaner.suspicion_[row]:.2f}  {y[row]:4} {note:12} {text[row][:60]}")

# %%
# All evidence together against its two parts, re-scored from the recorded run without
# training again. Which part is better depends on the data; see the benchmarks.

figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
colors = {"combined": "#1b6ca8", "influence": "#d95f02", "margin": "0.5"}
for scoring, color in colors.items():
    cleaner.set_params(scoring=scoring).rescore()
    precision, recall, _ = precision_recall_curve(wrong, cleaner.suspicion_)
    area = average_precision_score(wrong, cleaner.suspicion_)
    axis.plot(recall, precision, color=color, label=f"{scoring} ({area:.2f})")
axis.set(xlabel="wrong labels found", ylabel="of those shown, wrong", ylim=(0, 1.02))
axis.legend(title="scoring (average precision)", loc="lower left")
axis.spines[["top", "right"]].set_visible(False)
plt.show()
