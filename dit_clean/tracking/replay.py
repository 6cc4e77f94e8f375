"""Running recorded updates once more, to the same bits."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dit_clean.tracking.copies import copied
from dit_clean.tracking.generator import get_rng_state, replayed_rng
from dit_clean.tracking.layout import (
    FlatCopier,
    ParameterLayout,
    optimizer_parameters,
)
from dit_clean.tracking.model import TrackedModel, set_modes
from dit_clean.tracking.records import StepRecord
from dit_clean.tracking.storage import TrainingState

NUMBERS = {"mu_product": 1.0}
"""What optimizers keep as one number for each parameter (NAdam's product), beside
"step", and its value before the first update. Here each element has it."""


class Replayer:
    """Repeats updates with the original optimizer class on private copies.

    The operations are those of training, so states that were dropped come back
    unchanged on the same device. Cost: one training step per update.

    Parameters
    ----------
    module, optimizer : nn.Module, Optimizer
        Network and optimizer of the run; copied, not touched.
    """

    def __init__(self, module: nn.Module, optimizer: Optimizer):
        self.module, self.optimizer = copied(module, optimizer)
        self.layout = ParameterLayout.of(self.module, self.optimizer)
        self.reader = StateReader(self.module, self.optimizer)

    def to(self, device: Any) -> "Replayer":
        """Return a replayer on a torch device."""
        _, moved = copied(self.module, self)
        moved.module.to(device)
        return moved

    def iterate_states(
        self,
        model: TrackedModel,
        state: TrainingState,
        records: Sequence[StepRecord],
        removed: Tensor | None = None,
    ) -> Iterator[TrainingState]:
        """Yield the state after each of `records`, starting from `state`.

        Parameters
        ----------
        model : TrackedModel
            Criterion and training data.
        state : TrainingState
            State before the first record.
        records : sequence of StepRecord
            Consecutive steps.
        removed : Tensor of bool, shape (n_samples,), or None
            Samples whose loss terms are left out; batches, order and divisors stay.

        Yields
        ------
        state : TrainingState
            One for each record.
        """
        if not records:
            return
        self.load(state, records[0].hyper)
        rng_state = state.rng_state
        for record in records:
            rng_state = self._step(model, record, removed, rng_state)
            yield self.reader.state(rng_state=rng_state)

    def load(self, state: TrainingState, hyper: tuple[Mapping[str, Any], ...]) -> None:
        """Set parameters, buffers and optimizer state."""
        self.optimizer.state.clear()
        buffers = dict(self.module.named_buffers())
        with torch.no_grad():
            for name, values in state.buffers.items():
                # A pass may have put one of another shape in its place: a cached mask.
                buffers[name].resize_(values.shape).copy_(values)
        for params, settings, where in zip(
            optimizer_parameters(self.optimizer), hyper, self.layout.groups, strict=True
        ):
            sizes = [p.numel() for p in params]
            _write(params, state.params[where].split(sizes))
            slots = {k: v[where].split(sizes) for k, v in state.slots.items()}
            if slots:  # else nothing is kept, or no update has been made
                self._load_slots(params, slots, settings)

    def _load_slots(
        self,
        params: list[Tensor],
        slots: Mapping[str, tuple[Tensor, ...]],
        settings: Mapping[str, Any],
    ) -> None:
        """Set the optimizer state of a group, each slot given by parameter."""
        # Optimizers that count nothing (SGD) do not look at it.
        step = torch.tensor(float(settings.get("step", 0)), dtype=torch.float32)
        # Where torch's optimizers keep their numbers, and load them to.
        on_device = settings.get("capturable") or settings.get("fused")
        for i, p in enumerate(params):
            place = p.device if on_device else step.device
            own = {slot: parts[i] for slot, parts in slots.items()}
            self.optimizer.state[p] = {"step": step.to(place, copy=True)} | {
                slot: values[0].to(place, copy=True)
                if slot in NUMBERS
                else values.view(p.shape).clone()
                for slot, values in own.items()
            }

    def _step(
        self,
        model: TrackedModel,
        record: StepRecord,
        removed: Tensor | None,
        rng_state: Tensor | None,
    ) -> Tensor | None:
        """Make an update; take and return where forward passes leave the generator."""
        for group, settings in zip(
            self.optimizer.param_groups, record.settings, strict=True
        ):
            for key in group.keys() & settings.keys():
                if isinstance(group[key], Tensor):  # its precision is that of training
                    group[key].fill_(settings[key])
                else:
                    group[key] = settings[key]
        self.optimizer.zero_grad()
        set_modes(self.module.modules(), record.modes)
        X, _ = model.batch(record.sample_indices)
        rng_state = record.draws_from(rng_state)
        with model.kernels, replayed_rng(rng_state, model.device):
            output = self.module(**X) if isinstance(X, Mapping) else self.module(X)
            if rng_state is not None:
                rng_state = get_rng_state(model.device)
            loss = model.training_loss(output, record.sample_indices, removed)
            loss.backward()
        for parameter in self.reader.params:
            # As in loops that keep zeros; to others it is the same, see `check_unused`.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        return rng_state


class StateReader:
    """Copies what the next update starts from; called before every step of training.

    Parameters
    ----------
    module, optimizer : nn.Module, Optimizer
        What is being trained. Read, never changed.
    """

    def __init__(self, module: nn.Module, optimizer: Optimizer):
        self.optimizer = optimizer
        self.params = [p for group in optimizer_parameters(optimizer) for p in group]
        self._owners = [
            (name, module.get_submodule(name.rpartition(".")[0]))
            for name, _ in module.named_buffers()
        ]
        self._settings: tuple[dict[str, Any], ...] = ()
        self._values: list[list[Any]] | None = None
        self._copier = FlatCopier()
        self._slot_copiers: dict[str, FlatCopier] = defaultdict(FlatCopier)

    def buffers(self) -> dict[str, Tensor]:
        """Return copies of the module's buffers.

        By name: a module may put another tensor in a buffer's place.
        """
        return {
            name: getattr(owner, name.rpartition(".")[2]).clone()
            for name, owner in self._owners
        }

    def state(
        self,
        buffers: Mapping[str, Tensor] | None = None,
        rng_state: Tensor | None = None,
    ) -> TrainingState:
        """Return a copy of parameters, optimizer state and buffers.

        Parameters
        ----------
        buffers : dict of str to Tensor, optional
            Taken instead of the present ones.
        rng_state : Tensor, optional
            Where the last forward pass left the generator, if it is known.
        """
        states = [self.optimizer.state.get(p, {}) for p in self.params]
        names = {
            slot
            for state in states
            for slot, value in state.items()
            if slot != "step" and isinstance(value, Tensor)
        }
        slots = {}
        for slot in sorted(names):
            values = self._of_elements(slot, states)
            slots[slot] = self._slot_copiers[slot].copy(values)
        buffers = self.buffers() if buffers is None else buffers
        params = self._copier.copy(self.params)
        return TrainingState(params, slots, buffers, rng_state)

    def _of_elements(
        self, slot: str, states: Sequence[Mapping[str, Tensor]]
    ) -> list[Tensor]:
        """Return a slot of each parameter, in its shape."""
        if slot not in NUMBERS:
            return [
                state[slot] if slot in state else torch.zeros_like(p)
                for p, state in zip(self.params, states, strict=True)
            ]
        found = next(state[slot] for state in states if slot in state)
        start = torch.full_like(found, NUMBERS[slot])
        return [
            state.get(slot, start).to(p.device).expand(p.shape)
            for p, state in zip(self.params, states, strict=True)
        ]

    def settings(self) -> tuple[dict[str, Any], ...]:
        """Return each group's hyper-parameters: the same object while none changes."""
        groups = self.optimizer.param_groups
        values = [list(group.values()) for group in groups]
        if values != self._values:
            settings = tuple(map(_settings, groups))
            if settings != self._settings:
                self._settings = settings
            # Tensors and lists may change in place: they are read anew each time.
            is_lasting = not any(map(_may_change, groups))
            self._values = values if is_lasting else None
        return self._settings

    def counts(self) -> tuple[int, ...]:
        """Return how often each group's parameters were updated, if it is counted."""
        return tuple(map(self._n_updates, optimizer_parameters(self.optimizer)))

    def _n_updates(self, params: list[Tensor]) -> int:
        for parameter in params:
            # Unused parameters are not counted. Most optimizers have no state of them,
            # Adagrad has one.
            count = int(self.optimizer.state.get(parameter, {}).get("step", 0))
            if count:
                return count
        return 0


def _settings(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _number(value) for key, value in group.items() if key != "params"}


def _number(value: Any) -> Any:
    """Return a setting with numbers in place of tensors: betas may be two of them."""
    if isinstance(value, tuple | list):
        return tuple(map(_number, value))
    return value.item() if isinstance(value, Tensor) else value


def _may_change(group: Mapping[str, Any]) -> bool:
    return any(
        isinstance(part, Tensor | list)
        for key, value in group.items()
        if key != "params"
        for part in (value, *(value if isinstance(value, tuple) else ()))
    )


def _write(params: list[Tensor], values: tuple[Tensor, ...]) -> None:
    with torch.no_grad():
        for parameter, part in zip(params, values, strict=True):
            parameter.copy_(part.view(parameter.shape))
