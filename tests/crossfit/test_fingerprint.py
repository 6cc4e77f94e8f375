"""What of a network's code counts as the same network."""

import importlib
import sys
import types

import pytest

from dit_clean.crossfit.fingerprint import fingerprint, parameter_order
from tests.nets import Linear, make_net

LAYERS = """
def scaled(X):
    return 2 * X
"""
CELL = """
import collections
import functools
import layers
import types
import unittest.mock
import numpy
import torch
from torch import nn

N_HIDDEN = 8
SCALES = {"input": 1.0}
OFFSETS = torch.zeros(3)

def traced(method):
    @functools.wraps(method)
    def inner(*args):
        return method(*args)
    return inner

def clipped(value, top):
    return min(value, top)

shortened = functools.partial(clipped, top=9)
Activation = nn.ReLU

class Base(nn.Module):
    width = 4

    @traced
    @traced
    def forward(self, X):
        return layers.scaled(self.layers(X) * SCALES["input"] + OFFSETS) - 7

class Block(nn.Module):
    def forward(self, X):
        return X + 1

class Gate(nn.Module):
    def forward(self, X):
        return X * 11

class Mixer(nn.Module):
    def forward(self, X):
        return X * 12

class Head(nn.Module):
    def forward(self, X):
        return X * 13

class Tail(nn.Module):
    def forward(self, X):
        return X * 14

class Settings:
    def scale(self):
        return 15

GATES = {"gate": Gate}
MIXED = {"act": lambda X: X * 31, "rate": 32, "steps": [{"by": lambda X: X * 33}]}
NESTED = {"a": {"b": {"c": {"act": lambda X: X, "width": 43}}}}
ORDER = {"one": 44, "two": 45}
HELD = types.SimpleNamespace(act=lambda X: X, width=46)
QUEUE = collections.deque([lambda X: X, 47])
OBJECTS = numpy.array([lambda X: X, 48], dtype=object)
ORDER["self"] = ORDER

def mixed(a, b):
    return a - 3 * b

DEEP = {"a": {"b": [{"c": {"d": [{"e": 42}]}}]}}
ANSWERS = unittest.mock.MagicMock()
damped = functools.partial(lambda X, by: X * by * 34, by=35)

@functools.singledispatch
def sized(value):
    return 36

@sized.register
def _(value: int):
    return 37

def tuned():
    return tuned.by

tuned.by = 38

class Registered(type):
    @property
    def order(cls):
        return 39

class Kind(metaclass=Registered):
    __kind__ = 40

tail = nn.Sequential(Tail())
settings = Settings()

class Net(Base):
    mixer = Mixer
    table = numpy.arange(17)

    class Inner:
        depth = 16

    def __init__(self, depth=1, head=Head):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, N_HIDDEN), Activation(), Block())

    @property
    def size(self):
        return 3 in {1, 2, 3} or shortened(5) or GATES or tail or settings

    @size.setter
    def size(self, value):
        self.depth = (41, MIXED, DEEP, ANSWERS, damped, sized, tuned, Kind)
        self.others = (NESTED, ORDER, HELD, QUEUE, OBJECTS, mixed)
"""


