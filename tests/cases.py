"""One table of small float64 training problems that the numerical tests loop over."""

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import nn

from dit_clean.influence import ClassProbability, MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel

N_SAMPLES, N_FEATURES, N_CLASSES, N_EPOCHS, N_BATCH = 14, 3, 3, 3, 4


def make_linear():
    return nn.Linear(N_FEATURES, N_CLASSES)


def make_mlp():
    return nn.Sequential(nn.Linear(N_FEATURES, 5), nn.Tanh(), nn.Linear(5, N_CLASSES))


def make_dropout():
    return nn.Sequential(
        nn.Linear(N_FEATURES, 6), nn.Tanh(), nn.Dropout(0.4), nn.Linear(6, N_CLASSES)
    )


def make_conv():
    return nn.Sequential(
        nn.Unflatten(1, (1, N_FEATURES)),
        nn.Conv1d(1, 4, 2),
        nn.Softplus(),
        nn.Flatten(),
        nn.Linear(8, N_CLASSES),
    )


def make_norm():
    return nn.Sequential(
        nn.Linear(N_FEATURES, 5),
        nn.LayerNorm(5),
        nn.Tanh(),
        nn.Linear(5, N_CLASSES),
    )


def make_batch_norm(momentum=0.3):
    return nn.Sequential(
        nn.Linear(N_FEATURES, 5),
        nn.BatchNorm1d(5, momentum=momentum),
        nn.Tanh(),
        nn.Linear(5, N_CLASSES),
    )


def make_conv_norm():
    return nn.Sequential(
        nn.Unflatten(1, (1, N_FEATURES)),
        nn.Conv1d(1, 4, 2),
        nn.BatchNorm1d(4),
        nn.Softplus(),
        nn.Flatten(),
        nn.Linear(8, N_CLASSES),
    )


def two_groups(module, optimizer, **kwargs):
    """Give weights and biases their own hyper-parameters."""
    parameters = list(module.named_parameters())
    weights = [p for name, p in parameters if name.endswith("weight")]
    biases = [p for name, p in parameters if name.endswith("bias")]
    groups = [{"params": weights}, {"params": biases, "lr": 0.05, "weight_decay": 0.0}]
    return optimizer(groups, **kwargs)


def one_group(module, optimizer, **kwargs):
    return optimizer(module.parameters(), **kwargs)


SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW

OPTIMIZERS = {
    "sgd": partial(one_group, optimizer=SGD, lr=0.3),
    "sgd-decay": partial(one_group, optimizer=SGD, lr=0.3, weight_decay=0.1),
    "momentum": partial(one_group, optimizer=SGD, lr=0.1, momentum=0.9),
    "dampening": partial(
        one_group, optimizer=SGD, lr=0.2, momentum=0.8, dampening=0.3, weight_decay=0.1
    ),
    "nesterov": partial(
        one_group, optimizer=SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1
    ),
    "adam": partial(one_group, optimizer=ADAM, lr=0.05),
    "adam-decay": partial(
        one_group, optimizer=ADAM, lr=0.05, betas=(0.8, 0.95), weight_decay=0.1
    ),
    "amsgrad": partial(one_group, optimizer=ADAM, lr=0.05, amsgrad=True),
    "adamw": partial(one_group, optimizer=ADAMW, lr=0.05, weight_decay=0.3),
    "groups": partial(
        two_groups, optimizer=SGD, lr=0.2, momentum=0.9, weight_decay=0.1
    ),
    "groups-adamw": partial(two_groups, optimizer=ADAMW, lr=0.1, weight_decay=0.2),
    "rmsprop": partial(one_group, optimizer=torch.optim.RMSprop, lr=0.02),
    "rmsprop-centered": partial(
        two_groups,
        optimizer=torch.optim.RMSprop,
        lr=0.02,
        momentum=0.7,
        centered=True,
        weight_decay=0.1,
    ),
    "adagrad": partial(one_group, optimizer=torch.optim.Adagrad, lr=0.1),
    "adagrad-decay": partial(
        two_groups,
        optimizer=torch.optim.Adagrad,
        lr=0.2,
        lr_decay=0.1,
        initial_accumulator_value=0.1,
        weight_decay=0.1,
    ),
    "adadelta": partial(
        one_group, optimizer=torch.optim.Adadelta, lr=1.0, weight_decay=0.1
    ),
    "adamax": partial(one_group, optimizer=torch.optim.Adamax, lr=0.05),
    "nadam": partial(one_group, optimizer=torch.optim.NAdam, lr=0.05),
    "nadam-decay": partial(
        two_groups,
        optimizer=torch.optim.NAdam,
        lr=0.1,
        weight_decay=0.2,
        decoupled_weight_decay=True,
    ),
    # Adapts its steps from the sixth on.
    "radam": partial(two_groups, optimizer=torch.optim.RAdam, lr=0.1, weight_decay=0.1),
}


