"""Copies of modules, and of the functions that refer to them."""

import copy
import operator
from collections.abc import Iterator, Mapping
from functools import partial
from types import CellType, FunctionType
from typing import Any

from torch import Tensor, nn


def copied(
    module: nn.Module, *others: Any, shared: Mapping[int, Tensor] | None = None
) -> Any:
    """Copy a module.

    With `others`, return a tuple: the copy, and copies of them that refer to it.

    What a pass has left in a layer (the last attention weights, say), torch cannot
    copy: the values are taken, not what they were computed from. `shared` says what is
    taken for some of its tensors, by their identities. Functions that refer to the
    module (a lambda of its __init__ that uses self) refer to the copy.
    """
    results = {
        id(value): value.detach().clone()
        for layer in module.modules()
        for attribute in vars(layer).values()
        for value in _tensors_of(attribute)
        if not value.is_leaf
    }
    results |= shared or {}
    found = copy.deepcopy((module, *others), results)
    for layer in found[0].modules():
        _rebind(vars(layer), results)
    return found if others else found[0]


def _rebind(container: Any, copies: dict[int, Any], depth: int = 3) -> None:
    """Have functions in a dict or list refer to copies, by the identities of these."""
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in list(items):
        found = value
        if isinstance(value, FunctionType):
            found = _rebound(value, copies)
        elif isinstance(value, partial):
            found = _rebound_partial(value, copies)
        elif isinstance(value, dict | list) and depth > 0:
            _rebind(value, copies, depth - 1)
        elif type(value) is tuple and depth > 0:
            parts = list(value)
            _rebind(parts, copies, depth - 1)
            found = value if all(map(operator.is_, parts, value)) else tuple(parts)
        if found is not value:
            container[key] = found


def _rebound(value: Any, copies: dict[int, Any]) -> Any:
    """Return a function that refers to copies; of anything else its copy, if any."""
    if id(value) in copies or not _refers(value, copies, set()):
        return copies.get(id(value), value)
    # Copying the cells may already have copied this function, if one of them holds it.
    cells = tuple(_rebound_cell(cell, copies) for cell in value.__closure__ or ())
    code, names = value.__code__, value.__globals__
    found = FunctionType(code, names, value.__name__, None, cells)
    found = copies.setdefault(id(value), found)
    defaults, named = value.__defaults__ or (), value.__kwdefaults__ or {}
    found.__defaults__ = tuple(_rebound(part, copies) for part in defaults)
    found.__kwdefaults__ = {name: _rebound(v, copies) for name, v in named.items()}
    vars(found).update(vars(value))
    return found


def _rebound_partial(value: Any, copies: dict[int, Any]) -> Any:
    """Return a partial function that refers to copies, itself or by its arguments."""
    parts = [value.func, *value.args, *value.keywords.values()]
    function, *arguments = rebound = [_rebound(part, copies) for part in parts]
    if all(map(operator.is_, parts, rebound)):
        return value
    n_placed = len(value.args)
    named = zip(value.keywords, arguments[n_placed:], strict=True)
    return partial(function, *arguments[:n_placed], **dict(named))


def _rebound_cell(cell: CellType, copies: dict[int, Any]) -> CellType:
    """Return the cell that the copies of all functions of this one share."""
    if id(cell) not in copies:
        copies[id(cell)] = found = CellType()
        if cell != CellType():  # which is empty
            found.cell_contents = _rebound(cell.cell_contents, copies)
    return copies[id(cell)]


def _refers(value: Any, copies: dict[int, Any], seen: set[int]) -> bool:
    """Tell whether a value has a copy, or is a function of one that has."""
    if not isinstance(value, FunctionType) or id(value) in seen:
        return id(value) in copies
    seen.add(id(value))
    cells = [cell for cell in value.__closure__ or () if cell != CellType()]
    parts = [
        *(cell.cell_contents for cell in cells),
        *(value.__defaults__ or ()),
        *(value.__kwdefaults__ or {}).values(),
    ]
    return any(_refers(part, copies, seen) for part in parts)


def _tensors_of(attribute: Any, depth: int = 3) -> Iterator[Tensor]:
    """Yield the tensors of an attribute: itself, or in containers of containers."""
    if isinstance(attribute, Tensor):
        yield attribute
    if isinstance(attribute, Mapping):
        attribute = list(attribute.values())
    if depth > 0 and isinstance(attribute, list | tuple):
        for part in attribute:
            yield from _tensors_of(part, depth - 1)
