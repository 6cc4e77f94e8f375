"""Windows of training: half-open ranges of epochs or steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, Self, TypeAlias

from dit_clean.tracking import Trajectory
from dit_clean.warning import warn

WindowLike: TypeAlias = "Window | Steps | str | int | tuple[float, float] | None"
GridLike: TypeAlias = "Iterable[WindowLike] | int | None"

THIRDS = {"early": 0, "middle": 1, "late": 2}
PAIR = 2
NAMED = ("full", *THIRDS, "convergence")


@dataclass(frozen=True)
class _Range:
    """A half-open range [start, stop), like `range`."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def __contains__(self, number: int) -> bool:
        return self.start <= number < self.stop

    @property
    def slice(self) -> slice:
        """The window as an index of a time axis."""
        return slice(self.start, self.stop)

    def cut_off(self, length: int) -> Self:
        """Return what of the window lies in a run that stopped after `length`.

        For a window that it did not reach, its last epoch or step.
        """
        return type(self)(min(self.start, length - 1), min(self.stop, length))


class Window(_Range):
    """A window of epochs, half-open like `range`.

    Attributes
    ----------
    start, stop : int
        Epochs; `stop` is not included.
    """

    def in_steps(self, trajectory: Trajectory) -> "Steps":
        """Return the steps of these epochs of a recorded run."""
        starts = trajectory.epoch_starts
        return Steps(starts[self.start], starts[self.stop])


@dataclass(frozen=True)
class Steps(_Range):
    """A window of steps (optimizer updates), half-open like `range`.

    Attributes
    ----------
    start, stop : int
        Steps; `stop` is not included.

    Examples
    --------
    >>> from dit_clean.influence import Steps
    >>> Steps(0, 50)  # the first fifty updates
    Steps(start=0, stop=50)
    """

    def __post_init__(self) -> None:
        if not (_is_whole(self.start) and _is_whole(self.stop)):
            raise ValueError(f"{self!r}: steps are counted, so give whole numbers.")


def resolve_window(
    window: Any, n_epochs: int, n_scheduled: int | None = None
) -> Window:
    """Return a window of epochs.

    Parameters
    ----------
    window : Window, str, int, pair of int, pair of float, or None
        - None or "full": the whole run;
        - "early", "middle", "late": a third of it;
        - "convergence": the last third, where no held-out curve tells (a fitted
          cleaner has one);
        - k: the last k epochs;
        - (start, stop) of int: epochs, `stop` not included;
        - (start, stop) of float: fractions of training.
    n_epochs : int
        Epochs of the run.
    n_scheduled : int, optional
        Epochs that it was to have, if it may have stopped early: windows up to there
        are taken, and cut off. Of one that the run did not reach its last epoch is
        left, with a warning.

    Raises
    ------
    ValueError
        If the window is unknown, empty, or outside of training; or is in steps, which
        only a recorded run can tell (`window_in_steps`).
    """
    if isinstance(window, Steps):
        raise ValueError(
            f"{window!r} is in steps, and a window of epochs is needed here. Give it "
            "to `influence` or `timeline` of a run or of a fitted cleaner."
        )
    if window is None:
        window = "full"
    if isinstance(window, str):
        return _named_window(window, n_epochs)
    length = n_epochs if n_scheduled is None else n_scheduled
    if _is_whole(window):
        _check_inside(Window(length - window, length), length, window)
        return Window(max(n_epochs - int(window), 0), n_epochs)
    start, stop = _bounds(window)
    if _is_whole(start) and _is_whole(stop):
        found = Window(int(start), int(stop))
        _check_inside(found, length, window)
        if found.start >= n_epochs:
            warn(
                f"Training stopped after {n_epochs} epochs, before window={window!r} "
                "begins: its last epoch is taken. Fractions, as (0.5, 1.0), fit any "
                "number."
            )
        return found.cut_off(n_epochs)
    if not 0 <= start < stop <= 1:
        raise ValueError(
            f"window={window!r} is outside of training: fractions must satisfy "
            "0 <= start < stop <= 1. Give whole epochs as ints."
        )
    # Rounded alike, so that adjacent fractions give adjacent windows.
    first = min(round(start * n_epochs), n_epochs - 1)
    return Window(first, max(round(stop * n_epochs), first + 1))


