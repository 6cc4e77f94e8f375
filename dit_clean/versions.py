"""The versions of what the numbers rest on."""

import platform
from importlib.metadata import version

LIBRARIES = ("dit_clean", "numpy", "scikit_learn", "skorch", "torch")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that the numbers rest on."""
    return {"python": platform.python_version()} | {
        name: version(name.replace("_", "-")) for name in LIBRARIES
    }