def fingerprint_of(monkeypatch, cell=CELL, layers=LAYERS):
    for name, source in (("layers", layers), ("cell", cell)):
        module = types.ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(source, vars(module))
    return fingerprint(make_net(sys.modules["cell"].Net))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("N_HIDDEN = 8", "N_HIDDEN = 16"),  # a constant that a method reads
        ("Activation = nn.ReLU", "Activation = nn.Tanh"),  # another class
        ("width = 4", "width = 5"),  # a class attribute of a base
        ("X + 1", "X + 2"),  # a class that is used inside
        ("depth=1", "depth=2"),  # a default
        ("{1, 2, 3}", "{1, 2, 4}"),
        ("- 7", "- 8"),  # inside of two decorators
        ("(*args)\n    return", "(*args[::-1])\n    return"),  # a decorator itself
        ('"input": 1.0', '"input": 2.0'),  # a dictionary that a method reads
        ("zeros(3)", "ones(3)"),  # a tensor
        ("min(value", "max(value"),  # a function inside of a partial one
        ("top=9", "top=8"),
        ("arange(17)", "arange(27)"),
        ("X * 11", "X * 21"),  # a class in a dictionary
        ("X * 12", "X * 22"),  # a class that is an attribute
        ("X * 13", "X * 23"),  # a class that is a default
        ("X * 14", "X * 24"),  # the class of a module
        ("return 15", "return 25"),  # the class of another object
        ("depth = 16", "depth = 26"),  # a class inside of a class
        ("X * 31", "X * 0"),  # a lambda in a dictionary
        ('"rate": 32', '"rate": 0'),  # a number beside it
        ("X * 33", "X * 0"),  # deeper
        ("by * 34", "by * 0"),  # a lambda in a partial function
        ("by=35", "by=0"),
        ("return 36", "return 0"),  # a function for any type
        ("return 37", "return 0"),  # for another
        ("by = 38", "by = 0"),  # an attribute of a function
        ("return 39", "return 0"),  # a metaclass
        ("__kind__ = 40", "__kind__ = 0"),
        ("(41,", "(0,"),  # a setter
        ('"e": 42', '"e": 0'),  # deeper still
        ('"width": 43', '"width": 0'),
        ('"one": 44, "two": 45', '"two": 45, "one": 44'),  # the order of entries
        ("width=46", "width=0"),  # beside a lambda
        ("X, 47", "X, 0"),
        ("X, 48", "X, 0"),
        ("(a, b):\n    return a - 3 * b", "(b, a):\n    return b - 3 * a"),
    ],
)
def test_a_change_anywhere_counts(monkeypatch, old, new):
    before = fingerprint_of(monkeypatch)
    assert fingerprint_of(monkeypatch, CELL.replace(old, new)) != before
    assert fingerprint_of(monkeypatch, CELL) == before


def test_functions_of_own_modules_count(monkeypatch):
    before = fingerprint_of(monkeypatch)
    changed = LAYERS.replace("2 * X", "3 * X")
    assert fingerprint_of(monkeypatch, layers=changed) != before


@pytest.mark.parametrize(
    ("header", "call"),
    [
        ("import own.deep.layers", "own.deep.layers.scaled(X)"),
        ("from own import deep", "deep.layers.scaled(X)"),
        ("", "imported(X)"),
    ],
)
def test_modules_within_modules_count(monkeypatch, tmp_path, header, call):
    source = f"""
{header}
from torch import nn

class Net(nn.Module):
    def forward(self, X):
        {"from own.deep.layers import scaled as imported" if not header else "pass"}
        return {call}
"""
    folder = tmp_path / "own" / "deep"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    def found(layers):
        (folder / "layers.py").write_text(layers)
        for name in ("own", "own.deep", "own.deep.layers", "with_own"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        importlib.import_module("own.deep.layers")
        module = types.ModuleType("with_own")
        monkeypatch.setitem(sys.modules, "with_own", module)
        exec(source, vars(module))
        return fingerprint(make_net(module.Net))

    before = found(LAYERS)
    assert found(LAYERS.replace("2 * X", "35 * X")) != before
    assert found(LAYERS) == before


def test_comments_and_lines_do_not_count(monkeypatch):
    before = fingerprint_of(monkeypatch)
    assert fingerprint_of(monkeypatch, "\n\n# a net\n" + CELL) == before


def test_libraries_are_left_out():
    assert set(fingerprint(make_net(Linear))) == {"tests.nets.Linear"}


def test_the_order_of_entries_of_a_parameter_counts():
    nets = [
        make_net(Linear, module__sizes={name: name for name in names})
        for names in ("ab", "ba", "ab")
    ]
    one, other, same = map(parameter_order, nets)
    assert one == same != other
