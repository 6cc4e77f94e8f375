"""What the forward pass of a step starts from, noticed while recording."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from dit_clean.tracking.generator import get_rng_state
from dit_clean.tracking.layers import draws_by_value, may_depend_on_mode, may_draw
from dit_clean.tracking.model import get_modes


class _GeneratorState(NamedTuple):
    """State of the generator, and its bytes, which compare faster than tensors."""

    state: Tensor
    bits: bytes


class PassWatch:
    """Tells the modes of layers, and the random state, that passes of steps start from.

    If a step has several passes with gradients, the first one inside the optimizer's
    closure counts; without a closure all have to be alike. Where all passes of a
    network are alike only the first step of an epoch is looked at: a hook costs 6 us
    a pass, a look at the random state 10 us.

    Passes that draw random numbers mostly go on from where the one before left the
    generator, so that this is all a replay has to know. It is looked at as soon as the
    pass is over: whatever else the loop draws, then or later, makes the next pass start
    elsewhere, which is seen.

    Parameters
    ----------
    module, criterion : nn.Module
        What is being trained, and its loss. Hooked from `begin` to `end` only.

    Attributes
    ----------
    modes : tuple of bool or None
        Whether each of ``module.modules()`` was in training mode; None if all were,
        or if no layer depends on it.
    """

    def __init__(self, module: nn.Module, criterion: nn.Module):
        self._module, self._modules = module, list(module.modules())
        self._device = next(module.parameters()).device
        self._draws = any(map(may_draw, [*self._modules, criterion]))
        # Else a run without some samples would draw other numbers at all later steps.
        self._can_follow = self._draws and not any(map(draws_by_value, self._modules))
        # After the first step, only if there have been draws: a hook takes 6 us too.
        self._follows, self._has_drawn = self._can_follow, False
        self._may_differ = self._draws or any(map(may_depend_on_mode, self._modules))
        self._is_first = True
        self._has_passed = self._is_updating = False
        self._hooks: list[RemovableHandle] = []
        self._start: _GeneratorState | None = None
        self._end: _GeneratorState | None = None
        self._left: _GeneratorState | None = None
        self._depth = 0
        self.modes: tuple[bool, ...] | None = None

    @property
    def left(self) -> Tensor | None:
        """Random state where the last pass that drew left the generator, if known."""
        return None if self._left is None else self._left.state

    def begin_epoch(self) -> None:
        """Look at the next step in any case."""
        self._is_first = True

    def begin(self) -> bool:
        """Watch the passes of a step, and tell whether there is a need to."""
        if not (self._may_differ or self._is_first):
            return False
        self._has_passed = self._is_updating = self._is_first = False
        self._depth, self._is_awaited = 0, False
        # Before hooks of others, which may draw random numbers, and after them.
        hook = _PassHook(self.before_pass)
        self._hooks = [self._module.register_forward_pre_hook(hook, prepend=True)]
        if self._follows:
            hook = _PassHook(self.after_pass)
            self._hooks.append(self._module.register_forward_hook(hook))
        self._start, self._end = self._look(), None
        return True

    def before_pass(self) -> None:
        """Note what a pass starts from.

        Raises
        ------
        RuntimeError
            If it runs under autocast, or starts from something else than one before.
        """
        self._depth += 1  # a module may call itself
        if not torch.is_grad_enabled():
            return
        _check_precision(self._device)
        if not self._may_differ or (self._is_updating and self._has_passed):
            return
        modes, start = get_modes(self._modules), self._look()
        if self._has_passed:
            _check_same_pass((self.modes, _bits(self._start)), (modes, _bits(start)))
        self._has_passed = self._is_awaited = True
        self._start = start
        self._note_modes(modes)

    def after_pass(self) -> None:
        """Note where the pass that counts leaves the generator."""
        self._depth -= 1
        if self._is_awaited and self._depth == 0:
            self._end, self._is_awaited = self._look(), False

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
            self._has_passed = True
            self._note_modes(get_modes(self._modules))

    def _note_modes(self, modes: tuple[bool, ...] | None) -> None:
        if modes != self.modes:  # one copy for all steps
            self.modes = modes

    def end(self) -> None:
        """Leave the module as it was found."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def rng_state_to_keep(self) -> Tensor | None:
        """Return the random state of the step's pass if a replay needs it.

        None if nothing was drawn, or if the pass went on from `left`, which is
        brought up to date.
        """
        if self._start is None:
            return None
        drew = self._drew(self._start)
        self._has_drawn = self._has_drawn or drew
        self._follows = self._can_follow and self._has_drawn
        if not drew:
            return None
        goes_on = _bits(self._left) == self._start.bits
        self._left = self._end
        return None if goes_on else self._start.state

    def _drew(self, start: _GeneratorState) -> bool:
        if self._end is not None and self._end.bits != start.bits:
            return True
        # The loss may draw too, and a pass of module.forward is not seen.
        return _bits(self._look()) != start.bits

    def _look(self) -> _GeneratorState | None:
        if not self._draws:
            return None
        state = get_rng_state(self._device)
        return _GeneratorState(state, state.numpy().tobytes())


def _bits(found: _GeneratorState | None) -> bytes:
    return b"" if found is None else found.bits


class _PassHook:
    """Hook of the module that reports its forward passes to the watch.

    In copies of the module, and in saved ones, it reports to nobody.
    """

    __name__ = "pass_hook"  # torch.jit.script asks for it

    def __init__(self, tell: Callable[[], None] | None = None):
        self.tell = tell

    def __call__(self, module: nn.Module, *values: Any) -> None:
        # A compiler guards all that it reads: it would compile anew at every step.
        if self.tell is not None and not torch.compiler.is_compiling():
            self.tell()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return _PassHook, ()


def _check_precision(device: torch.device) -> None:
    """Raise in a forward pass under autocast, which no record can repeat."""
    if torch.is_autocast_enabled(device.type):
        raise RuntimeError(
            "Training under autocast (mixed precision) cannot be tracked: steps are "
            "repeated in the precision of the parameters. Train without autocast, in "
            "float32, or in bfloat16 throughout: module.to(torch.bfloat16)."
        )


def _check_same_pass(before: Any, now: Any) -> None:
    """Raise if two passes of one step start from other modes or random numbers."""
    if before != now:
        raise RuntimeError(
            "The network runs twice within one step, both times with gradients, in "
            "other modes of its layers (training, evaluation) or with other random "
            "numbers: which of the two the step follows cannot be told. Put a look at "
            "the outputs under torch.no_grad(), and accumulate no gradients over "
            "passes of layers that draw random numbers."
        )
