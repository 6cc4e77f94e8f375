"""What cleaned classifiers and regressors share: clean, then fit a model."""

from collections.abc import Callable, Iterable, Iterator
from inspect import Parameter, signature
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import RFE, RFECV
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.validation import check_is_fitted, has_fit_parameter
from skorch import NeuralNet

from dit_clean.checks import check_parameters, is_one_of
from dit_clean.data.columns import column_values, places_of
from dit_clean.data.inputs import checked_data, checked_weight, warn_of_other_order
from dit_clean.data.tables import TableEncoder, is_frame
from dit_clean.estimators.cleaner_parameter import META_ESTIMATOR_FOR, CleanerParameter
from dit_clean.estimators.failed_fits import unchanged_on_failure
from dit_clean.gaps import is_missing

KINDS = {"classification": "classifier", "regression": "regressor"}
PARAMETERS = {"strategy": is_one_of("filter", "weight", "relabel")}
HAND_ON = (
    RFE,
    StackingClassifier,
    StackingRegressor,
    TransformedTargetRegressor,
    VotingClassifier,
    VotingRegressor,
)
"""Models whose `fit` names no weights, but hands them on without metadata routing."""
WITH_OTHERS = (
    FrozenEstimator,
    MetaEstimatorMixin,
    Pipeline,
    TransformedTargetRegressor,
)
"""Models that hand X on, to others or to steps before them."""
TEXT_BY = {"categorical_features", "kernel"}
"""Parameters of models that may read text."""
OWN_ENCODER = (
    "gets the data frame as it is: the cleaner encodes categories and fills in missing "
    "values for itself alone. A model of numbers needs an encoder of its own, an "
    "imputer, or both, in a pipeline."
)


class CleanedModel(CleanerParameter, MetaEstimatorMixin, BaseEstimator):
    """Cleans the training data, then fits `estimator` on what remains.

    A subclass says what the `_task` is, and what the `_default_model` is.
    """

    _task: str
    _default_model: BaseEstimator

    def __init__(
        self, estimator=None, cleaner=None, strategy="filter", *, random_state=None
    ):
        self.estimator = estimator
        self.cleaner = cleaner
        self.strategy = strategy
        self.random_state = random_state

    @unchanged_on_failure
    def fit(self, X, y=None, *, X_val=None, y_val=None, **fit_params):
        """Clean X and y, then fit the model.

        Parameters
        ----------
        X : array, data frame or CSR matrix, first axis n_samples
            Training inputs.
        y : array-like of shape (n_samples,)
            Training labels or targets, some of them wrong.
        X_val, y_val : like X and y, optional
            Clean validation samples for the cleaner.
        **fit_params
            For the model's `fit`, such as `sample_weight`; with
            ``strategy="weight"`` it is multiplied by the cleaner's weights. Values with
            one entry per row follow their rows. ``groups``, rows that belong together,
            are for the cleaner, and for a model whose `fit` takes them (a search).
            Where metadata routing is switched on, parameters go to whom they were
            requested for: cleaner, model or both.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there are weights and the model takes none, X has missing values or
            text and the model is known to take none, the model or y is of the other
            kind, or a frozen cleaner was fitted on other data.
        TypeError
            If the model takes no such parameter in its `fit`.
        """
        check_parameters(self, PARAMETERS)
        estimator = clone(self._model())
        check_model(estimator, self._task)
        to_cleaner, to_model = self._routed(fit_params, estimator)
        X, y = checked_data(self, X, y)
        _check_reads(estimator, y)
        _check_reads_frame(estimator, X)
        is_by_step = "sample_weight" not in to_model
        name, weight = _pop_weight(to_model, estimator)
        is_weighted = weight is not None or self.strategy == "weight"
        if is_weighted and not (is_by_step and weight is not None):
            _check_takes_weight(estimator)
        warn_of_other_order(X, weight, ("X", "sample_weight"))
        weight = checked_weight(weight, len(y))
        cleaner = self._fitted_cleaner(X, y, X_val=X_val, y_val=y_val, **to_cleaner)
        if self.strategy == "weight":
            own = cleaner.sample_weight_
            weight = own if weight is None else own * weight
        if is_weighted:
            to_model[name] = weight
        if self.strategy == "relabel":
            y = cleaner.suggested_label_
        if self.strategy == "filter":
            n_samples = len(y)
            X, y = cleaner.filter(X, y)
            to_model = {
                name: cleaner.filter(value) if has_rows(value, n_samples) else value
                for name, value in to_model.items()
            }
        try:
            fitted = estimator.fit(X, y, **to_model)
        except (ValueError, TypeError) as error:
            if is_frame(X) and (any(places_of(X)[1:]) or _has_gaps(X)):
                error.add_note(f"{type(estimator).__name__} {OWN_ENCODER}")
            raise
        self.cleaner_, self.estimator_ = cleaner, fitted
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
        model = _tags_of(self._model())
        tags.input_tags.sparse = model is not None and model.input_tags.sparse
        tags.target_tags.required = True
        return tags

    def get_metadata_routing(self):
        """Return who gets which parameter of `fit`, as scikit-learn asks for it.

        Returns
        -------
        routing : MetadataRouter
        """
        fit_to_fit = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(self)
        router.add(estimator=self._model(), method_mapping=fit_to_fit)
        if not self._is_frozen:
            router.add(cleaner=self._unfitted_cleaner(), method_mapping=fit_to_fit)
        return router

    def _routed(self, fit_params: dict[str, Any], model: Any) -> tuple[dict, dict]:
        """Return the parameters of the cleaner's and of the model's `fit`."""
        if not (fit_params and get_config()["enable_metadata_routing"]):
            to_cleaner = {k: v for k, v in fit_params.items() if k == "groups"}
            to_model = {k: v for k, v in fit_params.items() if k != "groups"}
            _check_takes(model, to_model)
            if _takes_groups(model):
                return {} if self._is_frozen else to_cleaner, dict(fit_params)
            return to_cleaner, to_model
        routed = process_routing(self, "fit", **fit_params)
        to_cleaner = routed.cleaner.fit if "cleaner" in routed else {}
        return dict(to_cleaner), dict(routed.estimator.fit)

    def _model(self) -> Any:
        return self._made_model() if self.estimator is None else self.estimator

    def _defaults(self) -> dict[str, Callable[[], Any]]:
        return super()._defaults() | {"estimator": self._made_model}

    def _made_model(self) -> Any:
        model = clone(self._default_model)
        if get_config()["enable_metadata_routing"]:
            model.set_fit_request(sample_weight=True)
        return make_pipeline(TableEncoder(), model)

    def _answer(self, method: str, X: Any) -> Any:
        check_is_fitted(self, "estimator_")
        return getattr(self.estimator_, method)(checked_data(self, X))


