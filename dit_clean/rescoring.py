"""Deciding from recorded evidence, in `fit` and again in `rescore`."""

from functools import partial
from typing import Any, Self

import numpy as np
from joblib import Memory
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from dit_clean.checks import check_parameters
from dit_clean.crossfit import (
    EpochInfluence,
    TrainingData,
    decision_epochs,
    kept_judgement,
)
from dit_clean.crossfit.hashing import hash_of
from dit_clean.detection import (
    Decision,
    Judgement,
    LabelEvidence,
    TargetEvidence,
    judge_labels,
    judge_targets,
    sample_weights,
    warn_of_doubtful_classes,
    warn_of_many_wrong,
    warn_of_many_wrong_labels,
    warn_of_skewed_targets,
)
from dit_clean.influence import Window
from dit_clean.memory import as_memory
from dit_clean.parameters import PARAMETERS, TRAINING_PARAMETERS
from dit_clean.questions import epochs_of
from dit_clean.targets import Targets


class Rescoring:
    """Which samples are wrong, under the present parameters; no training."""

    _data: TrainingData
    _evidence: LabelEvidence | TargetEvidence
    _influence: EpochInfluence
    _signal: float
    _training: dict[str, Any]
    window: Any
    scoring: str
    contamination: str | float
    weighting: str
    memory: Any
    verbose: int
    get_params: Any

    def rescore(self):
        """Decide again after `set_params`, from the recorded run: no training.

        For `window`, `scoring`, `contamination` and `weighting`.

        Returns
        -------
        self : InfluenceCleaner

        Raises
        ------
        ValueError
            If a parameter of training has been changed since `fit`: names it.

        Warns
        -----
        UserWarning
            As `fit`, of labels or targets that look wrong and are more likely right.
        """
        check_is_fitted(self, "_evidence")
        check_parameters(self, PARAMETERS)
        now = self._training_parameters()
        changed = [
            name
            for name in now | self._training
            if _differ(now.get(name), self._training.get(name))
        ]
        if "net" in changed:  # another one altogether
            changed = [name for name in changed if not name.startswith("net__")]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} changed since fit, and rescore() does not train "
                "again. Call fit(X, y)."
            )
        evidence, targets = self._evidence, self._data.targets
        window, decision = self._decide(evidence, self._influence, targets)
        self._warn_of_right_ones(window, decision, evidence, targets, self._signal)
        return self._set_decision(window, decision)

    def _training_parameters(self) -> dict[str, Any]:
        """Return the parameters that a recorded run depends on, the net's own too.

        Without its callbacks, which skorch makes anew whenever it is asked for them.
        """
        return {
            name: value
            for name, value in self.get_params().items()
            if name.partition("__")[0] in TRAINING_PARAMETERS
            and not name.startswith("net__callbacks__")
        }

    def _decide(
        self, evidence: Any, influence: EpochInfluence, targets: Targets
    ) -> tuple[Window, Decision]:
        with tqdm(desc="deciding", total=1, disable=not self.verbose) as bar:
            window = epochs_of(self.window, evidence)
            judgement = self._judgement(evidence, influence, targets, window)
            bar.update()
        return window, judgement.decide(self.contamination)

    def _warn_of_right_ones(
        self,
        window: Window,
        decision: Decision,
        evidence: Any,
        targets: Targets,
        signal: float,
    ) -> None:
        """Warn where what looks wrong is more likely right; not of a fraction asked."""
        if self.contamination != "auto":
            return
        found = decision.contamination
        if targets.is_classifier:
            warn_of_many_wrong_labels(found, targets.labels, signal)
            warn_of_doubtful_classes(decision, targets.codes, targets.labels, signal)
        else:
            residual = evidence.targets - evidence.prediction(window.slice)
            warn_of_many_wrong(found)
            warn_of_skewed_targets(decision, residual, signal)

    def _judgement(
        self, evidence: Any, influence: EpochInfluence, targets: Targets, window: Window
    ) -> Judgement:
        judge = partial(
            _judge,
            evidence,
            influence,
            window,
            self.scoring,
            is_classifier=targets.is_classifier,
            verbose=self.verbose,
        )
        key, judged = influence.runs.key, influence.judged
        if (window, self.scoring) not in judged:
            judged[window, self.scoring] = kept_judgement(
                self._memory_of(key), key, window, self.scoring, judge
            )
        return judged[window, self.scoring]

    def _memory_of(self, key: str | None) -> Memory:
        """Return where to keep what a run has shown: nowhere if it has no key."""
        return as_memory(None if key is None else self.memory)

    def _set_decision(self, window: Window, decision: Decision) -> Self:
        targets, self.window_ = self._data.targets, window
        self._decided_with = self.get_params(deep=False)
        # A copy: the decision shares its judgement with later ones.
        self.suspicion_ = decision.suspicion.copy()
        self.threshold_ = decision.threshold
        self.keep_mask_ = ~decision.flagged
        self.sample_indices_ = np.flatnonzero(self.keep_mask_)
        keeps_shares = self.weighting.endswith("balanced") and targets.is_classifier
        self.sample_weight_ = sample_weights(
            decision.suspicion,
            decision.flagged,
            targets.codes if keeps_shares else None,
            soft=self.weighting.startswith("soft"),
        )
        self.contamination_ = decision.contamination
        self.suggested_label_ = np.where(
            decision.flagged, targets.decode(decision.suggestion), targets.given
        )
        return self


def _differ(value: Any, other: Any) -> bool:
    """Tell whether two values of a parameter are not the same."""
    if value is other:
        return False
    try:
        are_others = value != other
    except (ValueError, RuntimeError):  # containers of arrays or tensors
        are_others = None
    if isinstance(are_others, bool | np.bool_):
        return bool(are_others)
    # Arrays by their content: a cleaner that joblib has loaded holds them twice.
    return hash_of(value) != hash_of(other)


def _judge(
    evidence: Any,
    influence: EpochInfluence,
    window: Window,
    scoring: str,
    *,
    is_classifier: bool,
    verbose: int,
) -> Judgement:
    judge = judge_labels if is_classifier else judge_targets
    epochs = decision_epochs(window, evidence.n_epochs)
    values = influence.at(epochs, verbose=verbose)
    return judge(evidence, values, window.slice, scoring)
