"""Copies of modules have their own of what they hold."""

from functools import partial

import pytest
from torch import nn

from dit_clean.tracking.copies import copied


class Holder(nn.Module):
    """Holds functions that refer to it, and to each other."""

    def __init__(self):
        super().__init__()
        n_calls = 0

        def even(n):
            nonlocal n_calls
            n_calls += 1
            return odd(n - 1) if n else self

        def odd(n):
            return even(n - 1) if n else self

        def by_keyword(n, *, holder=self):
            return holder.count()

        even.step = 1
        self.even, self.odd, self.by_keyword = even, odd, by_keyword
        self.count = lambda: (self, n_calls)


@pytest.mark.parametrize("name", ["even", "odd"])
@pytest.mark.parametrize("n", range(3))
def test_functions_that_call_each_other_refer_to_one_copy(name, n):
    copy = copied(Holder())
    assert getattr(copy, name)(n) is copy


def test_functions_of_a_copy_share_what_those_of_the_module_share():
    module = Holder()
    copy = copied(module)
    copy.even(0)
    assert copy.count() == copy.by_keyword(0) == (copy, 1)
    assert module.count() == (module, 0)


def test_functions_keep_their_attributes():
    assert copied(Holder()).even.step == 1


class Frozen(dict):
    def __setitem__(self, key, value):
        raise TypeError(f"{key} is read-only")

    def __deepcopy__(self, memo):
        return Frozen(self)


def test_settings_without_functions_are_left_alone():
    module = nn.Linear(1, 1)
    module.settings = Frozen(sizes=(1, 2))
    assert copied(module).settings == {"sizes": (1, 2)}


class Applied(nn.Module):
    """Holds partial functions that refer to it, by themselves or by an argument."""

    def __init__(self):
        super().__init__()
        self.own = partial(lambda: self)
        self.given = partial(lambda which: which(), which=lambda: self)
        self.other = partial(int, "7")


def test_partial_functions_refer_to_the_copy():
    module = Applied()
    copy = copied(module)
    assert copy.own() is copy.given() is copy
    assert module.own() is module.given() is module
    assert copy.other() == 7
