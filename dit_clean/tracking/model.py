"""A module, its criterion and its training data as pure functions of the parameters."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from typing import Any

import torch
from sklearn.utils import check_consistent_length
from torch import Tensor, nn
from torch.func import functional_call

from dit_clean.tracking.copies import copied
from dit_clean.tracking.criterion import SampleLoss
from dit_clean.tracking.criterion_checks import check_holds_none
from dit_clean.tracking.exclusive import TorchSettings, one_thread_at_a_time
from dit_clean.tracking.generator import replayed_rng
from dit_clean.tracking.kernels import TrackedKernels
from dit_clean.tracking.layers import check_leaves, mend_norms
from dit_clean.tracking.rows import (
    Rows,
    as_targets,
    as_tensor,
    described,
    n_rows,
    own_rows,
    sent_to,
    take_rows,
)


@dataclass(frozen=True)
class TrackedModel:
    """What a recorded step needs to be computed again.

    Attributes
    ----------
    module : nn.Module
        Private copy of the network; of its own parameter values only those are used
        that no optimizer trains.
    loss : SampleLoss
        The training criterion, per sample.
    inputs : Tensor, dict of Tensor or csr_array, first axis n_samples
        Training inputs.
    targets : Tensor of shape (n_samples, ...)
        Training targets as the criterion takes them.
    sample_weight : Tensor of shape (n_samples,) or None
        Factor of each sample's loss; the divisor of the batch stays.
    buffer_names : tuple of str or None
        Buffers whose values are those of a step; others a pass makes by itself. By
        default those the module has now, before a pass registers more of them.
    settings : TorchSettings
        In force in training, and whenever it is computed again; by default those now.
    """

    module: nn.Module
    loss: SampleLoss
    inputs: Rows
    targets: Tensor
    sample_weight: Tensor | None = None
    buffer_names: tuple[str, ...] | None = None
    settings: TorchSettings = field(default_factory=TorchSettings.now)

    def __post_init__(self) -> None:
        mend_norms(self.module)
        if self.buffer_names is None:
            names = tuple(name for name, _ in self.module.named_buffers())
            object.__setattr__(self, "buffer_names", names)

    @classmethod
    def of(
        cls,
        module: nn.Module,
        criterion: nn.Module,
        X: Any,
        y: Any,
        sample_weight: Any = None,
    ) -> "TrackedModel":
        """Return the model of a plain torch training loop.

        Parameters
        ----------
        module : nn.Module
            Network; copied.
        criterion : nn.Module
            Loss with a `reduction` of "mean", "sum" or "batchmean"; copied.
        X, y : array-like, Tensor
            Training data as module and criterion take them, first axis samples; copied,
            floats of X in the precision of the module.
        sample_weight : array-like of shape (n_samples,), optional
            Factor of each sample's loss.

        Raises
        ------
        ValueError
            If single samples' losses cannot be read off the criterion, it holds
            parameters of the module, there is not one target, one weight and one row of
            each input for each sample, or the module cannot be copied.
        """
        check_leaves(module)
        dtype = next((p.dtype for p in module.parameters()), None)
        rows, targets = own_rows(X, dtype), as_targets(y).clone()
        weight = None if sample_weight is None else as_tensor(sample_weight).clone()
        inputs = rows.values() if isinstance(rows, Mapping) else [rows]
        lengths = [range(n_rows(part)) for part in inputs]
        check_consistent_length(*lengths, targets, weight)
        loss = SampleLoss.of(criterion)
        check_holds_none(criterion, module)
        return cls(copied(module), loss, rows, targets, weight)

    @property
    def n_samples(self) -> int:
        """Number of rows of the X given to fit."""
        return n_rows(self.inputs)

    @cached_property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.module.parameters()).device

    @cached_property
    def _modules(self) -> list[nn.Module]:
        return list(self.module.modules())

    @cached_property
    def _has_ties(self) -> bool:
        """Whether a parameter or buffer has several names, of which one is given."""
        module = self.module
        return any(
            len(list(named())) < len(list(named(remove_duplicate=False)))
            for named in (module.named_parameters, module.named_buffers)
        )

    @cached_property
    def kernels(self) -> TrackedKernels:
        """What the network computes with."""
        return TrackedKernels(self.module, self.loss.criterion)

    def to(self, device: Any) -> "TrackedModel":
        """Return the model on a torch device; its data go to the CPU.

        Batches are sent to the device when they are needed.
        """
        return replace(
            self,
            module=copied(self.module).to(device),
            loss=self.loss.to(device),
            inputs=sent_to("cpu", self.inputs),
            targets=self.targets.cpu(),
            sample_weight=sent_to("cpu", self.sample_weight),
        )

    @one_thread_at_a_time
    def forward(
        self, params: Mapping[str, Tensor], X: Any, *, training: bool = False
    ) -> Tensor:
        """Return the module's output for X, shape (n, ...), under `params`.

        `params` holds buffers too, if the module has any; what the pass writes to them
        is lost. With ``training=False`` (the default) layers such as dropout are in
        their evaluation mode.

        Raises
        ------
        ValueError
            If a buffer is missing.
        """
        self.module.train(training)
        variables = {**params, **self._copied_buffers(params)}
        try:
            return self._output(variables, X)
        except (RuntimeError, TypeError, IndexError) as error:
            trained_on = described(self.inputs)
            error.add_note(f"Inputs: {described(X)}. In training: {trained_on}.")
            raise

    def _copied_buffers(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        names = self.buffer_names or ()
        missing = [name for name in names if name not in params]
        if missing:
            raise ValueError(
                f"The module has buffers, and values were given for its parameters, "
                f"but not for {missing[0]!r}. Give those of the step too: "
                "trajectory.variables(trajectory.state(step))."
            )
        return {name: params[name].clone() for name in names}

    def _output(self, params: dict[str, Tensor], X: Any) -> Tensor:
        X = sent_to(self.device, X)
        args, kwargs = ((), dict(X)) if isinstance(X, Mapping) else ((X,), {})
        values = params if torch.is_grad_enabled() else self._as_weights(params)
        with self.kernels:
            return functional_call(
                self.module, values, args, kwargs, tie_weights=self._has_ties
            )

    def _as_weights(self, params: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return values that require gradients where the module's own do.

        A forward pass may take gradients by its weights, under no_grad too.
        """
        trained = [n for n, p in self.module.named_parameters() if p.requires_grad]
        return params | {
            name: params[name].detach().requires_grad_()
            for name in trained
            if name in params
        }

    def log_probabilities(self, params: Mapping[str, Tensor], X: Any) -> Tensor:
        """Return log class probabilities, shape (n, n_classes), under `params`."""
        return self.loss.log_probabilities(self.forward(params, X))

    def losses(self, params: Mapping[str, Tensor], X: Any, y: Tensor) -> Tensor:
        """Return the loss of each given sample, shape (n,), in evaluation mode.

        Targets may have other shapes than those of training; a loss of one's own would
        broadcast them, so this is checked.
        """
        output, y = self.forward(params, X), sent_to(self.device, y)
        losses = self.loss.each(output, y)
        self.loss.check_samples_independent(output, y)
        return losses

    @one_thread_at_a_time
    def batch_losses(
        self,
        params: dict[str, Tensor],
        indices: Tensor,
        rng_state: Tensor | None = None,
        modes: tuple[bool, ...] | None = None,
        *,
        each_label: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor | float]:
        """Return training-mode losses of a batch, their shares and their divisor.

        Parameters
        ----------
        params : dict of str to Tensor
            Parameters (and buffers) of the step; buffers are written to.
        indices : Tensor of shape (n_batch,)
            Rows of the training data.
        rng_state : Tensor or None
            Generator state that dropout drew from in training.
        modes : tuple of bool or None
            Whether each submodule was in training mode; None if all were.
        each_label : bool, default=False
            Whether to return the losses under each possible label; all 0 for samples
            whose own label the criterion ignores.

        Returns
        -------
        losses : Tensor of shape (n_batch,) or (n_batch, n_classes)
            Each sample's loss: as labeled, times its sample weight, or under each
            label, without.
        shares : Tensor like losses
            1, or under each label the sample weight at the given one and 0 elsewhere.
        divisor : Tensor or float
            The batch loss of training is ``(shares * losses).sum() / divisor``.
        """
        X, y = self.batch(indices)
        set_modes(self._modules, modes)
        with replayed_rng(rng_state, self.device):
            output = self._output(params, X)
            losses = (
                self.loss.each_label(output)
                if each_label
                else self.loss.each(output, y)
            )
        if each_label:
            classes = torch.arange(losses.shape[1], device=y.device)
            shares = (y[:, None] == classes).to(losses)
            losses = losses.masked_fill(self.loss.ignores(y)[:, None], 0)
        else:
            shares = torch.ones_like(losses)
        if self.sample_weight is not None:
            factors = self.sample_weight[indices].to(losses)
            if each_label:
                shares = shares * factors[:, None]
            else:
                losses = losses * factors
        return losses, shares, self.loss.divisor(y, losses.dtype)

    def training_loss(
        self, output: Tensor, indices: Tensor, removed: Tensor | None = None
    ) -> Tensor:
        """Return the scalar that training differentiates for a batch.

        Parameters
        ----------
        output : Tensor of shape (n_batch, ...)
            Output of the network for the batch.
        indices : Tensor of shape (n_batch,)
            Rows of the training data.
        removed : Tensor of bool, shape (n_samples,), or None
            Samples whose loss terms are left out; the divisor stays.
        """
        y = sent_to(self.device, self.targets[indices])
        if self.sample_weight is None and removed is None:
            return self.loss.batch(output, y)
        losses = self.loss.each(output, y)
        if self.sample_weight is not None:
            losses = losses * self.sample_weight[indices].to(losses)
        if removed is not None:
            losses = losses * (~removed[indices]).to(losses)
        return losses.sum() / self.loss.divisor(y, losses.dtype)

    def batch(self, indices: Tensor) -> tuple[Any, Tensor]:
        """Return inputs and targets of the training rows at `indices`."""
        X = sent_to(self.device, take_rows(self.inputs, indices))
        return X, sent_to(self.device, self.targets[indices])


def get_modes(modules: Iterable[nn.Module]) -> tuple[bool, ...] | None:
    """Return whether each module is in training mode; None if all are."""
    modes = [module.training for module in modules]
    return None if all(modes) else tuple(modes)


def set_modes(modules: Iterable[nn.Module], modes: tuple[bool, ...] | None) -> None:
    """Put each module into its mode; None: all into training mode."""
    pairs = list(zip(modules, modes or repeat(True), strict=False))
    others = [(module, mode) for module, mode in pairs if module.training != mode]
    for module, mode in others:
        module.train(mode)  # which may do more, in classes of one's own
    for module, mode in pairs if others else ():  # it has set those below, too
        module.training = mode
