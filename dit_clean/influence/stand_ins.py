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
    """Context in which casts, and tensors that are made, are in double precision."""

    CASTS = (Tensor.float, Tensor.half, Tensor.bfloat16)

    def __enter__(self) -> "InDouble":
        self._default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        torch.set_default_dtype(self._default)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or a cast to double in its place."""
        func = Tensor.double if func in self.CASTS else func
        wide = {key: _widened(value) for key, value in (kwargs or {}).items()}
        return func(*map(_widened, args), **wide)


def _widened(value: Any) -> Any:
    is_narrow = isinstance(value, torch.dtype) and value.is_floating_point
    return torch.float64 if is_narrow else value
