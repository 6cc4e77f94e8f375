"""Libraries of the extra `audit`, imported when they are used."""

from importlib import import_module
from typing import Any


def require(module: str, purpose: str) -> Any:
    """Import a library of the extra `audit`.

    Parameters
    ----------
    module : str
        Dotted name.
    purpose : str
        What it is needed for: the subject of the error message.

    Raises
    ------
    ImportError
        If it is not installed: says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs {module.partition('.')[0]}, which is not installed. "
            "Install it with: pip install 'dit-clean[audit]'"
        ) from error
