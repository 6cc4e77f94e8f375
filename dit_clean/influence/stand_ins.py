"""Functions of torch that others stand in for, for a while."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class StandIns(TorchFunctionMode):
    """Context in which functions of torch are replaced by others.

    Parameters
    ----------
    replacements : dict of callable to callable
        What stands in for each; called with the same arguments.
    """

    def __init__(self, replacements: Mapping[Any, Callable[..., Any]]):
        super().__init__()
        self.replacements = replacements

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call what stands in for `func`, or `func`."""
        return self.replacements.get(func, func)(*args, **(kwargs or {}))


class InDouble(TorchFunctionMode):
    """Context in which casts, and tensors that are made, are in double precision.

    In this thread only: torch's default precision is that of the whole process.
    """

    CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or a cast to double in its place.

        Floats that are made of none (``torch.zeros``, a quotient of integers) have
        torch's default precision: they are made double.
        """
        func = Tensor.double if func in self.CASTS else func
        wide = {key: _widened(value) for key, value in (kwargs or {}).items()}
        result = func(*map(_widened, args), **wide)
        if _is_narrow(result) and not any(map(_has_floats, (*args, *wide.values()))):
            return result.double()
        return result


def _widened(value: Any) -> Any:
    is_narrow = isinstance(value, torch.dtype) and value.is_floating_point
    return torch.float64 if is_narrow else value


def _is_narrow(value: Any) -> bool:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return is_float and value.dtype != torch.float64


def _has_floats(value: Any) -> bool:
    is_tensor = isinstance(value, Tensor)
    return is_tensor and (value.is_floating_point() or value.is_complex())
