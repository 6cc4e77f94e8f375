"""What the forward pass of a step starts from, noticed while recording."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dit_clean.tracking.generator import get_rng_state
from dit_clean.tracking.layers import may_depend_on_mode, may_draw
from dit_clean.tracking.model import get_modes
from dit_clean.tracking.recorder_checks import check_precision, check_same_pass


class PassWatch:
    """Tells the modes of layers, and the random state, that passes of steps start from.

    Of a step with several passes that have gradients: those of the first one in the
    optimizer's closure, if it has one; else the passes have to be alike. Where all
    passes of a network are alike only the first step of an epoch is looked at: to be
    told of a pass takes 6 us, a look at the random state 10 us.

    Parameters
    ----------
    module, criterion : nn.Module
        What is being trained, and its loss. Hooked from `begin` to `end` only.

    Attributes
    ----------
    modes : tuple of bool or None
        Whether each of ``module.modules()`` was in training mode; None if all were,
        or none minds.
    """

    def __init__(self, module: nn.Module, criterion: nn.Module):
        self._module, self._modules = module, list(module.modules())
        self._device = next(module.parameters()).device
        self._draws = any(map(may_draw, [*self._modules, criterion]))
        self._may_differ = self._draws or any(map(may_depend_on_mode, self._modules))
        self._is_first = True
        self._has_passed = self._is_updating = False
        self._hook: RemovableHandle | None = None
        self._bits = b""
        self.modes: tuple[bool, ...] | None = None

    def begin_epoch(self) -> None:
        """Look at the next step in any case."""
        self._is_first = True

    def begin(self) -> None:
        """Watch the passes of a step."""
        if not (self._may_differ or self._is_first):
            return
        self._has_passed = self._is_updating = self._is_first = False
        # Before hooks of others, which may draw random numbers.
        self._hook = self._module.register_forward_pre_hook(
            _BeforePass(self), prepend=True
        )
        self._look()

    def before_pass(self) -> None:
        """Note what a pass starts from.

        Raises
        ------
        RuntimeError
            If it runs under autocast, or starts from something else than one before.
        """
        if not torch.is_grad_enabled():
            return
        check_precision(self._device)
        if not self._may_differ or (self._is_updating and self._has_passed):
            return
        modes, bits = get_modes(self._modules), self._bits
        self._look()
        if self._has_passed:
            check_same_pass((self.modes, bits), (modes, self._bits))
        self._has_passed, self.modes = True, modes

    def before_update(self, *, has_closure: bool) -> None:
        """Note the modes if no pass was seen: of module.forward, or a compiled one.

        Parameters
        ----------
        has_closure : bool
            Whether passes are still to come, which the update follows.
        """
        self._is_updating = True
        if has_closure:
            self._has_passed = False
        elif self._may_differ and not self._has_passed:
            self._has_passed, self.modes = True, get_modes(self._modules)

    def end(self) -> None:
        """Leave the module as it was found."""
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def drawn_from(self) -> Tensor | None:
        """Return the random state of the pass if it has been drawn from, else None."""
        if not self._draws or self._present()[1] == self._bits:
            return None
        return self._state

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

    __name__ = "before_pass"  # torch.jit.script asks for it

    def __init__(self, watch: PassWatch | None = None):
        self.watch = watch

    def __call__(self, module: nn.Module, inputs: Any) -> None:
        # What a compiler reads here it would watch: it would compile at every step.
        if self.watch is not None and not torch.compiler.is_compiling():
            self.watch.before_pass()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _BeforePass, ()
