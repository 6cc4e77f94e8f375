"""Second derivatives of torch's layers without wasted work.

Torch's double backward of a convolution always forms the gradient of its input, which
nobody asks for in the first layer, and gets the gradient of the weights from a
convolution with swapped axes, for which its kernels are slow; that of a rectified
linear unit adds a tensor of zeros. The functions here compute the same numbers, and
can be differentiated twice, not three times. And where only the products of the second
derivative are asked for, the first derivative by the weights need not be formed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from dit_clean.influence.stand_ins import StandIns

LAYERS = nn.Conv1d | nn.Conv2d | nn.Conv3d


@contextmanager
def lean_derivatives(
    module: nn.Module, not_needed: Iterable[Tensor] = ()
) -> Iterator[StandIns | None]:
    """Run the forward pass of a module in the block, and its derivatives after it.

    Acts in networks with convolutions only: elsewhere the time it takes to look at each
    operation would outweigh the gain.

    Parameters
    ----------
    module : nn.Module
        Whose forward pass it is.
    not_needed : iterable of Tensor, default=()
        Parameters by which the values of first derivatives are not needed after the
        pass. As weights of a convolution they get zeros there, whose derivatives are
        those of the true ones. Weights that are computed from parameters get the true
        ones: their second derivative needs these. So do gradients that the pass itself
        takes, by its own weights too: it goes on to compute with them.
    """
    if not any(isinstance(layer, LAYERS) for layer in module.modules()):
        yield None
        return
    not_needed_ids: set[int] = set()
    with StandIns(_replacements(not_needed_ids)) as context:
        yield context
    not_needed_ids |= {id(parameter) for parameter in not_needed}


def _convolution(
    n_dims: int, replaced: Callable[..., Tensor], not_needed_ids: set[int]
) -> Callable[..., Tensor]:
    """Return the replacement of ``torch.conv1d``, ``conv2d`` or ``conv3d``."""

    def convolution(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor:
        is_batch = input.ndim == weight.ndim and not isinstance(padding, str)
        if not (is_batch and weight.requires_grad) or _are_transformed():
            return replaced(input, weight, bias, stride, padding, dilation, groups)
        sizes = (
            [value] * n_dims if isinstance(value, int) else list(value)
            for value in (stride, padding, dilation)
        )
        options = (*sizes, False, [0] * n_dims, groups)
        given = {id(weight)} if bias is None else {id(weight), id(bias)}

        def forms_gradient() -> bool:
            return not given <= not_needed_ids

        return _Convolution.apply(input, weight, bias, options, forms_gradient)

    return convolution


class _Convolution(Function):
    """C(input, weight) + bias; C is linear in either."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        options: tuple,
        forms_gradient: Callable[[], bool],
    ) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.options, ctx.forms_gradient = options, forms_gradient
        return torch.convolution(input, weight, bias, *options)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # A graph is built for the first derivative; vmap batches the second.
        input, weight = ctx.saved_tensors
        given = grad, input, weight, ctx.needs_input_grad[:3], ctx.options
        if torch.is_grad_enabled():
            return *_Pull.apply(*given, ctx.forms_gradient()), None, None
        return *pull_back(*given), None, None


class _Pull(Function):
    """Gradients of a convolution: linear in `grad`, and in (input, weight).

    Those of weight and bias are zeros if only their derivatives are asked for.
    """

    @staticmethod
    def forward(
        ctx: Any,
        grad: Tensor,
        input: Tensor,
        weight: Tensor,
        mask: tuple[bool, ...],
        options: tuple,
        forms_gradient: bool,
    ) -> tuple[Tensor | None, ...]:
        ctx.save_for_backward(grad, input, weight)
        ctx.options = options
        if forms_gradient:
            return pull_back(grad, input, weight, mask, options)
        for_input, *_ = pull_back(grad, input, weight, (mask[0], False, False), options)
        zero = weight.new_zeros(())
        for_bias = zero.expand(weight.shape[0]) if mask[2] else None
        return for_input, zero.expand_as(weight), for_bias

    @staticmethod
    def backward(
        ctx: Any, v_input: Tensor | None, v_weight: Tensor, v_bias: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        grad, input, weight = ctx.saved_tensors
        for_grad = torch.convolution(input, v_weight, v_bias, *ctx.options)
        if v_input is not None:
            for_grad = for_grad + torch.convolution(v_input, weight, None, *ctx.options)
        mask = (ctx.needs_input_grad[1], v_input is not None, False)
        at = input if v_input is None else v_input
        for_input, for_weight, _ = pull_back(grad, at, v_weight, mask, ctx.options)
        return for_grad, for_input, for_weight, None, None, None


def pull_back(
    grad: Tensor,
    input: Tensor,
    weight: Tensor,
    mask: tuple[bool, ...],
    options: tuple,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of input, weight and bias; None where mask is False."""
    if not any(mask):
        return None, None, None
    n_biases = [weight.shape[0]] if mask[2] else None
    return torch.ops.aten.convolution_backward(
        grad, input, weight, n_biases, *options, mask
    )


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return ``max(input, 0)``."""
    if inplace:
        return nn.functional.relu_(input)
    return torch.relu(input) if _are_transformed() else _ReLU.apply(input)


def _are_transformed() -> bool:
    """Tell whether this is inside of torch.vmap or torch.func.

    They take no Function whose context is set up in its forward.
    """
    return torch._C._are_functorch_transforms_active()


class _ReLU(Function):
    """max(input, 0)."""

    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        output = torch.relu(input)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        mask = _Mask.apply if torch.is_grad_enabled() else pass_where_positive
        return mask(grad, output.detach())


class _Mask(Function):
    """Values where output > 0, else 0: its own derivative."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, output: Tensor) -> Tensor:
        ctx.save_for_backward(output)
        return pass_where_positive(values, output)

    @staticmethod
    def backward(ctx: Any, values: Tensor) -> tuple[Tensor, None]:
        return pass_where_positive(values, *ctx.saved_tensors), None


def pass_where_positive(values: Tensor, output: Tensor) -> Tensor:
    """Return `values` where `output` is positive, else 0."""
    return torch.ops.aten.threshold_backward(values, output, 0)


def _replacements(not_needed_ids: set[int]) -> Mapping[Any, Callable[..., Any]]:
    """Return what stands in for each function.

    `not_needed_ids` are identities of tensors whose gradients need not be formed; they
    are read when gradients are asked for.
    """
    return {
        torch.conv1d: _convolution(1, torch.conv1d, not_needed_ids),
        torch.conv2d: _convolution(2, torch.conv2d, not_needed_ids),
        torch.conv3d: _convolution(3, torch.conv3d, not_needed_ids),
        torch.relu: relu,
        Tensor.relu: relu,
        nn.functional.relu: relu,
    }
