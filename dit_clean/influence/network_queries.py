"""Queries about the network itself: predictions, parameters, reactions to features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dit_clean.influence.queries import (
    HasModel,
    SampleQuery,
    as_batch,
    at_classes,
    class_indices,
    labels_in_words,
    targets_of,
)
from dit_clean.tracking import TrackedModel

PREDICTIONS = ("probability", "logit", "margin", "output")
LOSS = "loss"


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
        kind = _kind_asked(self, PREDICTIONS)
        return _predicted(self, kind, run.model, params, as_batch(self.X, params))


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
        if len(chosen) != 1 or not _is_within(self.index, chosen[0].shape):
            raise ValueError(
                f"index={self.index} is no entry of {self.name!r}, which has shapes "
                f"{[tuple(p.shape) for p in chosen]}. Name one parameter and give one "
                "number per axis."
            )
        return chosen[0][self.index]

    def _members(self, known: list[str]) -> list[str]:
        if not self.name:
            raise ValueError(
                f"Parameter({self.name!r}) names nothing. Known parameters: "
                f"{', '.join(known)}."
            )
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
        Classes, not needed for a network with one output. For "loss" targets as the
        criterion takes them, always needed.
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
        kind = _kind_asked(self, (*PREDICTIONS, LOSS))
        X = as_batch(self.X, params)
        if not (isinstance(X, Tensor) and X.is_floating_point()):
            raise TypeError(
                "FeatureImportance needs inputs as one array of floats, since it "
                "differentiates with respect to them."
            )
        n_features = X[0].numel()
        features = range(n_features) if self.features is None else list(self.features)
        if not all(_is_within((feature,), (n_features,)) for feature in features):
            raise ValueError(
                f"features={features}, but a sample has {n_features} features, counted "
                "from 0."
            )

        def total(X: Tensor) -> Tensor:
            if kind != LOSS:
                return _predicted(self, kind, run.model, params, X).sum()
            with labels_in_words(self):
                return run.model.losses(params, X, targets_of(self, params)).sum()

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
        return gradients.mean(0)[list(features)]


def _kind_asked(query: Prediction | FeatureImportance, known: Sequence[str]) -> str:
    """Return what is asked for: the network's own number where no class is given."""
    if query.kind not in known:
        raise ValueError(f"Unknown kind {query.kind!r}. Known: {', '.join(known)}.")
    if query.y is not None:
        return query.kind
    if query.kind == LOSS:
        raise ValueError(
            'kind="loss" needs y, the targets as the criterion takes them.'
        )
    return "output"


def _is_within(index: Sequence[Any], shape: Sequence[int]) -> bool:
    """Tell whether there is an entry at an index, which may count from the end."""
    return len(index) == len(shape) and all(
        hasattr(place, "__index__") and -size <= place < size
        for place, size in zip(index, shape, strict=True)
    )


def _predicted(
    query: SampleQuery,
    kind: str,
    model: TrackedModel,
    params: Mapping[str, Tensor],
    X: Any,
) -> Tensor:
    """Return a prediction for each sample, (n_samples,); `Prediction` names them."""
    if kind == "output":
        return _own_values(query, model.forward(params, X))
    classes = class_indices(query, model.device)
    logs = model.log_probabilities(params, X)
    if logs.shape[1] == 1:
        raise ValueError(
            f"The network has one output and so no {kind} of classes. Leave y out, or "
            'use kind="output".'
        )
    given = at_classes(query, logs, classes)
    if kind == "probability":
        return given.exp()
    others = logs.scatter(1, classes[:, None], -torch.inf)
    return given - (others.amax(1) if kind == "margin" else others.logsumexp(1))


def _own_values(query: SampleQuery, output: Tensor) -> Tensor:
    output = output.flatten(1) if output.ndim > 1 else output[:, None]
    n_outputs = output.shape[1]
    if n_outputs == 1:
        return output[:, 0]
    if query.y is None:
        raise ValueError(
            f"The network has {n_outputs} outputs. Give y, the class of each sample "
            "whose value is wanted."
        )
    return at_classes(query, output, class_indices(query, output.device))
