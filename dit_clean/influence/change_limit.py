"""Changes by single samples that no update could have made."""

from torch import Tensor

from dit_clean.tracking import StepRecord, TrainingState
from dit_clean.warning import warn


class ChangeLimit:
    """Warns, once in a reverse pass, where derivatives of updates say too much.

    Optimizers that scale each element of the parameters by its own gradients move it by
    a few learning rates at most, whatever the gradient. Where the gradients of a batch
    cancel in an element, its scale is next to nothing, and the derivative of its update
    may be larger by orders of magnitude than what leaving out any sample can do.

    Parameters
    ----------
    optimizer : str
        Its name, for the warning.
    """

    def __init__(self, optimizer: str):
        self.optimizer, self._largest, self._has_warned = optimizer, 0.0, False

    def check(
        self,
        record: StepRecord,
        states: tuple[TrainingState, TrainingState],
        adjoint: Tensor,
        contributions: Tensor,
    ) -> None:
        """Warn if leaving out a sample of a step changes a query beyond its limit.

        Which is the largest update of any element, made in all of them and always in
        the direction that changes the query. Ordinary samples reach a tenth of it.

        Parameters
        ----------
        record : StepRecord
            The step.
        states : tuple of TrainingState
            Before and after it.
        adjoint : Tensor of shape (n_queries, n_params)
            Of the parameters after it.
        contributions : Tensor of shape (n_queries, ...)
            Changes of the queries.
        """
        largest = float(contributions.abs().max())
        if self._has_warned or largest <= self._largest:
            return
        self._largest, (before, after) = largest, states
        update = (after.params - before.params).abs().max()
        if largest <= float(update * adjoint.abs().sum(dim=1).max()):
            return
        self._has_warned = True
        warn(
            f"By first order, leaving a sample out of step {record.step} (epoch "
            f"{record.epoch}) changes a query by more than all elements of that update "
            f"can: gradients cancel there, and the derivative of {self.optimizer} says "
            "nothing of finite changes. The largest influences are not to be believed: "
            "measure them by leave_one_out, ask for a later window with "
            'history="window", or train with SGD.'
        )
