"""Warnings that name the user's own line, whatever lies between it and the cause."""

import inspect
import warnings

PACKAGES = ("dit_clean", "imblearn", "joblib", "sklearn", "skorch", "torch")
BETWEEN = (*PACKAGES, "contextlib", "functools")
"""Modules whose frames may lie between the user's call and a warning."""


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the innermost line that is in none of the modules `BETWEEN`.

    Parameters
    ----------
    message : str
        What was found, and what to do.
    category : type, default=UserWarning
        By which filters know it.
    """
    frame, level = inspect.currentframe(), 1
    while frame and _package(frame.f_globals) in BETWEEN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _package(variables: dict[str, object]) -> str:
    return str(variables.get("__name__", "")).partition(".")[0]
