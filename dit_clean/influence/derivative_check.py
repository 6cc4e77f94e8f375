"""Refusing networks whose second derivatives torch does not have, or has wrong."""

from contextlib import suppress
from itertools import chain, islice

import torch
from torch import Tensor, nn

from dit_clean.influence.batch_norm import check_norms
from dit_clean.influence.difference_quotients import (
    BatchAt,
    follows_statistics,
    has_right_gradients,
    has_right_products,
    outputs,
    products,
)
from dit_clean.influence.functional import leaves_of
from dit_clean.influence.padding import check_padding
from dit_clean.influence.separability_check import check_separable
from dit_clean.tracking import StepRecord, TrackedModel, TrainingState, Trajectory
from dit_clean.tracking.criterion_checks import PENALTY
from dit_clean.tracking.exclusive import one_thread_at_a_time
from dit_clean.tracking.generator import get_rng_state
from dit_clean.tracking.layers import is_known
from dit_clean.tracking.storage import are_same
from dit_clean.warning import warn

N_ROWS = 4
"""Samples of the batch that derivatives are compared on."""
SAME = 1e-4
"""Relative difference of losses that are the same: a GPU may sum in another order."""
N_REPEATS = 8
"""Passes that random numbers of another generator are looked for in."""
NO_DERIVATIVE = (
    "derivative",
    "double backward",
    "donated buffer",
    "use_reentrant",
    "with out=",
)
"""What torch's errors say of functions that cannot be differentiated twice."""
REPLACEMENTS = {
    "embedding_bag": "Replace EmbeddingBag by Embedding and a mean.",
    "hardsigmoid": "Replace it by torch.nn.functional.relu6(x + 3) / 6.",
    "donated buffer": "Track the module that has not been compiled.",
    "with out=": "Replace CrossMapLRN2d by LocalResponseNorm.",
    "use_reentrant": "Call what torch.utils.checkpoint calls directly, while training "
    "is tracked.",
}
"""What to do about some of them."""


@one_thread_at_a_time
def check_differentiable(trajectory: Trajectory) -> None:
    """Check that the network can be differentiated twice.

    And that the loss of one sample does not depend on the others of its batch. At its
    first parameters, once, and its last ones: a counter may change what the network
    computes.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run; it may have no steps yet.

    Raises
    ------
    ValueError
        Names the operation without a second derivative, the criterion that mixes up
        samples, the network whose second derivatives are wrong, or the layer of batch
        normalization that moves its running statistics by itself.

    Notes
    -----
    Cost, at each of the two: one double backward of a few samples; for a loss of one's
    own one more forward pass; and where the network is not made of torch's own layers
    alone some twenty more of these, one more double backward and six to ten gradients.
    """
    if not trajectory.is_differentiable:
        begun = 0 in trajectory.store
        state = trajectory.store[0] if begun else trajectory.replayer.reader.state()
        _check_at(trajectory, state)
    if trajectory.n_steps:
        _check_at(trajectory, trajectory.state(trajectory.n_steps))
    trajectory.is_differentiable = True


def _check_at(trajectory: Trajectory, state: TrainingState) -> None:
    """Check the derivatives at a state."""
    model, layout = trajectory.model, trajectory.layout
    rows = _rows_that_count(model)
    record = StepRecord(0, 0, rows, (), (), get_rng_state(model.device))
    step, name = BatchAt(model, layout, record, state), type(model.module).__name__
    has_own = not all(map(is_known, model.module.modules()))
    if has_own:
        check_norms(trajectory, record, state)
        _check_late_buffers(name, step)
    if has_own or not is_known(model.loss.criterion):
        _check_parameters(name, step)
    try:
        grad, *_ = products(step, torch.zeros_like(state.params))
    except (NotImplementedError, RuntimeError) as error:
        if not any(words in str(error) for words in NO_DERIVATIVE):
            raise
        raise ValueError(
            f"{name} or its loss has no second derivative, which influence needs: "
            f"{error} {_replacement(str(error))}"
        ) from error
    check_padding(model.module, layout.unflatten(grad))
    check_separable(model, layout, state)
    if has_own:
        _check_own(name, step)
        _check_evaluation(name, step)
    elif not is_known(model.loss.criterion):
        _check_own(type(model.loss.criterion).__name__, step)


def _check_parameters(name: str, step: BatchAt) -> None:
    """Raise if a pass computes with other parameters than those it is given."""
    model, passes = step.model, [_losses(step)]  # a pass may make constants, too
    with suppress(Exception):  # queries will tell
        passes.append(outputs(step.at(step.state.params.detach().requires_grad_())))
    own = dict(model.module.named_parameters())
    constants = [own[name] for name in own.keys() - step.layout.names]
    known = {*map(id, constants), *map(id, model.loss.unreduced.parameters())}
    for leaf in chain.from_iterable(map(leaves_of, passes)):
        if isinstance(leaf, nn.Parameter) and id(leaf) not in known:
            raise ValueError(
                f"{name} or its loss computes with a parameter of shape "
                f"{tuple(leaf.shape)} that it is not given by name: one that is held "
                "in a list beside its layer, or by the loss, or of another network. "
                f"Use the weights of layers by their names. {PENALTY} If nobody trains "
                "it: requires_grad_(False)."
            )


