"""A fit that fails or is interrupted leaves the estimator as it was."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

Fit = TypeVar("Fit", bound=Callable[..., Any])


def unchanged_on_failure(fit: Fit) -> Fit:
    """Return `fit` so that it changes the estimator only if it comes to its end."""

    @wraps(fit)
    def complete_or_not_at_all(estimator: Any, *args: Any, **kwargs: Any) -> Any:
        before = vars(estimator).copy()
        try:
            return fit(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return complete_or_not_at_all  # type: ignore[return-value]
