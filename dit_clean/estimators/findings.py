"""What training has shown of each sample: all that decisions and questions rest on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from dit_clean.crossfit import (
    EpochInfluence,
    Fold,
    RecordedRuns,
    TrainingData,
    average_timeline,
    kept,
    steps_to_go_back,
)
from dit_clean.detection import (
    Judgement,
    LabelEvidence,
    TargetEvidence,
    convergence_window,
    judge_labels,
    judge_targets,
    window_likelihood,
)
from dit_clean.estimators.expectation import expectation_by
from dit_clean.influence import Steps, Window, resolve_window
from dit_clean.influence.queries import Query
from dit_clean.influence.scores import History
from dit_clean.influence.windows import WindowLike
from dit_clean.tracking.exclusive import with_gradients


@dataclass(frozen=True)
class Findings:
    """The evidence of a cross-fit, and its recorded runs to ask for more.

    Nothing in it depends on parameters that may change without a new fit.

    Attributes
    ----------
    data : TrainingData
        What the networks were trained on.
    recorded : RecordedRuns
        The run of each fold.
    evidence : LabelEvidence or TargetEvidence
        What the networks said of each sample, epoch by epoch.
    by_epoch : EpochInfluence
        Influence epoch by epoch, as far as measured.
    has_signal : bool
        Whether the networks predict held-out labels or targets better than by chance.
    """

    data: TrainingData
    recorded: RecordedRuns
    evidence: LabelEvidence | TargetEvidence
    by_epoch: EpochInfluence
    has_signal: bool
    _influence: dict[tuple[Window | Steps, History], np.ndarray] = field(
        default_factory=dict
    )
    _judgements: dict[tuple[Window, str], Judgement] = field(default_factory=dict)

    @property
    def is_classifier(self) -> bool:
        """Whether y are labels."""
        return self.data.targets.is_classifier

    def epochs_of(self, window: WindowLike) -> Window:
        """Return the epochs that a window stands for.

        Of those that count, where networks have stopped early.
        """
        evidence = self.evidence
        if not (isinstance(window, str) and window == "convergence"):
            scheduled = self.by_epoch.n_epochs
            return resolve_window(window, evidence.n_epochs, scheduled)
        explained = None
        if isinstance(evidence, LabelEvidence):
            explained = partial(window_likelihood, evidence)
        return Window(*convergence_window(evidence.held_out_loss(), explained))

    def judgement(
        self, window: Window, scoring: str, *, memory: Any, verbose: int
    ) -> Judgement:
        """Return what the evidence of a window says of each sample.

        Judged once, here and in `memory`, which keeps it for later fits.
        """

        def judge() -> Judgement:
            influence = None
            # Targets are judged by residuals, unless influence alone is asked for.
            if scoring == "influence" or (scoring == "combined" and self.is_classifier):
                epochs = self.by_epoch.epochs_for(window)
                influence = self.by_epoch.at(epochs, verbose=verbose)
            if isinstance(self.evidence, TargetEvidence):
                expect = expectation_by(self.data.table, self.data.groups)
                return judge_targets(self.evidence, window.slice, influence, expect)
            return judge_labels(self.evidence, window.slice, influence, scoring)

        if (window, scoring) not in self._judgements:
            part = "judgement", window, scoring, self.data.groups
            self._judgements[window, scoring] = kept(
                memory, self.recorded.key, part, judge
            )
        return self._judgements[window, scoring]

    def influence(
        self, window: Window | Steps, history: History, *, verbose: int
    ) -> np.ndarray:
        """Return influence on the last of the default queries, (n_samples,).

        Measured once.
        """
        key = (window, history)
        if key not in self._influence:
            is_epoch = isinstance(window, Window) and len(window) == 1
            if history == "window" and is_epoch:  # measured in training, perhaps
                found = self.timeline([window.start], verbose=verbose)[:, 0]
            else:
                queries, windows = [self.data.for_networks.query], [window]
                values = self.averaged(queries, windows, history, verbose=verbose)
                found = values[-1, :, 0]
            self._influence[key] = found
        return self._influence[key].copy()

    @with_gradients()
    def timeline(self, epochs: Iterable[int], *, verbose: int) -> np.ndarray:
        """Return influence as labeled on the last query, (n_samples, n_epochs).

        Epochs that were not measured before are replayed.
        """
        epochs = list(epochs)
        self.by_epoch.measure(epochs, verbose=verbose)
        # One by one: all epochs at once would take n_classes times the memory of what
        # is kept.
        columns = (self.by_epoch.at([epoch])[-1][:, 0] for epoch in epochs)
        if self.is_classifier:
            rows = np.arange(len(self.data.targets.codes))
            columns = (values[rows, self.data.targets.codes] for values in columns)
        timeline = np.stack(list(columns), axis=1).astype(np.float64)
        weight = self.data.sample_weight  # what is measured is for a weight of 1
        return timeline if weight is None else timeline * weight[:, None]

    @with_gradients()
    def averaged(
        self,
        make_queries: Sequence[Callable[[Fold], Query]],
        windows: Sequence[Window | Steps] | int,
        history: History,
        *,
        verbose: int,
    ) -> np.ndarray:
        """Return influence on all queries, (n_queries, n_samples, n_windows).

        A reverse pass over all runs for each of `make_queries`.
        """
        runs = self.recorded.ready
        n_steps = len(make_queries) * steps_to_go_back(runs, windows, history)
        with tqdm(
            desc="influence", total=n_steps, unit="step", disable=not verbose
        ) as bar:
            values = [
                average_timeline(runs, make_query, windows, history, on_step=bar.update)
                for make_query in make_queries
            ]
        return np.concatenate(values)
