"""Meta-estimators for plain scikit-learn: clean the training data, then fit a model."""

from functools import partial
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from dit_clean.checks import check_parameters, is_one_of
from dit_clean.cleaner import InfluenceCleaner
from dit_clean.inputs import checked_data
from dit_clean.tables import TableEncoder

PARAMETERS = {"strategy": is_one_of("filter", "weight", "relabel")}


def _estimator_has(method):
    """Return the check that the (fitted) estimator has a method."""

    def check(self):
        estimator = getattr(self, "estimator_", None) or self._model()
        getattr(estimator, method)
        return True

    return check


class _CleanedModel(MetaEstimatorMixin, BaseEstimator):
    """Cleans the training data, then fits `estimator` on what remains."""

    def __init__(
        self, estimator=None, cleaner=None, strategy="filter", *, random_state=None
    ):
        self.estimator = estimator
        self.cleaner = cleaner
        self.strategy = strategy
        self.random_state = random_state

    def fit(self, X, y=None, *, X_val=None, y_val=None):
        """Clean X and y, then fit the model.

        Parameters
        ----------
        X : array, data frame or CSR matrix, first axis n_samples
            Training inputs.
        y : array-like of shape (n_samples,)
            Training labels or targets, some of them wrong.
        X_val, y_val : like X and y, optional
            Clean validation samples for the cleaner.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If ``strategy="weight"`` and the model takes no sample weights, or a frozen
            cleaner was fitted on other data.
        """
        check_parameters(self, PARAMETERS)
        estimator = clone(self._model())
        weight_name = _weight_parameter(estimator) if self.strategy == "weight" else ""
        X, y = checked_data(self, X, y)
        self.cleaner_ = self._fitted_cleaner(X, y, X_val, y_val)
        if self.strategy == "weight":
            weight = {weight_name: self.cleaner_.sample_weight_}
            self.estimator_ = estimator.fit(X, y, **weight)
        elif self.strategy == "relabel":
            self.estimator_ = estimator.fit(X, self.cleaner_.suggested_label_)
        else:
            self.estimator_ = estimator.fit(*self.cleaner_.filter(X, y))
        return self

    def predict(self, X):
        """Return the model's predictions for X.

        Parameters
        ----------
        X : array, data frame or CSR matrix, first axis n_samples
            Data to predict on; no row is dropped or changed.

        Returns
        -------
        y : ndarray of shape (n_samples,)
        """
        return self._answer("predict", X)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        """Return the tags of what both cleaner and model can do."""
        tags = super().__sklearn_tags__()
        model = get_tags(self._model())
        tags.input_tags.sparse = model.input_tags.sparse
        tags.target_tags.required = True
        return tags

    def _model(self) -> Any:
        if self.estimator is not None:
            return self.estimator
        return make_pipeline(TableEncoder(), self._default_model())

    def _answer(self, method: str, X: Any) -> Any:
        check_is_fitted(self, "estimator_")
        return getattr(self.estimator_, method)(checked_data(self, X, reset=False))

    def _fitted_cleaner(self, X: Any, y: Any, X_val: Any, y_val: Any) -> Any:
        if isinstance(self.cleaner, FrozenEstimator):
            cleaner = self.cleaner.estimator
            check_is_fitted(cleaner)
            n_fitted, n_given = len(cleaner.keep_mask_), len(y)
            if not np.array_equal(cleaner._targets.given, np.asarray(y)):
                raise ValueError(
                    f"The frozen cleaner was fitted on {n_fitted} samples, but fit got "
                    f"{n_given} samples, or other labels. Fit it on the same data, or "
                    "give it unfrozen."
                )
            return cleaner
        cleaner = cleaner_or_default(self.cleaner, self.random_state)
        return cleaner.set_params(task=self._task).fit(X, y, X_val=X_val, y_val=y_val)


