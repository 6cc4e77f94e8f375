"""Refusing runs whose steps are not what their records say."""

from collections.abc import Iterable

from torch import Tensor

from dit_clean.influence.batch_norm import unfollowed_buffers, warn_of_buffers
from dit_clean.influence.derivative_check import check_differentiable
from dit_clean.influence.functional import loss_gradient
from dit_clean.influence.update_check import check_update
from dit_clean.tracking import StepRecord, TrainingState, Trajectory
from dit_clean.tracking.exclusive import one_thread_at_a_time
from dit_clean.tracking.storage import MAX_STRIDE
from dit_clean.warning import warn


@one_thread_at_a_time
def check_replay(trajectory: Trajectory, steps: Iterable[int] | None = None) -> None:
    """Check that updates follow from their records, and derivatives from gradients.

    Catches whatever training did that the records do not know of: clipped or
    accumulated gradients, penalties added outside of the criterion, layers that draw
    random numbers elsewhere. And networks whose second derivatives are wrong. `track`
    checks all this by itself, but of the steps only the first and the first of the
    last epoch; questions check some of the others. What a loop does once, amid an epoch
    (weights clamped, momentum set to zero), may go unseen by all of these: give
    ``steps=range(trajectory.n_steps)`` where that matters.

    Parameters
    ----------
    trajectory : Trajectory
        Recorded run.
    steps : iterable of int, optional
        Steps to check, by default the first and the last of each epoch. Where a step's
        state or the one after it is not kept, the steps between the kept states around
        it are checked as one; they are passed over where these states are more than
        `MAX_STRIDE` steps apart.

    Raises
    ------
    RuntimeError
        Names the steps whose recorded updates differ.
    IndexError
        If a step is outside of the run.
    ValueError
        If there are no steps; if `steps` is None and the network has no second
        derivatives, or wrong ones.

    Warns
    -----
    UserWarning
        If `steps` is None, and no step can be checked or training has changed buffers
        in a way that influence does not follow.

    Notes
    -----
    Cost: one gradient of the batch loss for each step that is checked (and a training
    step, if the network has buffers), and a training step for each but the last that is
    checked together with others.
    """
    store = trajectory.store
    if not trajectory.records:
        raise ValueError("The run has no steps: record some with `recorder.step`.")
    asked = _ends_of_epochs(trajectory) if steps is None else list(steps)
    outside = [step for step in asked if not 0 <= step < trajectory.n_steps]
    if outside:
        raise IndexError(
            f"Step {outside[0]} is outside of the run: it has steps 0 to "
            f"{trajectory.n_steps - 1}."
        )
    ends = []
    for t in sorted({store.nearest(step) for step in asked}):
        end = store.following(t)
        if end is not None and end <= t + MAX_STRIDE:
            ends.append(end)
    if steps is None and not ends:
        warn(
            f"Nothing could be checked: the states kept, {store.steps}, are more than "
            f"{MAX_STRIDE} steps apart. Keep more of them, StateStore(max_bytes)."
        )
    if steps is None:
        check_differentiable(trajectory)
    for end in ends:
        record, state = trajectory.records[end - 1], trajectory.state(end - 1)
        grad = loss_gradient(trajectory.model, trajectory.layout, record, state)
        buffers = _moved_buffers(trajectory, record, state)
        check_update(trajectory, record, state, grad, buffers)
    if steps is None:
        warn_of_buffers(unfollowed_buffers(trajectory))


def _moved_buffers(
    trajectory: Trajectory, record: StepRecord, state: TrainingState
) -> dict[str, Tensor]:
    """Return the buffers that a step leaves behind, by running it again."""
    if not state.buffers:
        return {}
    replayed = trajectory.replayer.iterate_states(trajectory.model, state, [record])
    return dict(next(replayed).buffers)


def _ends_of_epochs(trajectory: Trajectory) -> list[int]:
    """Return the first and the last step of each epoch."""
    starts = trajectory.epoch_starts
    return [*starts[:-1], *(stop - 1 for stop in starts[1:])]
