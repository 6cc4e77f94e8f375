"""The most suspicious samples themselves: images, texts or rows of a table."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from dit_clean.audit.data import AuditData
from dit_clean.audit.samples import cells, column_names, is_text, row_of
from dit_clean.data.inputs import warn_of_other_order
from dit_clean.data.tables import MATRIX_AXES, is_frame
from dit_clean.gaps import is_missing
from dit_clean.influence.chosen_rows import as_sample_rows

N_ITEMS = 12
MAX_FIELDS = 8
IMAGE_AXES = 3
N_COLORS = 3
"""Channels of an image in colors; transparency may be one more."""


@dataclass(frozen=True)
class GalleryItem:
    """One sample to look at.

    Attributes
    ----------
    row : int
        Row of X.
    given, suggested : object
        Labels or targets.
    suspicion : float
        In [0, 1].
    flagged : bool
        Whether it is taken for wrong.
    image : ndarray of uint8, shape (height, width[, channels]) or None
        For images.
    text : str or None
        For texts.
    fields : list of (name, value)
        For rows of a table: the first columns; for sparse ones those furthest from 0.
    n_more : int
        Columns that were left out.
    """

    row: int
    given: Any
    suggested: Any
    suspicion: float
    flagged: bool
    image: np.ndarray | None = None
    text: str | None = None
    fields: tuple[tuple[str, Any], ...] = ()
    n_more: int = 0


def gallery_items(
    data: AuditData, *, samples: Any = None, n_items: int = N_ITEMS, rows: Any = None
) -> list[GalleryItem]:
    """Return the most suspicious samples, ready to be shown.

    Parameters
    ----------
    data : AuditData
        From a fitted cleaner.
    samples, n_items, rows
        As in `GalleryDisplay.from_data`.

    Raises
    ------
    TypeError
        If `samples` are neither texts nor images nor rows of a table.
    ValueError
        If `samples` has another length than the fitted data, or a row does not exist.

    Warns
    -----
    UserWarning
        If `samples` have the index labels of X in another order.
    """
    warn_of_other_order(data.X, samples, ("X", "samples"))
    show = _view_of(data.X if samples is None else _checked(samples, data.n_samples))
    if rows is None:
        rows = data.most_suspicious[:n_items]
    return [
        GalleryItem(
            row=int(row),
            given=data.labels[row],
            suggested=data.suggested[row],
            suspicion=float(data.suspicion[row]),
            flagged=bool(data.flagged[row]),
            **show(int(row)),
        )
        for row in as_sample_rows(rows, data.n_samples)
    ]


def _checked(samples: Any, n_samples: int) -> Any:
    """Return samples as texts, a data frame, or an array with at least two axes."""
    if not is_text(samples) and not hasattr(samples, "shape"):
        try:
            samples = np.asarray(samples)
        except ValueError:  # parts of different shapes
            samples = np.array(None)
    shape = samples.shape if hasattr(samples, "shape") else (len(samples),)
    if len(shape) < MATRIX_AXES and not is_text(samples):
        raise TypeError(
            "samples must be texts, images of one size or rows of a table, one for "
            "each row of X."
        )
    if shape[0] != n_samples:
        raise ValueError(
            f"samples holds {shape[0]} rows, but the cleaner was fitted on "
            f"{n_samples}. Give one for each row, in the same order."
        )
    return samples


def _view_of(samples: Any) -> Any:
    """Return the function that shows one row."""
    if is_text(samples):
        texts = cells(samples)
        return lambda row: {"text": "" if is_missing(texts[row]) else texts[row]}
    if not is_frame(samples) and getattr(samples, "ndim", 0) >= IMAGE_AXES:
        low, high = float(np.min(samples)), float(np.max(samples))
        return lambda row: {"image": as_image(np.asarray(samples[row]), low, high)}
    names = column_names(samples)

    def fields(row: int) -> dict[str, Any]:
        values = row_of(samples, row)
        order = np.arange(len(values))
        if sparse.issparse(samples):  # zeros, nearly all of it, say nothing
            order = np.argsort(-np.abs(values), kind="stable")
        shown = tuple((names[i], values[i]) for i in order[:MAX_FIELDS])
        return {"fields": shown, "n_more": len(values) - len(shown)}

    return fields


def as_image(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return an image of 8-bit values, channels last, one or three of them.

    Parameters
    ----------
    values : ndarray of shape (height, width), (channels, h, w) or (h, w, channels)
        Pixels of any range.
    low, high : float
        What becomes black and white.
    """
    if values.ndim > IMAGE_AXES:
        values = values.reshape(-1, *values.shape[-2:])
    if values.ndim == IMAGE_AXES:
        if values.shape[-1] > N_COLORS + 1:
            values = np.moveaxis(values, 0, -1)
        has_colors = values.shape[-1] in (N_COLORS, N_COLORS + 1)
        values = values[..., :N_COLORS] if has_colors else values[..., 0]
    scaled = (values.astype(np.float64) - low) / ((high - low) or 1.0)
    return (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
