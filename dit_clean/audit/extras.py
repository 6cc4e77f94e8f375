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
        raise missing_extra(module.partition(".")[0], purpose) from error


def missing_extra(package: str, purpose: str) -> ImportError:
    """Return the error that says how to install a missing library."""
    return ImportError(
        f"{purpose} needs {package}, which is not installed. "
        "Install it with: pip install 'dit-clean[audit]'"
    )
