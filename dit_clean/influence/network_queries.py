"""Queries about the network itself: predictions, parameters, reactions to features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dit_clean.influence.queries import HasModel, SampleQuery, as_batch
from dit_clean.tracking import TrackedModel
from dit_clean.tracking.rows import as_tensor

PREDICTIONS = ("probability", "logit", "margin", "output")


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(SampleQuery):
    """What the network says of each given sample: one query per sample.

    Influence on it: negative = the training sample raises the value.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them.
    y : array-like of int, shape (n_query_samples,), optional
        Class whose value is wanted, not necessarily the right one. Not needed for a
        network with one output, such as a regression.
    kind : {"probability", "logit", "margin", "output"}, default="probability"
        - "probability" of the class, in [0, 1];
        - "logit", its log odds ``log(p / (1 - p))``;
        - "margin", the log of the class's probability over that of its strongest
          rival;
        - "output", the number that the network itself returns; taken where y is None.
    """

    y: Any = None
    kind: str = "probability"

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the predictions, shape (n_query_samples,)."""
        kind = "output" if self.y is None else self.kind
        return predicted_values(
            run.model, params, as_batch(self.X, params), self.y, kind
        )


@dataclass(frozen=True, eq=False)
class Parameter:
    """One entry of a parameter, or the Euclidean norm of a parameter, layer or group.

    Parameters
    ----------
    name : str or tuple of str
        Parameters by name ("0.weight"), layers by the name of their module ("0", with
        all that it holds), or several of these as a group.
    index : tuple of int, optional
        Entry of the one parameter named; by default the norm over all entries.
    """

    name: str | tuple[str, ...]
    index: tuple[int, ...] | None = None

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return the entry or the norm, a scalar."""
        known = [n for n, _ in run.model.module.named_parameters() if n in params]
        chosen = [params[name] for name in self._members(known)]
        if self.index is None:
            return torch.linalg.vector_norm(torch.cat([p.flatten() for p in chosen]))
        if len(chosen) != 1 or len(self.index) != chosen[0].ndim:
            raise ValueError(
                f"index={self.index} is no entry of {self.name!r}, which has shapes "
                f"{[tuple(p.shape) for p in chosen]}. Name one parameter and give one "
                "number per axis."
            )
        return chosen[0][self.index]

    def _members(self, known: list[str]) -> list[str]:
        members: list[str] = []
        for name in (self.name,) if isinstance(self.name, str) else self.name:
            found = [n for n in known if n == name or n.startswith(f"{name}.")]
            if not found:
                raise ValueError(
                    f"The network has no parameter or layer {name!r} that is trained. "
                    f"Known parameters: {', '.join(known)}."
                )
            members += [n for n in found if n not in members]
        return members


@dataclass(frozen=True, eq=False, repr=False)
class FeatureImportance(SampleQuery):
    """How strongly the network reacts to each input feature: one query per feature.

    The gradient with respect to a feature of what `kind` names, averaged over the
    given samples: signed (how much the value rises with the feature), or its size.

    Parameters
    ----------
    X : array-like, first axis n_query_samples
        Inputs as the network takes them, floats.
    y : array-like of shape (n_query_samples,), optional
        Classes (for "loss": targets as the criterion takes them); not needed for a
        network with one output.
    features : sequence of int, optional
        Features wanted, counted over the flattened sample; by default all, which
        costs one adjoint each.
    kind : {"probability", "logit", "margin", "output", "loss"}, default="probability"
        What is differentiated; see `Prediction`. "loss" is the training loss. "margin"
        jumps where another class becomes the strongest rival, which influence, a
        first-order answer, does not foresee: prefer "logit" or "probability".
    absolute : bool, default=False
        Whether to average absolute gradients.
    """

    y: Any = None
    features: Sequence[int] | None = None
    kind: str = "probability"
    absolute: bool = False

    def __call__(self, params: Mapping[str, Tensor], run: HasModel) -> Tensor:
        """Return importances, shape (n_features,), in units of kind per feature."""
        X = as_batch(self.X, params)
        if not (isinstance(X, Tensor) and X.is_floating_point()):
            raise TypeError(
                "FeatureImportance needs inputs as one array of floats, since it "
                "differentiates with respect to them."
            )
        kind = "output" if self.y is None else self.kind

        def total(X: Tensor) -> Tensor:
            if kind == "loss":
                y = as_tensor(self.y)
                y = y.to(X.dtype) if y.is_floating_point() else y
                return run.model.losses(params, X, y).sum()
            return predicted_values(run.model, params, X, self.y, kind).sum()

        # Not torch.func.grad, which a network's own autograd.Function need not take.
        are_asked = any(values.requires_grad for values in params.values())
        with_graph = are_asked and torch.is_grad_enabled()
        with torch.enable_grad():
            X = X.to(run.model.device).detach().requires_grad_()
            (gradients,) = torch.autograd.grad(
                total(X), X, create_graph=with_graph, materialize_grads=True
            )
        gradients = gradients.flatten(1)
        gradients = gradients.abs() if self.absolute else gradients
        importance = gradients.mean(0)
        return importance if self.features is None else importance[list(self.features)]


def predicted_values(
    model: TrackedModel, params: Mapping[str, Tensor], X: Any, y: Any, kind: str
) -> Tensor:
    """Return a prediction for each sample, (n_samples,); `Prediction` names them."""
    if kind not in PREDICTIONS:
        raise ValueError(f"Unknown kind {kind!r}. Known: {', '.join(PREDICTIONS)}.")
    if kind == "output":
        return _own_values(model.forward(params, X), y)
    classes = as_tensor(y).to(model.device).long()[:, None]
    logs = model.log_probabilities(params, X)
    if logs.shape[1] == 1:
        raise ValueError(
            f"The network has one output and so no {kind} of classes. Leave y out, or "
            'use kind="output".'
        )
    given = logs.gather(1, classes)[:, 0]
    if kind == "probability":
        return given.exp()
    others = logs.scatter(1, classes, -torch.inf)
    return given - (others.amax(1) if kind == "margin" else others.logsumexp(1))


def _own_values(output: Tensor, y: Any) -> Tensor:
    output = output.flatten(1) if output.ndim > 1 else output[:, None]
    if y is None and output.shape[1] > 1:
        raise ValueError(
            f"The network has {output.shape[1]} outputs. Give y, the class of each "
            "sample whose value is wanted."
        )
    if output.shape[1] == 1:
        return output[:, 0]
    classes = as_tensor(y).to(output.device).long()[:, None]
    return output.gather(1, classes)[:, 0]
