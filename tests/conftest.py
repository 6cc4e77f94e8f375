"""Fixtures that any test may ask for, and the rule that skips GPU tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def data_directory() -> Path:
    """Folder with the real data sets: DIT_CLEAN_DATA, else ../shared/data."""
    folder = Path(os.environ.get("DIT_CLEAN_DATA") or DEFAULT_DATA)
    if not folder.is_dir():
        pytest.skip("no folder of data sets: set DIT_CLEAN_DATA to one")
    return folder


@pytest.fixture(scope="session")
def data_file(data_directory: Path) -> Callable[[str], Path]:
    """Return the path of one data set, or skip the test that asked for it."""

    def find(name: str) -> Path:
        path = data_directory / name
        if not path.is_file():
            pytest.skip(f"{name} is not among the data sets")
        return path

    return find


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start each test from the same random states, whatever ran before it."""
    import numpy as np
    import torch

    np.random.seed(0)  # noqa: NPY002 (scikit-learn's default state is the legacy one)
    torch.manual_seed(0)


@pytest.fixture
def torch_settings() -> Iterator[None]:
    """Restore the global settings of torch that the test changes."""
    from dit_clean.tracking.exclusive import TorchSettings

    with TorchSettings.now().in_force():
        yield


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is None:
        return
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
