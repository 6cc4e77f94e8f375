"""Cleaners that are fitted once for all tests of a file."""

import pytest

from tests.estimators.cases import make_cleaner, make_labels, make_targets


@pytest.fixture(scope="module")
def data():
    return make_labels()


@pytest.fixture(scope="module")
def fitted(data):
    return make_cleaner(storage="all").fit(*data)


@pytest.fixture(scope="module")
def regression():
    return make_cleaner().fit(*make_targets())
