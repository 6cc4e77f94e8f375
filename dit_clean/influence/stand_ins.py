"""Functions of torch that others stand in for, for a while."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

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
