"""What an audit is drawn from: plain arrays, handed over by a fitted cleaner.

Influence is read when it is first looked at, since the cleaner may have to replay
epochs for it that its decisions did not need.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dit_clean.audit.samples import in_microseconds
from dit_clean.gaps import is_missing
from dit_clean.influence.patterns import influence_patterns

EVEN = 0.5
"""Suspicion from which on a label is more likely wrong than right."""


@dataclass(frozen=True)
class AuditData:
    """Everything that the table, the summary, the plots and the report show.

    Attributes
    ----------
    X : array, data frame or sparse matrix, first axis n_samples
        As given to fit.
    labels : ndarray of shape (n_samples,)
        Given labels, or regression targets.
    suggested : ndarray of shape (n_samples,)
        Most likely labels or targets.
    suspicion : ndarray of shape (n_samples,)
        In [0, 1], higher = more likely wrong.
    flagged : ndarray of bool, shape (n_samples,)
        True = taken for wrong.
    weight : ndarray of shape (n_samples,)
        Training weights in [0, 1].
    read_influence : callable
        Returns influence over the window, (n_samples,); negative = harmful.
    read_timeline : callable
        Returns influence over each epoch, (n_samples, n_epochs).
    margin : ndarray of shape (n_samples,)
        Agreement of networks that never saw the sample; low = they disagree.
    window : tuple of int
        Epochs (start, stop) whose evidence counts, half-open.
    curves : dict of str to ndarray of shape (n_epochs,)
        "in_sample" and "held_out" agreement with the given labels.
    threshold : float
        Suspicion from which on a sample is flagged.
    contamination : float
        Estimated fraction of wrong samples.
    classes : ndarray of shape (n_classes,) or None
        Sorted labels; None for regression.
    index : object or None
        Index of the data frame that was given.
    parameters, versions : dict
        Settings of the cleaner, and versions of the libraries.
    seconds : dict of str to float
        What the time was spent on.
    lr : float or None
        Learning rate of the default network, found where "auto" was asked for; None
        for a given net.
    """

    X: Any
    labels: np.ndarray
    suggested: np.ndarray
    suspicion: np.ndarray
    flagged: np.ndarray
    weight: np.ndarray
    read_influence: Callable[[], np.ndarray]
    read_timeline: Callable[[], np.ndarray]
    margin: np.ndarray
    window: tuple[int, int]
    curves: dict[str, np.ndarray]
    threshold: float
    contamination: float
    classes: np.ndarray | None = None
    index: Any = None
    parameters: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    lr: float | None = None

    @cached_property
    def influence(self) -> np.ndarray:
        """Influence over the window; may replay parts of the training."""
        return self.read_influence()

    @cached_property
    def timeline(self) -> np.ndarray:
        """Influence over each epoch; may replay parts of the training."""
        return self.read_timeline()

    @cached_property
    def patterns(self) -> np.ndarray:
        """When each sample has its influence, see `influence_patterns`."""
        return influence_patterns(self.timeline)

    @property
    def n_samples(self) -> int:
        """Rows of X."""
        return len(self.labels)

    @property
    def n_epochs(self) -> int:
        """Epochs of training."""
        return len(self.curves["held_out"])

    @property
    def is_classifier(self) -> bool:
        """Whether the targets are labels."""
        return self.classes is not None

    @property
    def n_expected_wrong(self) -> float:
        """Wrong samples among the flagged ones: the sum of their suspicion."""
        return float(self.suspicion[self.flagged].sum())

    @property
    def n_likely_wrong(self) -> int:
        """Flagged samples that are more likely wrong than right."""
        return int((self.suspicion[self.flagged] >= EVEN).sum())

    @property
    def is_doubtful(self) -> bool:
        """Whether most flagged samples are more likely right than wrong."""
        return 2 * self.n_likely_wrong < self.flagged.sum()

    @property
    def most_suspicious(self) -> np.ndarray:
        """Row numbers, the most suspicious first; of equals the earlier row first."""
        return np.argsort(-self.suspicion, kind="stable")


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: a number, a string, a boolean or None.

    Examples
    --------
    >>> plain(np.int64(3)), plain(np.str_("spam")), plain(float("nan"))
    (3, 'spam', None)
    >>> plain(np.datetime64("2024-02-29", "ns"))
    '2024-02-29 00:00:00'
    """
    if isinstance(value, np.generic):
        value = in_microseconds(value).item()
    if is_missing(value) or (isinstance(value, float) and np.isinf(value)):
        return None
    if isinstance(value, bool | int | float | str):
        return value
    return str(value)
