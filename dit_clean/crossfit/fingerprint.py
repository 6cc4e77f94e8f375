"""What a network is made of, down to its code: part of the key of a kept run.

Classes are pickled by name, so that a pickle does not change when somebody edits the
class in a notebook.
"""

import io
import pickle
import sys
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from types import (
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any

import numpy as np
from skorch import NeuralNet
from torch.nn import Module

from dit_clean.crossfit.hashing import hash_of

LIBRARIES = {"dit_clean", "numpy", "scipy", "sklearn", "skorch", "torch"}
"""Their code changes with their versions only."""
OF_INTERPRETER = {
    "__abstractmethods__",
    "__annotate_func__",
    "__annotations__",
    "__annotations_cache__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__qualname__",
    "__static_attributes__",
    "__weakref__",
}
"""Attributes of a class that do not change what it does."""
WRAPPED = ("__func__", "func", "dispatcher", "__wrapped__")
"""Where methods, partial functions and caches hold the function that they call."""
CALLED = (type, FunctionType, MethodType, partial, property)
PLAIN = (bool, int, float, complex, str, bytes, type(None))
"""Constants: part of what a class or a function does."""


def fingerprint(net: Any) -> dict[str, Any]:
    """Return the code of all classes and functions of a network that are the user's.

    Parameters
    ----------
    net : NeuralNet
        Not yet initialized.

    Returns
    -------
    code : dict of str to list
        By dotted name, which decorated functions share with what they wrap. Followed
        from the net's parameters through bases, methods and the names and closures that
        these use; libraries are left out.

    Raises
    ------
    ValueError
        If the net cannot be pickled: names the class or function, and the remedy.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    pending = _parts_of(net)
    while pending:
        part = pending.pop()
        if id(part) in seen or not _is_own(part):
            continue
        seen.add(id(part))
        name = f"{part.__module__}.{part.__qualname__}"
        found.setdefault(name, []).append(_described(part))
        pending += _used_by(part)
    # Functions of one name (lambdas) come in no fixed order.
    return {name: sorted(described, key=repr) for name, described in found.items()}


def parameter_order(net: NeuralNet) -> dict[str, Any]:
    """Return the parameters of a net that are containers, their entries in order.

    A hash of the net does not tell apart dictionaries that differ in order alone.
    """
    parameters = net.get_params(deep=False)
    return _named({k: value for k, value in parameters.items() if _is_container(value)})


class _PartsCollector(pickle.Pickler):
    """Notes the classes and functions that are pickled by name."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.parts: list[Any] = []

    def reducer_override(self, value: Any) -> Any:
        """Note a class or function; leave the pickling as it is."""
        if isinstance(value, type | FunctionType):
            _check_importable(value)
            self.parts.append(value)
        return NotImplemented


def _parts_of(net: Any) -> list[Any]:
    collector = _PartsCollector()
    try:
        collector.dump(net)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ValueError(
            f"memory= keeps runs on disk, and this net cannot be pickled: {error}. "
            "Change the parameter it comes from, or set memory=None."
        ) from error
    return collector.parts


def _check_importable(part: Any) -> None:
    if "<" not in part.__qualname__:
        return
    if part.__qualname__ == "<lambda>":
        raise ValueError(
            "memory= keeps runs on disk, and the net has a lambda among its "
            "parameters, which has no name to find it by again. Define it by def at "
            "the top of a module, script or notebook cell, or set memory=None."
        )
    kind = "class" if isinstance(part, type) else "function"
    raise ValueError(
        f"memory= keeps runs on disk, and the net's {kind} {part.__qualname__} is "
        "defined inside a function, where it cannot be found again. Define it at the "
        "top of a module, script or notebook cell, or set memory=None."
    )


def _is_own(part: Any) -> bool:
    """Tell whether a class or function is none of a library's."""
    return _is_own_name(str(part.__module__))


def _is_own_name(module: str) -> bool:
    root = module.partition(".")[0]
    return root not in LIBRARIES and root not in sys.stdlib_module_names


def _described(part: Any) -> Any:
    """Return the code of a function, or of a class's methods, and the values they use.

    Where it stands in its file does not count.
    """
    if isinstance(part, FunctionType):
        defaults = [*(part.__defaults__ or ()), *(part.__kwdefaults__ or {}).items()]
        used = _named(_globals_of(part)), _plain(_enclosed(part)), _named(vars(part))
        return _code(part.__code__), *used, _plain(defaults)
    own = {k: v for k, v in vars(part).items() if k not in OF_INTERPRETER}
    return [(f.__qualname__, _described(f)) for f in _functions_of(part)], _named(own)


def _used_by(part: Any) -> list[Any]:
    """Return the classes and functions that a class or function may call."""
    is_class = isinstance(part, type)
    functions = _functions_of(part) if is_class else [part]
    used = [value for function in functions for value in _values_of(function)]
    if is_class:
        attributes = [inner for v in vars(part).values() for inner in _parts_in(v)]
        classes = [value for value in attributes if isinstance(value, type)]
        used += [type(part), *part.__mro__[1:], *classes]
    return [inner for value in used for inner in _parts_in(value)]


def _values_of(function: FunctionType) -> list[Any]:
    """Return what a function can reach: globals, closure, defaults and attributes."""
    own = (function.__defaults__, function.__kwdefaults__, vars(function))
    return [*_globals_of(function).values(), *_enclosed(function), *own]


def _parts_in(value: Any) -> list[Any]:
    """Return the classes and functions in a value: itself, its entries, its class."""
    parts, pending, seen = [], [value], {}
    while pending:
        value = pending.pop()
        if id(value) in seen or isinstance(value, (*PLAIN, ModuleType)):
            continue
        seen[id(value)] = value
        if isinstance(value, type | FunctionType):
            parts.append(value)  # a closure names the function that it may wrap
        elif isinstance(value, Module):
            pending += [type(module) for module in value.modules()]
        elif _is_container(value):
            pending += _entries(value)
        else:
            inner = [getattr(value, name, None) for name in WRAPPED]
            pending += [part for part in inner if isinstance(part, CALLED)]
            if _is_own(type(value)):
                pending += [type(value), *getattr(value, "__dict__", {}).values()]
    return parts


def _is_container(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.hasobject
    kinds = (Mapping, tuple, list, deque, set, frozenset, partial, property)
    return isinstance(value, (*kinds, SimpleNamespace))


def _entries(value: Any) -> Iterable[Any]:
    """Return what a container holds; what a property or partial function calls."""
    if isinstance(value, Mapping):
        return value.items()
    if isinstance(value, SimpleNamespace):
        return vars(value).items()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, partial):
        return [value.func, *value.args, value.keywords]
    if isinstance(value, property):
        return [value.fget, value.fset, value.fdel]
    return value


def _functions_of(part: type) -> list[FunctionType]:
    inner = [part for value in vars(part).values() for part in _parts_in(value)]
    return [value for value in inner if isinstance(value, FunctionType)]


def _enclosed(function: FunctionType) -> list[Any]:
    """Return the values that a function has taken from the one it was defined in."""
    return [cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)]


