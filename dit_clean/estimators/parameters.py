"""What each parameter of `InfluenceCleaner` may be, and which ones need training."""

from numbers import Number

from dit_clean.checks import (
    either,
    is_bool,
    is_device,
    is_int,
    is_n_jobs,
    is_one_of,
    is_real,
    is_sizes,
)
from dit_clean.memory import parse_bytes
from dit_clean.tracking.default_net import OPTIMIZERS

TRAINING_PARAMETERS = (
    "net",
    "cv",
    "max_epochs",
    "batch_size",
    "lr",
    "optimizer",
    "hidden_layer_sizes",
    "task",
    "random_state",
)
PARAMETERS = {
    "scoring": is_one_of("combined", "influence", "margin"),
    "contamination": either(is_one_of("auto"), is_real(0, 0.5)),
    "cv": either(
        is_int(2),
        (
            lambda cv: not isinstance(cv, Number | str | None),
            "a scikit-learn splitter",
        ),
    ),
    "max_epochs": is_int(1),
    "batch_size": is_int(1),
    "lr": either(is_one_of("auto"), is_real(0)),
    "optimizer": is_one_of(*OPTIMIZERS),
    "hidden_layer_sizes": is_sizes(),
    "history": is_one_of("window", "full"),
    "storage": is_one_of("auto", "all", "none"),
    # Raises by itself where there is nothing to read.
    "max_memory": (lambda amount: parse_bytes(amount) > 0, "an amount of memory"),
    "device": either(is_one_of("auto"), is_device()),
    "n_jobs": is_n_jobs(),
    "verbose": either(is_int(0), is_bool()),
    "weighting": is_one_of("hard", "soft", "hard-balanced", "soft-balanced"),
    "task": is_one_of("auto", "classification", "regression"),
}
