"""Whether, and when, training has converged, read off the held-out curve."""

from collections.abc import Callable

import numpy as np

from dit_clean.detection.evidence import TINY
from dit_clean.warning import warn

LEAST_FALL = 0.04
"""Fall of held-out loss, as a part of it, below which it may be jitter."""
STILL_FALLING = 0.27
"""Part of the fall of held-out loss at the end of training (see `late_fall`) from which
on more training pays."""


class UnfinishedTrainingWarning(UserWarning):
    """Networks were still learning when training ended."""


def convergence_window(
    held_out_loss: np.ndarray, explained: Callable[[slice], float] | None = None
) -> tuple[int, int]:
    """Return the epochs up to twice the best one, [0, 2 best + 2), or all.

    On the given labels, so that no clean data are needed: the held-out loss falls while
    the network learns what labels have in common, and rises when it starts to repeat
    single wrong ones. Long after that turning point its answers carry no news. But the
    loss may also rise because the network grows too sure of answers that go on to
    improve, as with many wrong labels in a rare class. So all epochs count where they
    explain the given labels better.

    Parameters
    ----------
    held_out_loss : ndarray of shape (n_epochs,)
        Mean loss of held-out samples at the end of each epoch.
    explained : callable, optional
        ``explained(window)`` -> how well the evidence of a window explains the given
        labels, see `window_likelihood`; without it all epochs are not tried.

    Returns
    -------
    start, stop : int
        Half-open range of epochs, at least one.

    Examples
    --------
    >>> convergence_window(
    ...     np.array([2.0, 1.0, 0.6, 0.5, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1])
    ... )
    (0, 8)
    """
    n_epochs = len(held_out_loss)
    stop = min(n_epochs, 2 * int(np.argmin(held_out_loss)) + 2)
    if explained is not None and stop < n_epochs:
        candidates = slice(0, stop), slice(0, n_epochs)
        stop = max(candidates, key=explained).stop
    return 0, stop


def late_fall(held_out_loss: np.ndarray, least: float = LEAST_FALL) -> float:
    """Return how much of the fall of held-out loss came at the end of training.

    Of the fall from the first third of training to the last one, the part from the
    second on: means over thirds, since single epochs jitter.

    Parameters
    ----------
    held_out_loss : ndarray of shape (n_epochs,)
        Mean loss of held-out samples at the end of each epoch.
    least : float, default=0.04
        Fall, as a part of the loss, below which it may be jitter.

    Returns
    -------
    share : float
        At most 1, negative where the loss rises again; 0 where it hardly falls at all,
        or there are fewer than three epochs.

    Examples
    --------
    >>> round(late_fall(np.array([2.0, 1.0, 0.6, 0.5, 0.5, 0.5])), 2)
    0.05
    >>> late_fall(np.array([2.0, 1.75, 1.5, 1.25, 1.0, 0.75]))
    0.5
    """
    if len(held_out_loss) < 3:  # noqa: PLR2004
        return 0.0
    thirds = np.array_split(held_out_loss, 3)
    first, second, last = (float(third.mean()) for third in thirds)
    if first <= last or first - last < least * last:
        return 0.0
    return min(1.0, (second - last) / (first - last))


def late_gain(explained: Callable[[slice], float], n_epochs: int) -> float:
    """Return how much more the last third of training explains than the second one.

    Parameters
    ----------
    explained : callable
        ``explained(window)`` -> how much the evidence of a window explains of the given
        labels beyond a guess, see `window_likelihood`.
    n_epochs : int
        Epochs of training.

    Returns
    -------
    gain : float
        As a part of what the second third explains; 0 if there are fewer than three
        epochs.

    Examples
    --------
    >>> round(late_gain(lambda window: window.stop, n_epochs=30), 2)
    0.5
    """
    if n_epochs < 3:  # noqa: PLR2004
        return 0.0
    _, second, last = np.array_split(np.arange(n_epochs), 3)
    before, after = (
        explained(slice(int(third[0]), int(third[-1]) + 1)) for third in (second, last)
    )
    return (after - before) / (abs(before) + TINY)


def warn_of_unfinished_training(fall: float, remedy: str) -> None:
    """Warn if the networks had not learned yet what they can when training ended.

    Parameters
    ----------
    fall : float
        What `late_fall` returns.
    remedy : str
        How these networks are trained more.

    Warns
    -----
    UnfinishedTrainingWarning
        Right labels that they have not learned yet look wrong.
    """
    if fall < STILL_FALLING:
        return
    warn(
        f"Held-out loss was still falling when training ended: {fall:.0%} of its "
        "fall from the first third of training to the last came after the second. "
        f"Right labels that the networks have not learned yet look wrong. {remedy}",
        UnfinishedTrainingWarning,
    )
