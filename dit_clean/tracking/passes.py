"""What the forward pass of a step starts from, noticed while recording."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dit_clean.tracking.generator import get_rng_state
from dit_clean.tracking.layers import may_depend_on_mode, may_draw
from dit_clean.tracking.model import get_modes
from dit_clean.tracking.recorder_checks import check_precision, check_same_modes


class PassWatch:
    """Tells the modes of layers, and the random state, that passes of steps start from.

    Of a step with several passes: those of the last one with gradients before the
    update; in a closure, of the first. Where all passes of a network are alike there
    is nothing to tell, and only the first one of an epoch is looked at: to be told of
    a pass takes 6 us, a look at the random state 10 us.

    Parameters
    ----------
    module, criterion : nn.Module
        What is being trained, and its loss.

    Attributes
    ----------
    is_needed : bool
        Whether a layer may depend on its mode, or a layer or the loss on random
        numbers. If not, `begin`, `before_update` and `drawn_from` need no call.
    is_in_step : bool
        Whether passes belong to a step: to be set.
    modes : tuple of bool or None
        Whether each of ``module.modules()`` was in training mode; None if all were,
        or none minds.
    """

    def __init__(self, module: nn.Module, criterion: nn.Module):
        self._module, self._modules = module, list(module.modules())
        self._device = next(module.parameters()).device
        self._draws = any(map(may_draw, [*self._modules, criterion]))
        self.is_needed = self._draws or any(map(may_depend_on_mode, self._modules))
        self.is_in_step = self._has_passed = self._is_updating = False
        self.modes: tuple[bool, ...] | None = None
        self._hook: RemovableHandle | None = None
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Look at the precision of the next pass."""
        self._is_precision_known = False
        self.close()
        hook = _BeforePass(self)
        self._hook = self._module.register_forward_pre_hook(hook)

    def begin(self) -> None:
        """Forget the passes of the step before."""
        self._has_passed = self._is_updating = False
        self._look()

    def before_pass(self) -> None:
        """Note what a pass starts from.

        Raises
        ------
        RuntimeError
            If it runs under autocast, or in other modes than one before of this step.
        """
        if not (self.is_in_step and torch.is_grad_enabled()):
            return
        if self._is_updating and self._has_passed:
            return
        if not self._is_precision_known:
            check_precision(self._module)
            self._is_precision_known = True
        if not self.is_needed:
            self.close()
            return
        modes = get_modes(self._modules)
        if self._has_passed:
            check_same_modes(self.modes, modes)
        self._has_passed, self.modes = True, modes
        self._look()

    def before_update(self) -> None:
        """Note the modes if no pass was seen: of module.forward, or a compiled one."""
        self._is_updating = True
        if not self._has_passed:
            self.modes = get_modes(self._modules)

    def drawn_from(self) -> Tensor | None:
        """Return the random state of the pass if it has been drawn from, else None."""
        if not self._draws or self._present()[1] == self._bits:
            return None
        return self._state

    def close(self) -> None:
        """Look at no further pass of this epoch."""
        if self._hook is not None:
            self._hook.remove()

    def _look(self) -> None:
        if self._draws:
            self._state, self._bits = self._present()

    def _present(self) -> tuple[Tensor, bytes]:
        state = get_rng_state(self._device)
        return state, state.numpy().tobytes()  # which compare faster than tensors


class _BeforePass:
    """Hook of the module: tells of a forward pass.

    A copy of the module, or a saved one, goes without the watch.
    """

    def __init__(self, watch: PassWatch | None = None):
        self.watch = watch

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        # What a compiler reads here it would watch: it would compile at every step.
        if self.watch is not None and not torch.compiler.is_compiling():
            self.watch.before_pass()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _BeforePass, ()