def _is_full(cell: CellType) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # not assigned yet
        return False
    return True


def _globals_of(function: FunctionType) -> dict[str, Any]:
    """Return what the names in a function's code stand for, looked up by name.

    Names may be attributes too: of the user's own modules, and of the modules in these,
    they are looked up there.
    """
    names, scope = _names(function.__code__), function.__globals__
    found = {name: scope[name] for name in names if name in scope}
    package = scope.get("__package__") or ""
    imported = [sys.modules.get(f"{package}.{name}") for name in names]
    imported += [sys.modules.get(name) for name in names]  # inside of the function
    pending, seen = [*found.values(), *imported], set()
    while pending:
        module = pending.pop()
        if not isinstance(module, ModuleType) or module.__name__ in seen:
            continue
        seen.add(module.__name__)
        if _is_own_name(module.__name__):
            inside = {name: v for name, v in vars(module).items() if name in names}
            found |= {f"{module.__name__}.{name}": v for name, v in inside.items()}
            pending += inside.values()
    return found


def _names(code: CodeType) -> set[str]:
    nested = [value for value in code.co_consts if isinstance(value, CodeType)]
    return set(code.co_names).union(*map(_names, nested))


def _code(code: CodeType) -> tuple[Any, ...]:
    constants = [
        _code(value) if isinstance(value, CodeType) else _plain(value)
        for value in code.co_consts
    ]
    n_args = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    names = code.co_names, code.co_varnames
    return code.co_code, *names, n_args, code.co_exceptiontable, constants


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Return a value so that it is the same in every process.

    Constants as they are, classes and functions by name, containers entry by entry,
    other values by their hash; of what cannot be pickled (modules, locks, open files)
    the name of its type, and the attributes of an object of the user's.

    Some values hold themselves: `within` are the identities of those around it.
    """
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, PLAIN):
        return repr(value)
    name = type(value).__qualname__
    if id(value) in within:
        return name
    within = (*within, id(value))
    if _is_container(value):
        entries = [_plain(part, within) for part in _entries(value)]
        is_ordered = not isinstance(value, set | frozenset)
        return [name, *(entries if is_ordered else sorted(entries, key=repr))]
    try:
        return hash_of(value)
    except Exception:
        attributes = getattr(value, "__dict__", {}) if _is_own(type(value)) else {}
        return [name, _plain(attributes, within)]