class CleanedClassifier(ClassifierMixin, _CleanedModel):
    """Classifier trained on cleaned data.

    Parameters
    ----------
    estimator : classifier, default=None
        Model to train; None is a logistic regression on scaled numbers and one-hot
        categories.
    cleaner : InfluenceCleaner, FrozenEstimator or None, default=None
        Finds the wrong labels; cloned and fitted, unless it is fitted already and
        wrapped in :class:`sklearn.frozen.FrozenEstimator`. Its network need not
        resemble the model.
    strategy : {"filter", "weight", "relabel"}, default="filter"
        What is done with them: flagged rows are left out, every row counts with its
        `sample_weight_` (0 for flagged rows), or flagged rows get the suggested label.
    random_state : int, RandomState instance or None, default=None
        Seed of the cleaner where none is given; a given cleaner has its own.

    Attributes
    ----------
    cleaner_ : InfluenceCleaner
        Fitted cleaner, with suspicion and all that.
    estimator_ : classifier
        Fitted model.
    classes_ : ndarray of shape (n_classes,)
        Labels.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from dit_clean import CleanedClassifier, InfluenceCleaner
    >>> X, y = load_iris(return_X_y=True)
    >>> y[:10] = 2  # wrong labels
    >>> model = CleanedClassifier(
    ...     LogisticRegression(max_iter=1000), InfluenceCleaner(random_state=0)
    ... ).fit(X, y)
    >>> [int(label) for label in model.predict(X[:3])]
    [0, 0, 0]
    """

    _task = "classification"
    _default_model = partial(LogisticRegression, max_iter=1000)

    @property
    def classes_(self):
        """Labels that the model knows."""
        check_is_fitted(self, "estimator_")
        return self.estimator_.classes_

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X):
        """Return the model's class probabilities.

        Parameters
        ----------
        X : array, data frame or CSR matrix, first axis n_samples
            Data to predict on.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes)
        """
        return self._answer("predict_proba", X)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X):
        """Return the model's decision values.

        Parameters
        ----------
        X : array, data frame or CSR matrix, first axis n_samples
            Data to predict on.

        Returns
        -------
        values : ndarray of shape (n_samples,) or (n_samples, n_classes)
        """
        return self._answer("decision_function", X)


class CleanedRegressor(RegressorMixin, _CleanedModel):
    """Regressor trained on cleaned data.

    Parameters
    ----------
    estimator : regressor, default=None
        Model to train; None is a ridge regression on scaled numbers and one-hot
        categories.
    cleaner : InfluenceCleaner, FrozenEstimator or None, default=None
        Finds the wrong targets; cloned and fitted, unless it is fitted already and
        wrapped in :class:`sklearn.frozen.FrozenEstimator`.
    strategy : {"filter", "weight", "relabel"}, default="filter"
        Flagged rows are left out, every row counts with its `sample_weight_`, or
        flagged rows get the held-out prediction as target.
    random_state : int, RandomState instance or None, default=None
        Seed of the cleaner where none is given; a given cleaner has its own.

    Attributes
    ----------
    cleaner_ : InfluenceCleaner
        Fitted cleaner.
    estimator_ : regressor
        Fitted model.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from dit_clean import CleanedRegressor, InfluenceCleaner
    >>> X, y = load_diabetes(return_X_y=True)
    >>> y[:10] += 1000  # gross errors
    >>> model = CleanedRegressor(Ridge(), InfluenceCleaner(random_state=0)).fit(X, y)
    >>> int((~model.cleaner_.keep_mask_[:10]).sum())
    10
    """

    _task = "regression"
    _default_model = Ridge


def cleaner_or_default(cleaner: Any, random_state: Any) -> Any:
    """Return a clone of the cleaner, or where none is given a default one."""
    if cleaner is None:
        return InfluenceCleaner(random_state=random_state)
    return clone(cleaner)


def _weight_parameter(estimator: Any) -> str:
    """Return the name under which `fit` takes sample weights.

    Raises
    ------
    ValueError
        If it takes none: names the estimator.
    """
    final, prefix = estimator, ""
    while isinstance(final, Pipeline):
        name, final = final.steps[-1]
        prefix += f"{name}__"
    if has_fit_parameter(final, "sample_weight"):
        return f"{prefix}sample_weight"
    raise ValueError(
        f'strategy="weight" needs a model whose fit takes sample_weight, but '
        f'{type(final).__name__} takes none. Use strategy="filter" or "relabel".'
    )
