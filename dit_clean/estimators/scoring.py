"""Scoring a search whose own labels are not to be trusted."""

from typing import Any

from sklearn.metrics import check_scoring, get_scorer
from sklearn.utils import check_consistent_length

from dit_clean.data.targets import check_gaps


class TrustedScorer:
    """Score models on rows that somebody has checked, whatever fold they are given.

    A search over windows scores its candidates on folds with wrong labels; this scorer
    ignores the fold. Keep the trusted rows out of the data that the search is fitted
    on.

    Parameters
    ----------
    X : array, data frame or CSR matrix, first axis n_trusted
        Trusted rows, as the searched model takes them.
    y : array-like of shape (n_trusted,)
        Their labels or targets.
    scoring : str, callable or None, default=None
        As in scikit-learn; None is the model's own ``score``.

    Raises
    ------
    ValueError, TypeError
        If X and y have different lengths, y has gaps, or there is no such scoring: a
        search would turn an error of the scorer into a score of NaN.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from dit_clean import TrustedScorer
    >>> X, y = load_iris(return_X_y=True)
    >>> scorer = TrustedScorer(X[::3], y[::3], scoring="balanced_accuracy")
    >>> model = LogisticRegression(max_iter=1000)
    >>> search = GridSearchCV(model, {"C": [0.01, 1.0]}, scoring=scorer)
    >>> search.fit(X[1::3], y[1::3]).best_params_
    {'C': 1.0}
    """

    def __init__(self, X: Any, y: Any, scoring: Any = None):
        check_consistent_length(X, y)
        check_gaps(y)
        check_metric(scoring)
        self.X, self.y, self.scoring = X, y, scoring

    def __repr__(self) -> str:
        return f"TrustedScorer({len(self.y)} rows, scoring={self.scoring!r})"

    def __call__(self, model: Any, X: Any = None, y: Any = None) -> float:
        """Return the score of a fitted model on the trusted rows.

        Parameters
        ----------
        model : estimator
            Fitted.
        X, y : ignored
            The fold of the search.
        """
        scorer = check_scoring(model, scoring=self.scoring)
        return scorer(model, self.X, self.y)


def check_metric(scoring: Any) -> None:
    """Raise if `scoring` names no scorer of scikit-learn, and is none.

    Raises
    ------
    ValueError, TypeError
        Says what was given.
    """
    if isinstance(scoring, str):
        get_scorer(scoring)
    elif not (scoring is None or callable(scoring)):
        raise TypeError(
            "scoring must be one of sklearn.metrics.get_scorer_names(), a callable or "
            f"None, got {scoring!r}. For several scores make a scorer for each."
        )
