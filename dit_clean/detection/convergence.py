"""When training has converged, read off the held-out curve."""

import numpy as np


def convergence_window(held_out_loss: np.ndarray) -> tuple[int, int]:
    """Return the epochs around the best held-out loss: [best // 2, 2 best + 2).

    Before, the network knows too little to tell right from wrong labels; after, it
    has begun to repeat the wrong ones. The best epoch is that of the given labels, so
    no clean data are needed.

    Parameters
    ----------
    held_out_loss : ndarray of shape (n_epochs,)
        Mean loss of held-out samples at the end of each epoch.

    Returns
    -------
    start, stop : int
        Half-open range of epochs, at least one.

    Examples
    --------
    >>> convergence_window(
    ...     np.array([2.0, 1.0, 0.6, 0.5, 0.55, 0.7, 0.8, 0.9, 1.0, 1.1])
    ... )
    (1, 8)
    """
    best = int(np.argmin(held_out_loss))
    return best // 2, min(len(held_out_loss), 2 * best + 2)
