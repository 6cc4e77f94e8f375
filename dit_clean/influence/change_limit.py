"""Changes by single samples that no update could have made."""

import torch
from torch import Tensor

from dit_clean.tracking import TrainingState
from dit_clean.warning import warn

BEYOND = 20.0
"""Times the limit from which on a change is impossible. Ordinary samples reach up to
four times: what an optimizer keeps of a gradient moves later steps, too."""


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
        self.optimizer, self._has_warned = optimizer, False
        self._update = self._slope = torch.zeros(())

    def check(
        self,
        states: tuple[TrainingState, TrainingState],
        adjoint: Tensor,
        contributions: Tensor,
    ) -> None:
        """Warn if leaving out a sample changes a query far beyond its limit.

        Which is the largest update of any element so far, made in all of them, each in
        the direction that changes the query.

        Parameters
        ----------
        states : tuple of TrainingState
            Before and after the step.
        adjoint : Tensor of shape (n_queries, n_params)
            Of the parameters after it.
        contributions : Tensor of shape (n_queries, ...)
            Changes of the queries.
        """
        if self._has_warned:
            return
        before, after = states
        update = max(map(abs, after.params.sub(before.params).aminmax()))
        self._update = torch.maximum(self._update.to(update), update)
        slope = adjoint.abs().sum(dim=1)  # takes a third of vector_norm
        self._slope = torch.maximum(self._slope.to(slope), slope)
        largest = contributions.abs().flatten(start_dim=1).amax(dim=1)
        is_beyond = largest > BEYOND * self._update * self._slope  # never, if it is NaN
        if not is_beyond.any():
            return
        self._has_warned = True
        warn(
            "By first order, leaving one sample out of a step changes a query by far "
            "more than all elements of any update can: gradients cancel there, and the "
            f"derivative of {self.optimizer} says nothing of finite changes. The "
            "largest influences are not to be believed: measure them by leave_one_out, "
            'ask for a later window with history="window", or train with SGD.'
        )
