"""When training has converged, read off the held-out curve."""

from collections.abc import Callable

import numpy as np


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