def check_model(model: Any, task: str) -> None:
    """Raise if a model cannot predict (as a cleaner cannot), or is of another kind."""
    # Before fit some have it in their class only (stacking).
    if not (hasattr(model, "predict") or hasattr(type(model), "predict")):
        raise TypeError(
            f"estimator must be a model that can predict, got {type(model).__name__}. "
            "The cleaner goes into the parameter cleaner."
        )
    tags = _tags_of(model)
    kind = None if tags is None else tags.estimator_type
    if kind in (None, KINDS[task]):
        return
    others = [META_ESTIMATOR_FOR[task] for task in KINDS if KINDS[task] == kind]
    uses = [f" For it use {other}." for other in others]
    raise ValueError(
        f"estimator must be a {KINDS[task]}, got {type(model).__name__} of the kind "
        f"{kind}.{''.join(uses)}"
    )


def _check_reads(model: Any, y: Any) -> None:
    """Raise if a skorch net is to be trained on names of classes."""
    final, labels = _final_model(model)[0], np.asarray(y)
    own = type(final).__module__.partition(".")[0] == "skorch"
    if not (own and isinstance(final, NeuralNet)) or labels.dtype.kind in "iufb":
        return
    if any(isinstance(label, str) for label in labels.tolist()):
        raise TypeError(
            "A skorch net as model takes the numbers of classes, not their names, and "
            "y holds texts (as net of the cleaner it takes both). Give "
            "sklearn.preprocessing.LabelEncoder().fit_transform(y)."
        )


def _check_reads_frame(model: Any, X: Any) -> None:
    """Raise if X has gaps or text, and a model of scikit-learn is known to take none.

    Those of others may not say what they take, nor those that train another model.
    """
    is_own = type(model).__module__.partition(".")[0] == "sklearn"
    is_free = isinstance(model, WITH_OTHERS) or callable(getattr(model, "kernel", None))
    if not is_frame(X) or not is_own or is_free:
        return
    tags = get_tags(model)
    inputs = tags.input_tags
    may_read_text = inputs.string or inputs.categorical or TEXT_BY & vars(model).keys()
    problem = ""
    if not inputs.allow_nan and _has_gaps(X):
        problem = "missing values"
    elif not may_read_text and any(map(_is_text, _categories(X))):
        problem = "text"
    if problem and not tags.no_validation:
        name = type(model).__name__
        raise ValueError(f"X has {problem}, which {name} cannot read. It {OWN_ENCODER}")


