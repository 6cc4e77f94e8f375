"""
Leave out, weigh down, or relabel
=================================

Three ways to use what was found, through :class:`~dit_clean.CleanedClassifier`. The
cleaner's network and the final model need not resemble each other.
"""

# %%
# Digits with pair flips: 30 % of the labels moved on by one. A frozen cleaner is fitted
# once and shared by all models.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dit_clean import CleanedClassifier, InfluenceCleaner

X, digit = load_digits(return_X_y=True)
X, X_test, y_true, y_test = train_test_split(
    X, digit, train_size=700, test_size=700, stratify=digit, random_state=0
)
wrong = np.random.RandomState(0).rand(len(y_true)) < 0.3
y = np.where(wrong, (y_true + 1) % 10, y_true)

cleaner = FrozenEstimator(InfluenceCleaner(random_state=0).fit(X, y))
models = {
    "logistic regression": make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=500)
    ),
    "gradient boosting": HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "1 nearest neighbor": KNeighborsClassifier(1),
}
strategies = ["filter", "weight", "relabel"]
table = {}
for name, model in models.items():
    row = {"all rows": model.fit(X, y).score(X_test, y_test)}
    for strategy in strategies:
        try:
            cleaned = CleanedClassifier(model, cleaner, strategy).fit(X, y)
        except ValueError as error:
            print(error)
            continue
        row[strategy] = cleaned.score(X_test, y_test)
    row["wrong rows removed"] = model.fit(X[~wrong], y[~wrong]).score(X_test, y_test)
    table[name] = row

# %%
# Nearest neighbors take no sample weights, and the error says so. The others:

for name, row in table.items():
    print(f"{name:20}", {key: round(value, 3) for key, value in row.items()})

columns = ["all rows", *strategies, "wrong rows removed"]
colors = ["0.6", "#1b6ca8", "#56b4e9", "#1b9e77", "0.3"]
figure, axis = plt.subplots(figsize=(8, 4), layout="constrained")
for i, (column, color) in enumerate(zip(columns, colors, strict=True)):
    heights = [row.get(column, np.nan) for row in table.values()]
    axis.bar(np.arange(3) + 0.17 * (i - 2), heights, 0.16, color=color, label=column)
axis.set_xticks(range(3), list(table))
axis.set(
    ylabel="test accuracy", ylim=(0.5, 1.18), title="30 % of the labels moved on by one"
)
axis.legend(ncols=3, fontsize=8, loc="upper center")
axis.spines[["top", "right"]].set_visible(False)
plt.show()

# %%
# On these data all three recover most of what the wrong labels cost. *Filter* is the
# plain choice. *Weight* keeps doubtful rows with little weight, where the model takes
# weights. *Relabel* keeps all rows, and pays off where the suggested labels are mostly
# right, as on digits.
