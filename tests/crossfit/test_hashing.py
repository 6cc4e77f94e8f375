"""Hashes that are the same in every process."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean.crossfit.hashing import hash_of
from tests.nets import Linear, make_net

IN_ANOTHER_PROCESS = """
import torch
from dit_clean.crossfit.hashing import hash_of
from tests.nets import Linear, make_net
print(hash_of(make_net(Linear, criterion__weight=torch.tensor([1.0, 2.0, 3.0]))))
"""


def test_a_net_with_tensors_has_one_hash_in_all_processes():
    net = make_net(Linear, criterion__weight=torch.tensor([1.0, 2.0, 3.0]))
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.strip() == hash_of(net)


OF_SETS = """
from torch import nn
from dit_clean.crossfit.fingerprint import fingerprint
from dit_clean.crossfit.hashing import hash_of
from tests.crossfit.test_hashing import Chosen
from tests.nets import make_net
net = make_net(Chosen, module__names=frozenset({"relu", "tanh", "sigmoid"}))
print(hash_of(fingerprint(net)), hash_of(net))
"""


class Chosen(Linear):
    def __init__(self, names):
        super().__init__()
        self.is_known = "relu" in {"relu", "tanh", "gelu"} and "tanh" in names


def test_sets_have_one_hash_whatever_their_order():
    found = set()
    for seed in ("1", "2", "3"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", OF_SETS]
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        )
        found.add(run.stdout)
    assert len(found) == 1


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