def _categories(X: Any) -> Iterator[Any]:
    """Yield a value of each column of a data frame that holds no numbers."""
    for places in places_of(X)[1:]:
        for i in places:
            known = (v for v in column_values(X, i) if not is_missing(v))
            yield next(known, None)


def _is_text(value: Any) -> bool:
    """Tell whether a value is a text that is no number."""
    try:
        float(value if isinstance(value, str) else 0)
    except ValueError:
        return True
    return False


def _has_gaps(X: Any) -> bool:
    """Tell whether values of a data frame are missing."""
    if hasattr(X, "isna"):
        return bool(X.isna().to_numpy().any())
    return any(X.null_count().row(0))


def _tags_of(model: Any) -> Any:
    """Return a model's tags, None of one that only has the methods of a model."""
    return get_tags(model) if hasattr(model, "__sklearn_tags__") else None


def _is_search(model: Any) -> bool:
    """Tell whether a model fits another one, with parameters that it chooses."""
    return hasattr(model, "estimator") and hasattr(model, "error_score")


def _takes_groups(model: Any) -> bool:
    """Tell whether `fit` takes groups; that of a search hands them to its splitter."""
    by_splitter = _is_search(model) or isinstance(model, RFECV)
    return by_splitter or has_fit_parameter(model, "groups")


def _check_takes(model: Any, names: Iterable[str]) -> None:
    """Raise if `fit` of a model takes no parameter of a name; weights are not asked."""
    for name in names:
        if name != "sample_weight" and not _may_take(model, name):
            raise TypeError(
                f"{type(model).__name__} takes no parameter {name!r} in its fit."
            )


def _may_take(model: Any, name: str) -> bool:
    """Tell whether `fit` takes a parameter or hands it on, a pipeline to its step."""
    if isinstance(model, Pipeline):
        step, _, inner = name.partition("__")
        return step in model.named_steps and _may_take(model.named_steps[step], inner)
    if not hasattr(model, "fit"):  # "passthrough"
        return True
    parameters = signature(model.fit).parameters
    return name in parameters or any(
        parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()
    )


def has_rows(value: Any, n_rows: int) -> bool:
    """Tell whether a value is an array, frame or list with one entry per row."""
    if isinstance(value, list | tuple):
        return len(value) == n_rows
    shape: Any = getattr(value, "shape", ())
    return len(shape) > 0 and shape[0] == n_rows


def _pop_weight(parameters: dict[str, Any], model: Any) -> tuple[str, Any]:
    """Take the sample weights out of parameters of `fit`; the model's name for them.

    A pipeline's weights are those of its last step, by its name or by none.
    """
    is_routed = get_config()["enable_metadata_routing"]
    prefix = "" if is_routed else _final_model(model)[1]
    name = f"{prefix}sample_weight"
    given = [key for key in {"sample_weight", name} if parameters.get(key) is not None]
    if len(given) > 1:
        raise TypeError(
            f"fit got sample_weight and {name}, which are the weights of the same "
            "rows. Give one of them."
        )
    found = [parameters.pop(key, None) for key in ("sample_weight", name)]
    return name, next((weight for weight in found if weight is not None), None)


def _check_takes_weight(estimator: Any) -> None:
    """Raise if `fit` takes no sample weights."""
    is_routed = get_config()["enable_metadata_routing"]
    final = estimator if is_routed else _final_model(estimator)[0]
    hands_on = _requests_weights(final) if is_routed else _hands_on_weights(final)
    if not (has_fit_parameter(final, "sample_weight") or hands_on):
        none = "none"
        if is_routed:
            none += ", and no model in it has set_fit_request(sample_weight=True)"
        raise ValueError(
            'sample_weight and strategy="weight" need a model whose fit takes '
            f"sample_weight, but {type(final).__name__} takes {none}. Use "
            'strategy="filter" or "relabel", without sample_weight.'
        )


def _final_model(model: Any) -> tuple[Any, str]:
    """Return what pipelines and searches train, and the prefix of its parameters."""
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        final, prefix = _final_model(last)
        return final, f"{name}__{prefix}"
    # A search hands on what its fit gets.
    return _final_model(model.estimator) if _is_search(model) else (model, "")


def _hands_on_weights(model: Any) -> bool:
    # Of them an RFECV alone needs metadata routing for it.
    return isinstance(model, HAND_ON) and not isinstance(model, RFECV)


def _requests_weights(model: Any) -> bool:
    """Tell whether a model in this one has requested them by metadata routing."""
    routing = get_routing_for_object(model)
    return "sample_weight" in routing.consumes("fit", ["sample_weight"])
