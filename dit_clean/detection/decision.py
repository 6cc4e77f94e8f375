"""From evidence to judgements about labels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from dit_clean.detection.class_noise import fit_class_noise
from dit_clean.detection.evidence import (
    LabelEvidence,
    centered_log,
    influence_trust,
    label_help,
)
from dit_clean.detection.judgement import Judgement
from dit_clean.detection.latent_labels import Problem
from dit_clean.detection.noise_model import LabelNoiseModel, true_label_posterior
from dit_clean.detection.uniform_noise import fit_uniform_noise


class Explanation(NamedTuple):
    """One way to explain the given labels: how they go wrong, and what tells so."""

    fit: Callable[..., LabelNoiseModel]
    kinds: tuple[str, ...]


class Belief(NamedTuple):
    """What one explanation says of true labels, of errors (T), and its own odds."""

    posterior: np.ndarray
    transition: np.ndarray
    log_odds: float


BY_CLASS = Explanation(fit_class_noise, ("outputs",))
ERRORS_ALIKE = Explanation(fit_uniform_noise, ("outputs",))
"""Errors by class or alike in all classes, told by outputs alone."""
EXPLANATIONS = {
    "influence": [Explanation(fit_class_noise, ("influence",))],
    "margin": [BY_CLASS, ERRORS_ALIKE],
    "combined": [
        Explanation(fit_class_noise, ("outputs", "influence")),
        BY_CLASS,
        ERRORS_ALIKE,
    ],
}
"""By scoring. Influence must explain the given labels clearly better than outputs
alone; otherwise it is as likely to mislead. The same holds for errors by class beside
errors that do not depend on the class."""
ALIKE_ODDS = 0.05
"""Odds of an explanation by influence that finds errors alike in all classes, beside
others. Influence is there to tell errors by class that outputs repeat; where there are
none, its slightly better fit is chance, and it fits the true labels less well."""
MIN_CLEAN = 10
"""Clean samples per class (median) from which on influence on their loss is evidence:
the loss of fewer says more of these samples than of their class."""


def judge_labels(
    evidence: LabelEvidence,
    window: slice,
    influence: np.ndarray | None,
    scoring: str,
) -> Judgement:
    """Return how likely each label is wrong, and what it would be.

    Parameters
    ----------
    evidence : LabelEvidence
        From cross-fitted training.
    window : slice
        Epochs that count.
    influence : ndarray of shape (n_queries, n_samples, n_epochs, n_classes) or None
        Influence under each label, of epochs of the window; negative = harmful. The
        second query, if there is one, is the loss of the clean samples. Not read, and
        may be None, where `scoring` is "margin".
    scoring : {"combined", "influence", "margin"}
        Evidence used: outputs and influence, influence alone, or outputs alone.

    Returns
    -------
    judgement : Judgement
        Suspicion is the posterior probability that the given label is wrong: the mean
        over the `EXPLANATIONS` of the given labels, weighted by how well they explain
        them (Bayes' rule), and by the trust in influence. So is the noise matrix.
    """
    rows, labels = np.arange(len(evidence.labels)), evidence.labels
    help_ = [] if influence is None else list(label_help(influence))
    if not _hears_clean(evidence):
        help_ = help_[:1]
    readings = Readings(evidence, help_, window)
    trusts = [(one, _trust(one, evidence)) for one in EXPLANATIONS[scoring]]
    believed = [_believed(readings, one, trust) for one, trust in trusts if trust > 0]
    weights = softmax([belief.log_odds for belief in believed])
    posteriors = [belief.posterior for belief in believed]
    transitions = [belief.transition for belief in believed]
    posterior = np.average(posteriors, axis=0, weights=weights)
    suspicion = np.clip(1 - posterior[rows, labels], 0, 1)
    posterior[rows, labels] = 0
    return Judgement(
        given=labels,
        suspicion=suspicion,
        contamination=float(suspicion.mean()),
        alternative=posterior.argmax(axis=1),
        noise_matrix=np.average(transitions, axis=0, weights=weights),
    )


def window_likelihood(evidence: LabelEvidence, window: slice) -> float:
    """Return how well the outputs of a window explain the given labels.

    Mean log-probability of the given labels under one rate of errors for all classes,
    by networks that never saw the sample. Unlike the held-out loss it does not mind
    networks that are too sure of their answers: the evidence is weighted.
    """
    return _fitted(Readings(evidence, [], window), ERRORS_ALIKE).log_likelihood


@dataclass(frozen=True)
class Readings:
    """Kinds of evidence as the explanations share them, each computed once.

    Attributes
    ----------
    evidence : LabelEvidence
        From cross-fitted training.
    help_ : list of ndarray of shape (n_samples, n_classes)
        How much each label would help other samples, by query; see `label_help`.
    window : slice
        Epochs that count.
    """

    evidence: LabelEvidence
    help_: list[np.ndarray]
    window: slice

    @cached_property
    def stages(self) -> tuple[slice, slice]:
        """The window up to and from its best epoch, which is in both.

        Two kinds of outputs: before and after the network repeats wrong labels.
        """
        loss = self.evidence.held_out_loss()[self.window]
        best = self.window.start + int(np.argmin(loss))
        return slice(self.window.start, best + 1), slice(best, self.window.stop)

    @cached_property
    def outside(self) -> list[np.ndarray]:
        """Outputs by stage of networks that never saw the sample."""
        return [self.evidence.outside(stage) for stage in self.stages]

    @cached_property
    def all_networks(self) -> list[np.ndarray]:
        """Outputs by stage of all networks."""
        return [self.evidence.all_networks(stage) for stage in self.stages]

    def blind(self, kinds: tuple[str, ...]) -> np.ndarray:
        """Return evidence that has not seen the sample's own label.

        Shape (n_samples, n_classes, n_evidence), influence last.
        """
        return self._stacked(kinds, self.outside if "outputs" in kinds else [])

    def full(self, kinds: tuple[str, ...]) -> np.ndarray:
        """Return the same with the outputs of all networks."""
        return self._stacked(kinds, self.all_networks if "outputs" in kinds else [])

    def _stacked(self, kinds: tuple[str, ...], outputs: list[np.ndarray]) -> np.ndarray:
        helps = self.help_ if "influence" in kinds else []
        return np.stack([*outputs, *helps], axis=-1)


def _trust(explanation: Explanation, evidence: LabelEvidence) -> float:
    """Return how far an explanation is to be trusted, in [0, 1].

    Influence that is all there is has nothing to be weighed against.
    """
    if len(explanation.kinds) == 1:
        return 1.0
    return influence_trust(evidence.labels, evidence.n_folds)


def _believed(readings: Readings, explanation: Explanation, trust: float) -> Belief:
    """Return what one explanation says; its odds are by how well it explains."""
    model = _fitted(readings, explanation)
    if "influence" in explanation.kinds:
        model = _trusting(model, len(readings.help_), trust)
    labels = readings.evidence.labels
    log_odds = len(labels) * model.worth + np.log(trust)
    if model.errors_alike and "influence" in explanation.kinds:
        log_odds += np.log(ALIKE_ODDS)
    full = readings.full(explanation.kinds)
    posterior = true_label_posterior(model, full, labels)
    return Belief(posterior, model.transition, log_odds)


def _fitted(readings: Readings, explanation: Explanation) -> LabelNoiseModel:
    blind, known = readings.blind(explanation.kinds), None
    if "outputs" in explanation.kinds:
        known = _known_labels(readings.evidence, readings.stages, blind.shape[2])
    return explanation.fit(blind, readings.evidence.labels, known=known)


def _hears_clean(evidence: LabelEvidence) -> bool:
    """Tell whether influence on the loss of the clean samples is evidence."""
    if evidence.clean is None:
        return False
    counts = np.bincount(evidence.clean.labels, minlength=evidence.held_out.shape[2])
    return bool(np.median(counts) >= MIN_CLEAN)


def _known_labels(
    evidence: LabelEvidence, stages: tuple[slice, slice], n_evidence: int
) -> Problem | None:
    """Return the clean samples as each network sees them, where there are any.

    No network has trained on them, so that influence, the last kinds of evidence, says
    nothing of them: 0.
    """
    if evidence.clean is None:
        return None
    outputs = np.concatenate(list(evidence.clean.outputs))
    values = np.zeros((len(outputs), outputs.shape[2], n_evidence))
    for i, part in enumerate(stages):
        values[:, :, i] = centered_log(outputs[:, part].mean(axis=1))
    n_networks = len(evidence.clean.outputs)
    labels = np.tile(evidence.clean.labels, n_networks)
    return Problem.of(values, labels, weight=1 / n_networks)


def _trusting(
    model: LabelNoiseModel, n_influence: int, trust: float
) -> LabelNoiseModel:
    """Return the model with the weights of influence, the last ones, scaled."""
    weights = model.weights.copy()
    weights[-n_influence:] *= trust
    return replace(model, weights=weights)
