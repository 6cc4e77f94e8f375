"""Where a GPU pays: `InfluenceCleaner.fit` on it and on one core of the CPU.

Default network (other hidden layers where given), made data, 3 epochs. Both take turns
after a warm-up; elapsed seconds, and the median ratio of neighboring runs.

    OMP_NUM_THREADS=1 python benchmarks/gpu.py [--quick]

Image networks are trained plainly by skorch, under `track`, and asked for the influence
of all samples, all three on the GPU.
"""

import argparse
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from _machine import machine, write_tables
from skorch import NeuralNetClassifier
from torch import nn

from dit_clean import InfluenceCleaner, track
from dit_clean.queries import MeanLoss

N_ROWS, N_IMAGES, N_CLASSES = 4096, 2048, 10
# features, hidden layers, batch
TABLES = [
    (20, (100,), 64),
    (784, (100,), 64),
    (2000, (100,), 64),
    (784, (256, 256), 64),
    (784, (256, 256), 256),
    (784, (512, 512), 64),
]


def make_plain() -> nn.Module:
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise((3, 32, 64, 128)):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, N_CLASSES))


class Block(nn.Module):
    """Two convolutions and what they are added to."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        stride = 1 if n_in == n_out else 2
        self.convolutions = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut = nn.Sequential()
        if stride == 2:
            self.shortcut.append(nn.Conv2d(n_in, n_out, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(n_out))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.convolutions(X) + self.shortcut(X))


def make_resnet() -> nn.Module:
    """Return a ResNet-18 for small images."""
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    first = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    blocks = [Block(*pair) for pair in pairwise(widths)]
    last = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, N_CLASSES)]
    return nn.Sequential(first, nn.BatchNorm2d(64), nn.ReLU(), *blocks, *last)


IMAGE_NETS = {"plain, 3 convolutions": make_plain, "ResNet-18": make_resnet}


def seconds(function: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def draw(n_rows: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    X = generator.standard_normal((n_rows, *shape), dtype=np.float32)
    return X, X.reshape(n_rows, -1)[:, :N_CLASSES].argmax(axis=1)


def table_row(
    n_features: int, hidden: tuple[int, ...], batch_size: int, n_repeats: int
) -> str:
    X, y = draw(N_ROWS, n_features)

    def fit(device: str) -> float:
        cleaner = InfluenceCleaner(
            hidden_layer_sizes=hidden,
            batch_size=batch_size,
            max_epochs=3,
            device=device,
            random_state=0,
        )
        return seconds(lambda: cleaner.fit(X, y))

    found = np.array([[fit("cuda"), fit("cpu")] for _ in range(n_repeats)])
    gpu, cpu = np.median(found, axis=0)
    ratio = np.median(found[:, 0] / found[:, 1])
    sizes = [n_features, *hidden, N_CLASSES]
    n_weights = sum(n_in * n_out for n_in, n_out in pairwise(sizes))
    shape = "-".join(map(str, sizes))
    times = f"{gpu:.2f} | {cpu:.2f} | {ratio:.2f}"
    return f"| {shape} | {n_weights} | {batch_size} | {times} |"


def images_row(name: str, n_repeats: int) -> str:
    X, y = draw(N_IMAGES, 3, 32, 32)
    net = NeuralNetClassifier(
        IMAGE_NETS[name],
        criterion=nn.CrossEntropyLoss,
        device="cuda",
        max_epochs=3,
        batch_size=128,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    query = MeanLoss(X[:512], y[:512])
    net.fit(X, y)
    torch.cuda.reset_peak_memory_stats()
    run = track(net, X, y, random_state=0)
    rounds = [
        (
            seconds(lambda: net.fit(X, y)),
            seconds(lambda: track(net, X, y, random_state=0)),
            seconds(lambda: run.influence(query)),
        )
        for _ in range(n_repeats)
    ]
    plain, *others = np.median(rounds, axis=0)
    ratios = " | ".join(f"{s:.2f} ({s / plain:.2f})" for s in others)
    memory = torch.cuda.max_memory_allocated() / 2**30
    return f"| {name} | {plain:.2f} | {ratios} | {memory:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="one repeat of few rows")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA device here: nothing to compare.")
        return
    torch.set_num_threads(1)
    n_repeats, tables = (1, TABLES[:2]) if args.quick else (3, TABLES)
    InfluenceCleaner(max_epochs=1, device="cuda").fit(*draw(N_ROWS, 20))
    rows = [table_row(*row, n_repeats) for row in tables]
    parts = [
        "\n".join(
            [
                f"**`InfluenceCleaner.fit`, {N_ROWS} rows, 3 epochs**, seconds",
                "",
                "| network | weights | batch | GPU | CPU | GPU / CPU |",
                "|---" * 6 + "|",
                *rows,
            ]
        ),
        "\n".join(
            [
                f"**Image networks, {N_IMAGES} images of 3 x 32 x 32, 3 epochs**, "
                "seconds on the GPU (and times plain training), and the most memory "
                "of the GPU that was taken",
                "",
                "| network | skorch | `track` | influence of all samples | GiB |",
                "|---" * 5 + "|",
                *(images_row(name, n_repeats) for name in IMAGE_NETS),
            ]
        ),
    ]
    command = "OMP_NUM_THREADS=1 python benchmarks/gpu.py"
    where = f"{torch.cuda.get_device_name()}; {machine()}"
    write_tables("gpu", command, where, parts, keep=not args.quick)


if __name__ == "__main__":
    main()
