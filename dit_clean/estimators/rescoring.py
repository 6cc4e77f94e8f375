"""Deciding from recorded evidence, in `fit` and again in `rescore`."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from dit_clean.checks import check_parameters
from dit_clean.crossfit.hashing import hash_of
from dit_clean.detection import (
    Decision,
    TargetEvidence,
    doubts_about_labels,
    doubts_about_targets,
    sample_weights,
)
from dit_clean.estimators.failed_fits import unchanged_on_failure
from dit_clean.estimators.findings import Findings
from dit_clean.estimators.parameters import PARAMETERS, TRAINING_PARAMETERS
from dit_clean.influence import Window
from dit_clean.tracking.exclusive import with_gradients
from dit_clean.warning import warn


class Rescoring:
    """Which samples are wrong, under the present parameters; no training."""

    _findings: Findings
    _trained_with: dict[str, Any]
    window_: Window
    window: Any
    scoring: str
    contamination: str | float
    weighting: str
    memory: Any
    verbose: int
    get_params: Any

    @with_gradients()
    @unchanged_on_failure
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
        check_is_fitted(self, "_findings")
        check_parameters(self, PARAMETERS)
        now = self._training_parameters()
        changed = [
            name
            for name in now | self._trained_with
            if _differ(now.get(name), self._trained_with.get(name))
        ]
        if "net" in changed:  # another one altogether
            changed = [name for name in changed if not name.startswith("net__")]
        if changed:
            raise ValueError(
                f"{', '.join(changed)} changed since fit, and rescore() does not train "
                "again. Call fit(X, y)."
            )
        return self._decide()

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

    def _decide(self) -> Self:
        """Set what follows from the findings under the present parameters."""
        with tqdm(desc="deciding", total=1, disable=not self.verbose) as bar:
            self.window_ = self._findings.epochs_of(self.window)
            judgement = self._findings.judgement(
                self.window_, self.scoring, memory=self.memory, verbose=self.verbose
            )
            decision = judgement.decide(self.contamination)
            bar.update()
        if self.contamination == "auto":
            self._warn_of_right_ones(decision)
        return self._set_decision(decision)

    def _warn_of_right_ones(self, decision: Decision) -> None:
        """Warn where what looks wrong is more likely right."""
        evidence, targets = self._findings.evidence, self._findings.data.targets
        has_signal = self._findings.has_signal
        if isinstance(evidence, TargetEvidence):
            residual = evidence.targets - evidence.prediction(self.window_.slice)
            residual = targets.scale * residual
            doubts = doubts_about_targets(
                decision, targets.given, residual, has_signal=has_signal
            )
        else:
            doubts = doubts_about_labels(
                decision, targets.codes, targets.labels, has_signal=has_signal
            )
        for doubt in filter(None, doubts):
            warn(doubt)

    def _set_decision(self, decision: Decision) -> Self:
        targets = self._findings.data.targets
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
        if decision.noise_matrix is not None:
            self.noise_matrix_ = decision.noise_matrix.copy()
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