def window_in_steps(window: Any, trajectory: Trajectory) -> Steps:
    """Return the steps of a recorded run that a window stands for.

    Parameters
    ----------
    window : Steps, or what `resolve_window` takes
        Steps are taken as they are, all else is in epochs.
    trajectory : Trajectory
        Recorded run.

    Raises
    ------
    ValueError
        If the window is unknown, empty, or outside of training.
    """
    if isinstance(window, Steps):
        _check_inside(window, trajectory.n_steps, window, "steps")
        return window
    return resolve_window(window, trajectory.n_epochs).in_steps(trajectory)


def grid_in_steps(windows: Any, trajectory: Trajectory) -> list[Steps]:
    """Return the steps of a recorded run that each window of a grid stands for.

    Parameters
    ----------
    windows : None, int or iterable of windows
        None is one window for each epoch; a number, so many windows of (nearly) equal
        numbers of steps; else any windows that `window_in_steps` takes, in any order,
        which may overlap and leave gaps.
    trajectory : Trajectory
        Recorded run.

    Raises
    ------
    ValueError
        If a window is outside of training, or there are none or more than steps.
    """
    if windows is None:
        return [Steps(*bounds) for bounds in pairwise(trajectory.epoch_starts)]
    n_steps = trajectory.n_steps
    if _is_whole(windows):
        if not 1 <= windows <= n_steps:
            raise ValueError(
                f"windows={windows!r}: a run of {n_steps} steps has 1 to {n_steps} "
                "windows of equal length."
            )
        bounds = [i * n_steps // int(windows) for i in range(int(windows) + 1)]
        return [Steps(*pair) for pair in pairwise(bounds)]
    return [window_in_steps(window, trajectory) for window in listed_windows(windows)]


def listed_windows(windows: Any) -> list[Any]:
    """Return a list of windows, or raise if there are none, or the name of one."""
    if isinstance(windows, str):
        raise ValueError(
            f"windows={windows!r} is the name of one window. Give a list of windows: "
            f"[{windows!r}]."
        )
    windows = list(windows)
    if not windows:
        raise ValueError("windows is empty. Give one window at least, or None.")
    return windows


def _named_window(name: str, n_epochs: int) -> Window:
    if name == "full":
        return Window(0, n_epochs)
    third = THIRDS.get("late" if name == "convergence" else name)
    if third is None:
        raise ValueError(f"Unknown window {name!r}. Known names: {', '.join(NAMED)}.")
    start, stop = third * n_epochs // 3, (third + 1) * n_epochs // 3
    return Window(start, max(stop, start + 1))


def _is_whole(number: Any) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def _bounds(window: Any) -> tuple[Any, Any]:
    if isinstance(window, Window):
        return window.start, window.stop
    is_pair = isinstance(window, tuple | list) and len(window) == PAIR
    if is_pair and all(isinstance(bound, Real) for bound in window):
        return tuple(window)
    raise ValueError(
        f"window={window!r} is no window. Give one of {', '.join(NAMED)}, a number of "
        "last epochs, a pair (start, stop) of epochs (ints) or fractions (floats), or "
        "Steps(start, stop)."
    )


def _check_inside(
    window: _Range, length: int, given: Any, unit: str = "epochs"
) -> None:
    if not 0 <= window.start < window.stop <= length:
        fits = " Fractions, as (0.5, 1.0), fit any number." if unit == "epochs" else ""
        raise ValueError(
            f"window={given!r} is outside of training: it has {length} {unit}, so "
            f"0 <= start < stop <= {length} is needed.{fits}"
        )
