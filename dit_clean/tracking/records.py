"""What is recorded of each optimizer update."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor


class StepRecord(NamedTuple):
    """One optimizer update.

    Attributes
    ----------
    step : int
        Number of the update, from 0; state `step` is the state before it.
    epoch : int
        Epoch the update belongs to, from 0.
    sample_indices : Tensor of shape (n_batch,)
        Rows of the X given to fit that made up the batch.
    settings : tuple of dict
        Every hyper-parameter of each optimizer group at this update.
    counts : tuple of int
        How often the parameters of each group had been updated before, where the
        optimizer counts it (all but SGD), else 0.
    rng_state : Tensor or None
        State of torch's generator before the forward pass; None where the pass drew no
        random number (no dropout), or went on where the last one that did left the
        generator. Ask `draws_from`.
    modes : tuple of bool or None
        Whether each of ``module.modules()`` was in training mode; None if all were.
    """

    step: int
    epoch: int
    sample_indices: Tensor
    settings: tuple[dict[str, Any], ...]
    counts: tuple[int, ...]
    rng_state: Tensor | None = None
    modes: tuple[bool, ...] | None = None

    @property
    def hyper(self) -> tuple[dict[str, Any], ...]:
        """What an update rule needs: settings, with the count as ``"step"`` if any."""
        return tuple(
            settings | {"step": count} if count else settings
            for settings, count in zip(self.settings, self.counts, strict=True)
        )

    @property
    def learning_rate(self) -> float:
        """Learning rate of the first parameter group."""
        return float(self.settings[0]["lr"])

    def draws_from(self, left: Tensor | None) -> Tensor | None:
        """Return the random state that the forward pass starts from, if it draws.

        Parameters
        ----------
        left : Tensor or None
            The `rng_state` of the training state before the step.
        """
        return left if self.rng_state is None else self.rng_state


def pack_records(records: list[StepRecord]) -> dict[str, Any]:
    """Return records as a few arrays, which pickle fast."""
    indices = [record.sample_indices for record in records]
    settings = {id(record.settings): record.settings for record in records}
    places = {key: place for place, key in enumerate(settings)}
    modes = list({record.modes for record in records})
    return {
        "epochs": np.array([record.epoch for record in records]),
        "sizes": np.array([len(rows) for rows in indices]),
        "indices": torch.cat(indices) if indices else torch.empty(0),
        "settings": list(settings.values()),
        "settings_of_step": np.array([places[id(r.settings)] for r in records]),
        "counts": np.array([record.counts for record in records]),
        "modes": modes,
        "modes_of_step": np.array([modes.index(record.modes) for record in records]),
        "rng_states": {
            record.step: record.rng_state
            for record in records
            if record.rng_state is not None
        },
    }


def unpack_records(packed: dict[str, Any]) -> list[StepRecord]:
    """Return the records of `pack_records`."""
    columns = zip(
        packed["epochs"].tolist(),
        packed["indices"].split(packed["sizes"].tolist()),
        packed["settings_of_step"].tolist(),
        packed["counts"].tolist(),
        packed["modes_of_step"].tolist(),
        strict=True,
    )
    return [
        StepRecord(
            step,
            epoch,
            rows,
            packed["settings"][settings],
            tuple(counts),
            packed["rng_states"].get(step),
            packed["modes"][modes],
        )
        for step, (epoch, rows, settings, counts, modes) in enumerate(columns)
    ]
