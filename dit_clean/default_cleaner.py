"""The parameter `cleaner` of the estimators that contain one."""

from typing import Any

from sklearn.base import clone

from dit_clean.cleaner import InfluenceCleaner


class CleanerParameter:
    """A `cleaner` that may be None: then it is a default one with `random_state`."""

    cleaner: Any
    random_state: Any

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params
            By name. ``cleaner__window`` and the like set parameters of the cleaner,
            and make a default one where `cleaner` is None.

        Returns
        -------
        self : object
        """
        is_nested = any(name.startswith("cleaner__") for name in params)
        if is_nested and params.get("cleaner", self.cleaner) is None:
            seed = params.get("random_state", self.random_state)
            params["cleaner"] = InfluenceCleaner(random_state=seed)
        return super().set_params(**params)

    def _unfitted_cleaner(self) -> Any:
        """Return a clone of the cleaner, or where none is given a default one."""
        if self.cleaner is None:
            return InfluenceCleaner(random_state=self.random_state)
        return clone(self.cleaner)
