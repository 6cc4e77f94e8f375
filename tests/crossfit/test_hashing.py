"""Hashes that are the same in every process."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean.crossfit.fingerprint import fingerprint
from dit_clean.crossfit.hashing import hash_of
from tests.nets import Linear, make_net

WITH_SETS = {"module__names": frozenset({"relu", "tanh", "sigmoid"})}
IN_ANOTHER_PROCESS = """
from tests.crossfit.test_hashing import hashes_of_nets
print(hashes_of_nets())
"""


class Chosen(Linear):
    def __init__(self, names):
        super().__init__()
        self.is_known = "relu" in {"relu", "tanh", "gelu"} and "tanh" in names


def hashes_of_nets():
    """Return hashes of a net with tensors and of one with sets, code included."""
    with_tensors = make_net(Linear, criterion__weight=torch.tensor([1.0, 2.0, 3.0]))
    with_sets = make_net(Chosen, **WITH_SETS)
    nets = with_tensors, with_sets, fingerprint(with_sets)
    return [hash_of(net) for net in nets]


# Sets are read in another order under each of these.
@pytest.mark.parametrize("seed", ["1", "2"])
def test_nets_have_one_hash_in_all_processes(seed):
    run = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": seed},
    )
    assert run.stdout.strip() == str(hashes_of_nets())


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (torch.zeros(2), torch.ones(2)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2), torch.zeros(2, 1)),
        (torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
        (torch.zeros(2), nn.Parameter(torch.zeros(2))),
        (torch.zeros(2), torch.zeros(2, requires_grad=True)),
        (torch.zeros(2), np.zeros(2)),
        (frozenset({"a", "b"}), frozenset({"a", "c"})),
        (frozenset({"a", "b"}), {"a", "b"}),
    ],
)
def test_tensors_that_differ_have_other_hashes(value, other):
    assert hash_of(value) != hash_of(other)
    again = copy.deepcopy(value)
    assert hash_of({"of": (value,)}) == hash_of({"of": (again,)})


def test_where_a_tensor_lies_does_not_count():
    values = torch.arange(6.0).reshape(2, 3)
    assert hash_of(values.T) == hash_of(values.T.contiguous())
    assert hash_of(values[1]) == hash_of(values[1].clone())
    column = torch.ones(1, 3)
    assert hash_of(column.T) == hash_of(column.T.clone())
