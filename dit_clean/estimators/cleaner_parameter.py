"""The parameter `cleaner` of the estimators that contain one."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from dit_clean.estimators.cleaner import InfluenceCleaner

META_ESTIMATOR_FOR = {
    "classification": "CleanedClassifier",
    "regression": "CleanedRegressor",
}
"""Which meta-estimator to use for each `task`."""


class CleanerParameter:
    """A `cleaner` that may be None: then it is a default one.

    `random_state` is the seed of a cleaner that has none of its own.
    """

    cleaner: Any
    random_state: Any
    _task: str | None = None

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params
            By name. ``cleaner__window`` and the like set parameters of the cleaner, or
            of another part, and make a default one where it is None.

        Returns
        -------
        self : object
        """
        for part, make_default in self._defaults().items():
            prefix = f"{part}__"
            nested = [name for name in params if name.startswith(prefix)]
            if nested and params.get(part, getattr(self, part)) is None:
                own = {name.removeprefix(prefix): params.pop(name) for name in nested}
                # Complete before it is set: a wrong name leaves nothing behind.
                params[part] = make_default().set_params(**own)
        return super().set_params(**params)

    def _defaults(self) -> dict[str, Callable[[], Any]]:
        """Return what makes the parts that stand for None, unfitted."""
        return {"cleaner": InfluenceCleaner}

    @property
    def _is_frozen(self) -> bool:
        return isinstance(self.cleaner, FrozenEstimator)

    def _fitted_cleaner(self, X: Any, y: Any, **fit_params: Any) -> Any:
        """Return a fitted clone of the cleaner, or the frozen one.

        Raises
        ------
        ValueError
            If a frozen cleaner was fitted on other data, or a cleaner is for the other
            kind of y.
        """
        if self._is_frozen:
            return self._frozen_cleaner(X, y, fit_params)
        cleaner = self._unfitted_cleaner()
        if self._task is None:
            return cleaner.fit(X, y, **fit_params)
        self._check_task(cleaner.task)
        return cleaner.set_params(task=self._task).fit(X, y, **fit_params)

    def _frozen_cleaner(self, X: Any, y: Any, fit_params: dict[str, Any]) -> Any:
        """Return the cleaner that is fitted already, or raise if it cannot be used."""
        cleaner = self.cleaner.estimator
        _check_is_cleaner(cleaner)
        check_is_fitted(cleaner)
        findings = cleaner._findings
        self._check_task("classification" if findings.is_classifier else "regression")
        given = [name for name, value in fit_params.items() if value is not None]
        if given:
            raise ValueError(
                f"{' and '.join(given)} would have no effect: the frozen cleaner is "
                "fitted already. Give it to the cleaner's own fit."
            )
        n_fitted, n_given = len(cleaner.keep_mask_), len(y)
        if not findings.data.equals(X, np.asarray(y)):
            raise ValueError(
                f"The frozen cleaner was fitted on {n_fitted} samples, but fit got "
                f"{n_given} samples, or other inputs or labels. Fit it on the same "
                "data, or give it unfrozen."
            )
        return cleaner

    def _check_task(self, task: str) -> None:
        """Raise if a cleaner is set up for the other kind of y, or fitted on it."""
        is_task = task in META_ESTIMATOR_FOR
        if self._task is not None and is_task and task != self._task:
            raise ValueError(
                f"{type(self).__name__} is not for a cleaner whose task is {task}: "
                f"use {META_ESTIMATOR_FOR[task]}, or give the cleaner "
                f"task={self._task!r}."
            )

    def _unfitted_cleaner(self) -> Any:
        """Return a clone of the cleaner, or where none is given a default one.

        Raises
        ------
        TypeError
            If it is no cleaner.
        """
        if self.cleaner is not None:
            _check_is_cleaner(self.cleaner)
        cleaner = InfluenceCleaner() if self.cleaner is None else clone(self.cleaner)
        if self.random_state is not None and cleaner.random_state is None:
            cleaner.set_params(random_state=self.random_state)
        return cleaner


def _check_is_cleaner(cleaner: Any) -> None:
    if not isinstance(cleaner, InfluenceCleaner):
        raise TypeError(
            "cleaner must be an InfluenceCleaner, fitted and frozen or not, got "
            f"{type(cleaner).__name__}. Other steps go before the whole, in a pipeline."
        )
