"""The cells of the detection benchmark: which data, which noise, which training."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from _data import Data, adult, breast_cancer, cifar10, digits, fashion_mnist, newsgroups
from _keel import KEEL, keel
from _more_data import (
    N_SONGS_TO_TRAIN,
    generated,
    music,
    music_annotations,
    sms_spam,
    wine,
)
from _noise import NOISES

REGIMES = {"normal": 30, "over-trained": 100}
"""Epochs of training."""
VALIDATION_SHARE = 0.05
MAX_TEST = 2000
ORDER = [
    *(("normal", rank) for rank in range(3)),
    ("over-trained", 0),
    *(("normal", rank) for rank in range(3, 6)),
    ("over-trained", 1),
]
"""Which of each data set's noises comes when; two of them are over-trained."""
ASYMMETRIC = ("pair", "one-class")


@dataclass(frozen=True)
class Spec:
    """A data set of the benchmark: its half, its rows and its noises, by priority."""

    half: str
    load: Callable[[], Data]
    n_train: int
    noises: tuple[str, ...]
    uses_cnn: bool = False


MULTI = ("symmetric-30", "pair-30", "one-class-40", "instance-20", "symmetric-10")
BINARY = ("one-class-30", "symmetric-30", "instance-20", "symmetric-10")
DATA = {
    "digits": Spec("dev", lambda: digits(None), 1200, (*MULTI[:2], "none", *MULTI[2:])),
    "adult": Spec("dev", adult, 1500, (*BINARY, "none")),
    "sms_spam": Spec(
        "dev", lambda: sms_spam(400), 1500, ("one-class-40", *BINARY[1:], "none")
    ),
    "generated 26": Spec("dev", lambda: generated(26, 4000), 1800, MULTI),
    "generated 2 1:20": Spec(
        "dev", lambda: generated(2, 4000, imbalance=20), 1500, BINARY
    ),
    "music single": Spec("dev", music, N_SONGS_TO_TRAIN, ("real-single",)),
    "fashion": Spec("confirm", lambda: fashion_mnist(None, 14), 1500, (*MULTI, "none")),
    "breast_cancer": Spec(
        "confirm", breast_cancer, 380, (*BINARY[:2], "none", *BINARY[2:])
    ),
    "newsgroups": Spec("confirm", lambda: newsgroups(400), 1200, BINARY),
    "generated 2": Spec("confirm", lambda: generated(2, 4000), 1500, BINARY),
    "generated 10": Spec("confirm", lambda: generated(10, 4000), 1500, MULTI),
    "generated 100": Spec(
        "confirm",
        lambda: generated(100, 5000),
        2000,
        ("symmetric-30", "pair-30", "symmetric-10"),
    ),
    "music majority": Spec("confirm", music, N_SONGS_TO_TRAIN, ("real-majority",)),
    "wine": Spec(
        "confirm", wine, 110, ("symmetric-30", "pair-30", "one-class-40", "none")
    ),
    "cifar CNN": Spec("confirm", cifar10, 1200, BINARY[:3], uses_cnn=True),
    "fashion CNN": Spec(
        "confirm",
        lambda: fashion_mnist(None),
        1000,
        ("symmetric-30", "pair-30", "one-class-40", "instance-20"),
        uses_cnn=True,
    ),
}
UNSEEN = {
    name: Spec(
        "unseen" if place % 2 else "opened",
        partial(keel, name),
        min(1500, round(0.6 * n_rows)),
        (*(BINARY[:3] if n_classes == 2 else MULTI[:4]), "none"),
    )
    for place, (name, (n_rows, n_classes)) in enumerate(sorted(KEEL.items()))
}
"""Tables that were not at hand when defaults were chosen. Every second one, "opened",
may be looked at to find what is to be mended; the others only when all is done."""
SPECS = DATA | UNSEEN


@dataclass(frozen=True)
class Cell:
    """One training set with wrong labels, and how networks are trained on it."""

    data: str
    noise: str
    regime: str
    seed: int

    @property
    def n_epochs(self) -> int:
        return REGIMES[self.regime]

    @property
    def key(self) -> str:
        return "|".join(str(value) for value in asdict(self).values())


@dataclass(frozen=True)
class Problem:
    """The arrays of a cell.

    Attributes
    ----------
    train, validation, test : Data
        Disjoint rows with their true labels; validation and test are clean.
    given : ndarray of int, shape (n_train,)
        Training labels with errors.
    uses_cnn : bool
        Whether networks are small CNNs rather than the default MLP.
    """

    train: Data
    validation: Data
    test: Data
    given: np.ndarray
    uses_cnn: bool

    @property
    def wrong(self) -> np.ndarray:
        return self.given != self.train.y

    @property
    def n_classes(self) -> int:
        return self.train.n_classes


def iterate_cells(
    data: Iterable[str], noises: Iterable[str], regimes: Iterable[str], seeds: list[int]
) -> Iterator[Cell]:
    """Yield cells so that every beginning of the list stands for the whole.

    Seed 0 before the others; each data set's first noises before its others.
    """
    chosen = [name for name in SPECS if name in set(data)]
    for seed in seeds:
        for regime, rank in ORDER:
            for name in chosen if regime in set(regimes) else ():
                for noise in SPECS[name].noises[rank : rank + 1]:
                    if noise.startswith(tuple(noises)):
                        yield Cell(name, noise, regime, seed)


def make_problem(cell: Cell) -> Problem:
    """Return the arrays of a cell; its seed draws rows and noise."""
    spec = SPECS[cell.data]
    data, generator = spec.load(), np.random.RandomState(1000 + cell.seed)
    kind, _, size = cell.noise.rpartition("-")
    if kind == "real":
        order = np.arange(len(data.y))
        generator.shuffle(order[spec.n_train :])
    else:
        order = generator.permutation(len(data.y))
    n_clean = round(VALIDATION_SHARE * spec.n_train)
    bounds = np.cumsum([spec.n_train, n_clean, MAX_TEST])
    train, validation, test = (data.rows(rows) for rows in np.split(order, bounds)[:3])
    if kind == "real":
        given = music_annotations(size)
    elif cell.noise == "none":
        given = train.y.copy()
    else:
        given = NOISES[kind](train.X, train.y, int(size) / 100, generator)
    return Problem(train, validation, test, given, spec.uses_cnn)
