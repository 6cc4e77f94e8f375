"""What all displays share."""

from abc import ABC, abstractmethod
from typing import Any, Self

from dit_clean.audit.data import AuditData


class Display(ABC):
    """A picture of an audit.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the picture; several for a gallery.
    figure_ : matplotlib Figure
        Figure that holds them.
    """

    ax_: Any
    figure_: Any

    @classmethod
    @abstractmethod
    def from_data(cls, data: AuditData) -> Self:
        """Return the display of an audit, not yet drawn."""

    @abstractmethod
    def plot(self, ax: Any = None) -> Self:
        """Draw."""

    @classmethod
    def from_cleaner(cls, cleaner: Any, *, ax: Any = None, **options: Any) -> Self:
        """Draw the audit of a fitted cleaner.

        Parameters
        ----------
        cleaner : InfluenceCleaner
            Fitted.
        ax : matplotlib Axes, optional
            Where to draw; by default on a new figure.
        **options
            Passed on to `from_data`.

        Returns
        -------
        display : Display
            Drawn; `figure_` and `ax_` hold the picture.
        """
        return cls.from_data(cleaner.audit_data(), **options).plot(ax)
