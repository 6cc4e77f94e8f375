"""Meta-estimators for plain scikit-learn: clean the training data, then fit a model."""

from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from dit_clean.estimators.cleaned_model import CleanedModel


def _estimator_has(method):
    """Return the check that the (fitted) estimator has a method."""

    def check(self):
        is_fitted = hasattr(self, "estimator_")
        getattr(self.estimator_ if is_fitted else self._model(), method)
        return True

    return check


class CleanedClassifier(ClassifierMixin, CleanedModel):
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
        Seed of the cleaner, unless a given one has a seed of its own.

    Attributes
    ----------
    cleaner_ : InfluenceCleaner
        Fitted cleaner, with `suspicion_` and its other attributes.
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
    _default_model = LogisticRegression(max_iter=1000)

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

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X):
        """Return the logarithms of the model's class probabilities.

        Parameters
        ----------
        X : array, data frame or CSR matrix, first axis n_samples
            Data to predict on.

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes)
        """
        return self._answer("predict_log_proba", X)

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


class CleanedRegressor(RegressorMixin, CleanedModel):
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
        Seed of the cleaner, unless a given one has a seed of its own.

    Attributes
    ----------
    cleaner_ : InfluenceCleaner
        Fitted cleaner.
    estimator_ : regressor
        Fitted model.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    Right targets are taken to lie as far above the prediction as below it. Of skewed
    ones the long tail is flagged, and a model without it predicts too close to the
    other side; `fit` warns of it. Take the logarithm of such targets, or set the
    cleaner's `contamination`.

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
    _default_model = Ridge()