def _check_late_buffers(name: str, step: BatchAt) -> None:
    """Raise if passes go on to change buffers that an earlier pass has registered.

    No state holds these, so that they are constants.
    """

    def late_buffers() -> dict[str, Tensor]:
        _losses(step)
        return {
            buffer: values.clone()
            for buffer, values in step.model.module.named_buffers()
            if buffer not in step.state.buffers
        }

    if not (before := late_buffers()):
        return
    for buffer, values in late_buffers().items():
        if not are_same(values, before.get(buffer, values)):
            raise ValueError(
                f"{name} registers its buffer {buffer!r} in its first pass and changes "
                "it in later ones, which influence does not follow. Register it in "
                "__init__."
            )


def _losses(step: BatchAt) -> Tensor:
    """Return the losses of a pass whose parameters require gradients."""
    model, layout, record, state = step
    params = layout.unflatten(state.params.detach().requires_grad_())
    variables = state.copied_buffers() | params
    rows, rng_state = record.sample_indices, record.rng_state
    return model.batch_losses(variables, rows, rng_state)[0]


def _check_own(culprit: str, step: BatchAt) -> None:
    """Check what torch's own layers and losses need no check of."""
    if not _repeats_itself(step):
        raise ValueError(
            f"{culprit} does not compute the same twice, so that a step cannot be "
            "repeated. Draw random numbers by torch's functions, not by Python's, "
            "numpy's or a torch.Generator of its own. Compute what changes in training "
            "(a temperature, a rate) from a number of passes, which the forward pass "
            "itself counts in an integer buffer."
        )
    are_right = has_right_products(step)
    if are_right is None:
        warn(
            f"The second derivatives of {culprit} cannot be checked: it does not "
            "compute in double precision, where differences of gradients would show "
            "them. Have it make its tensors in the precision of its inputs "
            "(X.new_zeros)."
        )
    if are_right is False:
        raise ValueError(
            f"The second derivatives of {culprit} are wrong: torch's differ from what "
            "its gradients show. Operations with a gradient of their own do that "
            "(autograd.Function, once_differentiable), detach() and torch.no_grad() "
            "within the forward pass, and torch.utils.checkpoint. Replace them while "
            "training is tracked."
        )
    if follows_statistics(step) is False:
        raise ValueError(
            f"{culprit} reads running statistics of batch normalization in a way that "
            "gradients do not follow: by detach(), torch.no_grad() or .data, or after "
            "the same pass has moved them. Influence goes through them, for they "
            "depend on earlier steps: read them before the pass of their layer, "
            "self.running_mean.clone()."
        )


def _check_evaluation(name: str, step: BatchAt) -> None:
    """Check the gradients that queries take, of outputs in evaluation mode."""
    if has_right_gradients(step) is False:
        raise ValueError(
            f"The gradients of {name} in evaluation mode, which queries are asked in, "
            "are wrong: torch's differ from what its outputs show. detach(), "
            "torch.no_grad(), torch.set_grad_enabled(self.training), numpy, rounding "
            "and argmax within the forward pass do that. Leave them to the caller: "
            "under torch.no_grad() no pass keeps anything."
        )


def _replacement(error: str) -> str:
    """Return what to use in place of what torch cannot differentiate twice."""
    known = (use for words, use in REPLACEMENTS.items() if words in error)
    return next(known, "Replace it by other operations, while training is tracked.")


def _repeats_itself(step: BatchAt) -> bool:
    """Tell whether losses come out the same, up to rounding, from one random state."""
    with torch.no_grad():
        first = _losses(step)
        allowed = SAME * first.norm()
        differences = ((_losses(step) - first).norm() for _ in range(N_REPEATS))
        return not any(bool(difference > allowed) for difference in differences)


def _rows_that_count(model: TrackedModel) -> Tensor:
    """Return the first samples whose loss counts: labels may be ignored or weigh 0.

    Others make up the number, since batch statistics are of more than one sample.
    """

    def counts(row: int) -> bool:
        target = model.targets[row].to(model.device)  # where class weights lie
        return bool(model.loss.label_weight(target).any())

    found = list(islice(filter(counts, range(model.n_samples)), N_ROWS))
    others = (row for row in range(model.n_samples) if row not in found)
    return torch.as_tensor([*found, *islice(others, N_ROWS - len(found))])
