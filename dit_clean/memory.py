"""Amounts of memory as people write them, and where on disk runs are kept."""

import os
import re
from typing import Any

from joblib import Memory
from sklearn.utils.validation import check_memory

from dit_clean.warning import warn

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_bytes(amount: Any) -> int:
    """Return an amount of memory in bytes.

    Parameters
    ----------
    amount : int or str
        Bytes, or a number with a unit such as "256MiB".

    Raises
    ------
    ValueError
        If the amount cannot be read, or is not positive.

    Examples
    --------
    >>> parse_bytes("2KiB")
    2048
    """
    if isinstance(amount, int) and not isinstance(amount, bool) and amount > 0:
        return amount
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(amount))
    if match and match[2].upper() in UNITS:
        nbytes = int(float(match[1]) * UNITS[match[2].upper()])
        if nbytes > 0:
            return nbytes
    raise ValueError(
        f"Cannot read {amount!r} as an amount of memory. Give bytes as an int, or a "
        "number with a unit, such as '512MiB' or '2GiB'."
    )


def as_memory(memory: Any) -> Memory:
    """Return the store of a path, a `joblib.Memory` or None (which keeps nothing).

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(memory, os.PathLike):
        memory = os.fspath(memory)
    return check_memory(memory)


def warn_of_no_seed(memory: Any, random_state: Any, cv: Any) -> None:
    """Warn if runs are to be kept that no later fit can ask for.

    Parameters
    ----------
    memory : str, path, joblib.Memory or None
        Where they would be kept.
    random_state : int, RandomState instance or None
        None draws other seeds, so another run, at each fit.
    cv : int or splitter
        One that shuffles without a seed of its own draws other folds at each fit.

    Warns
    -----
    UserWarning
        Names the parameter to set.
    """
    if as_memory(memory).store_backend is None:
        return
    shuffles_anew = (
        getattr(cv, "shuffle", False) and getattr(cv, "random_state", 0) is None
    )
    if random_state is None or shuffles_anew:
        what = f"cv={cv!r}" if shuffles_anew else "random_state=None"
        own = "the random_state of cv" if shuffles_anew else "random_state"
        warn(
            "memory= keeps runs for later fits from the same seeds, and each fit with "
            f"{what} draws its own: what it writes is never read again. Set {own} "
            "to an int."
        )
