"""
A table with words and gaps, in a plain pipeline
================================================

Adult: who earns more than 50,000 dollars a year? Numbers, categories and missing
values, 2,000 rows to train on. :class:`~dit_clean.InfluenceCleaner` takes the data
frame as it is. As a step of a plain scikit-learn pipeline it stands *in front of* the
preprocessing of the model, which may look quite different from its own.
"""

# %%
# Two kinds of wrong labels are put in, one at a time: 40 % of the high incomes declared
# as low ones, and 20 % of all labels flipped. The test rows stay as they are.

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dit_clean import InfluenceCleaner

ORANGE, BLUE = "#d95f02", "#1b6ca8"
FOLDER = Path("data") if Path("data").is_dir() else Path("examples/data")
adult = pd.read_csv(FOLDER / "adult_sample.csv.gz")
X = adult.drop(columns=["income", "split"])
income = adult["income"].to_numpy(dtype=str)
is_train = (adult["split"] == "train").to_numpy()
X_train, X_test = X[is_train], X[~is_train]
y_true, y_test = income[is_train], income[~is_train]
print(X_train.dtypes.to_string())


def flip(rows):
    other = np.where(y_true == "<=50K", ">50K", "<=50K")
    return np.where(rows, other, y_true)


draw = np.random.RandomState(0).rand(len(y_true))
problems = {
    "40 % of >50K": flip((draw < 0.4) & (y_true == ">50K")),
    "20 % of all": flip(draw < 0.2),
}

# %%
# The model, and the same model behind a cleaner
# ----------------------------------------------
# While the pipeline is fitted, the cleaner replaces each flagged row by a kept row
# with the same label, so that X stays aligned with y. When the pipeline predicts, the
# cleaner passes all rows through.

numbers = X.select_dtypes("number").columns
words = X.columns.difference(numbers)


def make_model():
    encode = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=10), words),
    )
    return make_pipeline(encode, LogisticRegression(max_iter=1000))


def scores(model):
    predicted = model.predict(X_test)
    return (predicted == y_test).mean(), balanced_accuracy_score(y_test, predicted)


table, cleaners = {}, {}
for name, y in problems.items():
    cleaned = make_pipeline(InfluenceCleaner(random_state=0), make_model()).fit(
        X_train, y
    )
    cleaners[name] = cleaned[0]
    right = y == y_true
    table[name, "given labels"] = scores(make_model().fit(X_train, y))
    table[name, "behind the cleaner"] = scores(cleaned)
    table[name, "wrong rows removed"] = scores(
        make_model().fit(X_train[right], y[right])
    )
columns = ["accuracy", "balanced accuracy"]
print(pd.DataFrame(table, index=columns).T.round(3).to_string())

# %%
# With one-sided errors the model gains much of what can be gained: it had learned that
# high incomes are rarer than they are. With errors on both sides there is little to
# gain in the first place, since a logistic regression averages over them; removing rows
# that it could have learned from may then cost a little. Compare on rows that you trust
# before you decide to clean.
#
# What was found
# --------------

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
for axis, (name, y) in zip(axes, problems.items(), strict=True):
    cleaner, wrong = cleaners[name], y != y_true
    axis.hist(
        [cleaner.suspicion_[~wrong], cleaner.suspicion_[wrong]],
        bins=np.linspace(0, 1, 21),
        color=[BLUE, ORANGE],
        label=["right label", "wrong label"],
    )
    axis.axvline(cleaner.threshold_, color="0.3", ls="--", label="threshold")
    precision = average_precision_score(wrong, cleaner.suspicion_)
    axis.set(
        title=f"{name}: {wrong.sum()} wrong, average precision {precision:.2f}",
        xlabel="suspicion",
        yscale="log",
    )
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("rows")
axes[0].legend()
plt.show()

# %%
# The most suspicious rows of the one-sided problem, as a person would look at them:

cleaner = cleaners["40 % of >50K"]
worst = np.argsort(-cleaner.suspicion_)[:8]
view = X_train.iloc[worst][["age", "education", "occupation", "relationship"]]
view = view.assign(
    given=problems["40 % of >50K"][worst],
    suggested=cleaner.suggested_label_[worst],
    true=y_true[worst],
    suspicion=cleaner.suspicion_[worst].round(2),
)
print(view.to_string(index=False))
