"""What an update has to be like to be recorded: which parameters it is made of."""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NoReturn

from torch import Tensor, nn
from torch.optim import Optimizer

from dit_clean.tracking.layout import ParameterLayout, optimizer_parameters

SKIPPED = (
    "Multiply the branch by 0 instead of skipping it, or use SGD without momentum and "
    "weight decay."
)


def refuse_updates(n_updates: int) -> NoReturn:
    """Raise because the optimizer did not make exactly one update for a batch."""
    hint = (
        "gradient accumulation and optimizers that step several times (LBFGS) cannot "
        "be tracked."
        if n_updates
        else "where a batch is skipped, do so before `recorder.step`; gradient "
        "accumulation cannot be tracked, nor an optimizer that another has taken the "
        "place of (net.initialize_optimizer() in a callback)."
    )
    raise RuntimeError(
        f"The optimizer made {n_updates} updates for one batch. Tracking needs exactly "
        f"one: {hint}"
    )


def gradient_flags(optimizer: Optimizer) -> list[list[bool | None]]:
    """Return whether the parameters of each group have a gradient; None: frozen."""
    return [
        [p.grad is not None if p.requires_grad else None for p in group["params"]]
        for group in optimizer.param_groups
    ]


def refuse_no_gradient() -> NoReturn:
    """Raise because no parameter has a gradient."""
    raise RuntimeError(
        "No parameter has a gradient: there is nothing to make an update of. "
        "Where backward() is skipped for a batch, skip its step, before "
        "`recorder.step`."
    )


def check_unused(
    module: nn.Module,
    optimizer: Optimizer,
    flags: Sequence[Sequence[bool | None]],
    first: Sequence[Sequence[bool | None]],
) -> None:
    """Raise if it matters that parameters get no gradient in a step.

    Torch skips them, whereas the update rule sees a gradient of zero. The two
    differ under weight decay, and under momentum or averages (Adam) for a parameter
    that has a gradient in other steps, or had one before the recording.

    Parameters
    ----------
    module, optimizer : nn.Module, Optimizer
        What is being trained.
    flags, first : list of lists of bool or None
        The `gradient_flags` of this step and of the first.
    """
    params = [
        (group, parameter)
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    pairs = zip(chain(*flags), chain(*first), strict=True)
    for (group, parameter), (now, before) in zip(params, pairs, strict=True):
        decays = group.get("weight_decay", 0) != 0
        # Of a parameter without gradient so far, optimizers have no state, or have
        # made no step (Adagrad).
        state = optimizer.state.get(parameter)
        has_moved = bool(state and state.get("step", 1))
        is_passed_over = now is False and (decays or has_moved)
        if not is_passed_over and (now == before or not optimizer.state):
            continue
        if now or before or has_moved:
            raise ValueError(
                f"Parameter {_name(module, parameter)!r} gets a gradient in some steps "
                "and none in others (a branch that is skipped, stochastic depth). "
                f"{type(optimizer).__name__} passes over it then, which cannot be "
                "tracked. If only an earlier stage of training used it, freeze it with "
                f"requires_grad_(False). {SKIPPED}"
            )
        raise ValueError(
            f"Parameter {_name(module, parameter)!r} gets no gradient: the forward "
            "pass does not use it. With weight decay it cannot be tracked. If it is "
            "never used, remove it, or freeze it with requires_grad_(False). If its "
            f"branch is skipped in some steps (stochastic depth): {SKIPPED}"
        )


def check_equal_counts(module: nn.Module, optimizer: Optimizer) -> None:
    """Raise if an optimizer has updated some parameters of a group more than others.

    It did so before the recording, in an earlier stage that had some of them frozen.
    """
    for params in optimizer_parameters(optimizer):
        counts = [int(optimizer.state.get(p, {}).get("step", 0)) for p in params]
        if len(set(counts)) > 1:
            least, most = (counts.index(find(counts)) for find in (min, max))
            raise ValueError(
                f"The optimizer has updated {_name(module, params[most])!r} "
                f"{counts[most]} times and {_name(module, params[least])!r} "
                f"{counts[least]} times before the recording. Give each stage of "
                "training an optimizer of its own, or a parameter group."
            )


def check_first_momentum(module: nn.Module, optimizer: Optimizer) -> None:
    """Raise if momentum begins later in one group than in another, with dampening.

    Torch does not dampen the first gradient of a buffer. States hold zeros for a buffer
    that is not there while others are, which is the same without dampening alone.
    """
    trained = optimizer_parameters(optimizer)
    have_begun = [
        any("momentum_buffer" in optimizer.state.get(p, {}) for p in params)
        for params in trained
    ]
    for group, params, has_begun in zip(
        optimizer.param_groups, trained, have_begun, strict=True
    ):
        is_damped = group.get("momentum", 0) != 0 and group.get("dampening", 0) != 0
        if is_damped and params and not has_begun and any(have_begun):
            raise ValueError(
                f"The parameter group of {_name(module, params[0])!r} begins "
                "its momentum when other groups have begun theirs, and with dampening, "
                "which torch leaves out of the first step: that cannot be tracked. Set "
                "dampening=0, or let momentum begin with the first step."
            )


def check_same_groups(
    flags: Sequence[Sequence[Any]], first: Sequence[Sequence[Any]]
) -> None:
    """Raise if an optimizer has other groups, by the `gradient_flags` now and first."""
    if list(map(len, flags)) != list(map(len, first)):
        raise RuntimeError(
            "The optimizer's parameter groups have changed since the recording began. "
            "Track each stage of training by itself, with a StepRecorder of its own."
        )


def check_same_parameters(
    layout: ParameterLayout, module: nn.Module, optimizer: Optimizer, epoch: int
) -> None:
    """Raise if other parameters are trained than when the recording began.

    Raises
    ------
    ValueError
        Names one of them, and the epoch.
    """
    before = layout.names
    now = ParameterLayout.of(module, optimizer).names
    changed = sorted(set(before) ^ set(now))
    if changed:
        what = "unfrozen" if changed[0] in now else "frozen"
        raise ValueError(
            f"Parameter {changed[0]!r} was {what} in epoch {epoch}, while training was "
            "tracked. Freeze and unfreeze before the first batch only, or track each "
            "stage by itself."
        )


def _name(module: nn.Module, parameter: Tensor) -> str:
    return next(name for name, p in module.named_parameters() if p is parameter)