@dataclass(frozen=True)
class Case:
    """A training problem.

    Attributes
    ----------
    make_module : callable
        Returns a fresh network.
    optimizer : str
        Key of OPTIMIZERS.
    options : dict
        "weighted", "class_weight", "schedule", "sum", "unvisited", "momentum_off",
        "freezing" (of normalization and dropout, after an epoch).
    """

    make_module: object = make_mlp
    optimizer: str = "sgd"
    options: frozenset = field(default_factory=frozenset)


CASES = {
    "linear": Case(make_linear),
    **{name: Case(make_mlp, name) for name in OPTIMIZERS},
    "conv": Case(make_conv, "momentum"),
    "layer-norm": Case(make_norm, "adam"),
    "batch-norm": Case(make_batch_norm, "momentum"),
    # No Adam: a bias before a batch norm has no gradient, and Adam turns the rounding
    # error that it has into steps of full length.
    "mean-norm": Case(partial(make_batch_norm, None), "nesterov"),
    "conv-norm": Case(make_conv_norm, "groups"),
    "dropout": Case(make_dropout, "adam"),
    "frozen-norm": Case(make_batch_norm, "momentum", frozenset({"freezing"})),
    "frozen-dropout": Case(make_dropout, "adam", frozenset({"freezing"})),
    "weighted": Case(make_mlp, "momentum", frozenset({"weighted"})),
    "class-weight": Case(make_mlp, "sgd", frozenset({"class_weight"})),
    "sum-reduction": Case(make_mlp, "sgd", frozenset({"sum"})),
    "schedule": Case(make_mlp, "adam", frozenset({"schedule"})),
    "unvisited": Case(make_mlp, "adam", frozenset({"unvisited"})),
    "momentum-off": Case(make_mlp, "momentum", frozenset({"momentum_off"})),
}


def make_data(seed=0, n_samples=N_SAMPLES):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n_samples, N_FEATURES, dtype=torch.float64, generator=generator)
    y = torch.arange(n_samples) % N_CLASSES
    return X, y


def make_criterion(options):
    weight = None
    if "class_weight" in options:
        weight = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    reduction = "sum" if "sum" in options else "mean"
    return nn.CrossEntropyLoss(weight=weight, reduction=reduction)


def make_sample_weight(options):
    if "weighted" not in options:
        return None
    return torch.linspace(0.2, 2.0, N_SAMPLES, dtype=torch.float64)


def make_batches(options, seed=1):
    """Return the batches of every epoch: lists of row numbers."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.arange(N_SAMPLES - 1 if "unvisited" in options else N_SAMPLES)
    return [
        rows[torch.randperm(len(rows), generator=generator)].split(N_BATCH)
        for _ in range(N_EPOCHS)
    ]


def train(case, *, store=None, removal_weight=None):
    """Train a case in a plain torch loop under recording.

    `removal_weight` (n_samples,) multiplies loss terms: the finite-difference handle.
    Returns the recorder's trajectory.
    """
    torch.manual_seed(0)
    module = case.make_module().double()
    X, y = make_data()
    criterion = make_criterion(case.options)
    sample_weight = make_sample_weight(case.options)
    model = TrackedModel.of(module, criterion, X, y, sample_weight)
    optimizer = OPTIMIZERS[case.optimizer](module)
    recorder = StepRecorder(model, module, optimizer, store)
    factors = torch.ones(N_SAMPLES, dtype=torch.float64)
    if sample_weight is not None:
        factors = factors * sample_weight
    if removal_weight is not None:
        factors = factors * removal_weight
    loss = model.loss
    for epoch, batches in enumerate(make_batches(case.options)):
        if epoch == 1 and "freezing" in case.options:
            for layer in module:
                layer.train(not isinstance(layer, nn.BatchNorm1d | nn.Dropout))
        for batch in batches:
            with recorder.step(batch, epoch):
                optimizer.zero_grad()
                each = loss.each(module(X[batch]), y[batch]) * factors[batch]
                (each.sum() / loss.divisor(y[batch], each.dtype)).backward()
                optimizer.step()
            if "momentum_off" in case.options:
                momentum = 0.0 if len(recorder.trajectory) in (4, 5) else 0.9
                optimizer.param_groups[0]["momentum"] = momentum
            if "schedule" in case.options:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.9
    recorder.snapshot()
    recorder.close()
    return recorder.trajectory


def query_loss(params, run):
    X, y = make_data(seed=5, n_samples=6)
    return MeanLoss(X, y)(params, run)


def query_classes(params, run):
    X, y = make_data(seed=6, n_samples=9)
    return ClassProbability(X, y, n_classes=N_CLASSES)(params, run)


def query_norm(params, run):
    return sum((p**2).sum() for p in params.values())


QUERIES = {"loss": query_loss, "classes": query_classes, "callable": query_norm}
