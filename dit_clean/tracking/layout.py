"""The trained parameters as one flat vector, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class ParameterLayout:
    """Where each trained parameter lies in the flat vector theta.

    Optimizers act on each element alone, so one vector per optimizer group makes
    an update rule a handful of tensor operations however many layers there are.

    Attributes
    ----------
    names : tuple of str
        Names of the trained parameters, in the order of the optimizer's groups.
    shapes : tuple of torch.Size
        Shape of each parameter.
    groups : tuple of slice
        Elements of theta that each parameter group of the optimizer updates.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    groups: tuple[slice, ...]

    @classmethod
    def of(cls, module: nn.Module, optimizer: Optimizer) -> "ParameterLayout":
        """Return the layout of the parameters of `module` that `optimizer` trains.

        Raises
        ------
        ValueError
            If the optimizer trains a parameter that is not the module's, or the
            parameters differ in dtype or device, or are complex.
        """
        name_of = {id(p): name for name, p in module.named_parameters()}
        names, shapes, groups, kinds, start = [], [], [], set(), 0
        for params in optimizer_parameters(optimizer):
            for parameter in params:
                names.append(_check_known(name_of, parameter))
                shapes.append(parameter.shape)
                kinds.add((parameter.dtype, parameter.device))
            stop = start + sum(p.numel() for p in params)
            groups.append(slice(start, stop))
            start = stop
        _check_kinds(kinds)
        return cls(tuple(names), tuple(shapes), tuple(groups))

    @property
    def sizes(self) -> list[int]:
        """Number of elements of each parameter."""
        return [shape.numel() for shape in self.shapes]

    @property
    def n_params(self) -> int:
        """Length of theta."""
        return sum(self.sizes)

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """Return the name-keyed parameter dict of theta, as views.

        Leading axes of theta, for example (n_queries, n_params), are kept.
        """
        lead = theta.shape[:-1]
        parts = theta.split(self.sizes, dim=-1)
        named = zip(self.names, parts, self.shapes, strict=True)
        return {name: part.reshape(lead + shape) for name, part, shape in named}


def optimizer_parameters(optimizer: Optimizer) -> list[list[Tensor]]:
    """Return the trained parameters of each group of an optimizer."""
    return [
        [p for p in group["params"] if p.requires_grad]
        for group in optimizer.param_groups
    ]


class FlatCopier:
    """Copies the same tensors into one vector, again and again.

    They are updated in place, so the flat views of them are made once, and anew for
    tensors that have moved. Elements that are not in order in memory have no such view.
    """

    def __init__(self) -> None:
        self._where: list[tuple[Any, ...]] = []
        self._views: list[Tensor] = []

    def copy(self, tensors: list[Tensor]) -> Tensor:
        """Return all elements of `tensors` in one detached vector."""
        where = [(t.data_ptr(), t.dtype, t.shape, t.stride()) for t in tensors]
        if where == self._where:
            return torch.cat(self._views)
        views = [tensor.detach().reshape(-1) for tensor in tensors]
        if all(tensor.is_contiguous() for tensor in tensors):
            self._where, self._views = where, views
        return torch.cat(views)

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return FlatCopier, ()  # views are made anew, not sent along


def _check_known(name_of: Mapping[int, str], parameter: Tensor) -> str:
    if id(parameter) not in name_of:
        raise ValueError(
            f"The optimizer trains a parameter of shape {tuple(parameter.shape)} that "
            "does not belong to the module (a criterion's own, for example). Tracking "
            "needs every trained parameter in the module: move it there."
        )
    return name_of[id(parameter)]


def _check_kinds(kinds: set[tuple[torch.dtype, torch.device]]) -> None:
    if not kinds:
        raise ValueError("The network has no trainable parameter: nothing to track.")
    if len(kinds) > 1 or not next(iter(kinds))[0].is_floating_point:
        raise ValueError(
            "Tracking needs all trained parameters in one real floating-point dtype on "
            f"one device, got {sorted(map(str, kinds))}. Use module.to(dtype, device)."
        )
