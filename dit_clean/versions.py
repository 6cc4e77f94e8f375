"""The versions of what the numbers rest on."""

import platform
from functools import cache
from importlib import metadata

LIBRARIES = ("dit_clean", "numpy", "scikit_learn", "skorch", "torch")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that the numbers rest on."""
    return {"python": platform.python_version()} | {
        name: _version(name.replace("_", "-")) for name in LIBRARIES
    }


@cache
def _version(distribution: str) -> str:
    """Return a version; kept, since every look-up parses the package's metadata."""
    return metadata.version(distribution)
