"""Parameters as one flat vector, and back."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from dit_clean.tracking import ParameterLayout
from dit_clean.tracking.layout import FlatCopier


def make_module():
    return nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1, bias=False))


def test_parts_of_the_vector_are_the_parameters():
    module = make_module()
    layout = ParameterLayout.of(module, torch.optim.SGD(module.parameters(), lr=1.0))
    params = dict(module.named_parameters())
    found = layout.unflatten(parameters_to_vector(module.parameters()))
    assert found.keys() == params.keys()
    assert all(torch.equal(found[name], params[name]) for name in params)
    assert layout.n_params == 3 * 2 + 2 + 2


def test_leading_axes_are_kept():
    module = make_module()
    layout = ParameterLayout.of(module, torch.optim.SGD(module.parameters(), lr=1.0))
    rows = torch.arange(20.0).reshape(2, 10)
    parts = layout.unflatten(rows)
    assert {name: tuple(p.shape) for name, p in parts.items()} == {
        "0.weight": (2, 2, 3),
        "0.bias": (2, 2),
        "1.weight": (2, 1, 2),
    }
    for row, theta in enumerate(rows):
        assert torch.equal(parts["0.bias"][row], layout.unflatten(theta)["0.bias"])


def test_groups_follow_the_optimizer_and_leave_out_frozen_parameters():
    module = make_module()
    module[0].bias.requires_grad_(False)
    groups = [{"params": module[1].parameters()}, {"params": module[0].parameters()}]
    layout = ParameterLayout.of(module, torch.optim.SGD(groups, lr=1.0))
    assert layout.names == ("1.weight", "0.weight")
    assert layout.groups == (slice(0, 2), slice(2, 8))


def test_mixed_or_missing_parameters_are_refused():
    module = make_module()
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    with pytest.raises(ValueError, match="one real floating-point dtype"):
        module[1].double()
        ParameterLayout.of(module, optimizer)
    module.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        ParameterLayout.of(module, optimizer)
    stranger = torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=1.0)
    with pytest.raises(ValueError, match=r"shape \(2,\).*does not belong"):
        ParameterLayout.of(make_module(), stranger)


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def test_flat_copies_follow_updates_in_place():
    params, copier = list(make_module().parameters()), FlatCopier()
    first = copier.copy(params)
    with torch.no_grad():
        params[0].add_(1.0)
    second = copier.copy(params)
    assert not torch.equal(first, second)  # a copy, not a view
    assert torch.equal(second, flat(params))


def test_flat_copies_follow_tensors_that_were_replaced():
    params, copier = list(make_module().parameters()), FlatCopier()
    copier.copy(params)
    params[1].data = torch.full_like(params[1], 7.0)
    assert torch.equal(copier.copy(params), flat(params))
    assert torch.equal(copier.copy(params[:1]), flat(params[:1]))


def test_flat_copies_follow_tensors_that_lie_differently_in_the_same_memory():
    (weight,), copier = list(nn.Linear(3, 3, bias=False).parameters()), FlatCopier()
    copier.copy([weight])
    weight.data = weight.data.t()
    assert torch.equal(copier.copy([weight]), weight.detach().flatten())
    weight.data = weight.data.t()[:2]
    assert torch.equal(copier.copy([weight]), weight.detach().flatten())


def test_flat_copies_of_elements_out_of_order_in_memory():
    images = torch.arange(48.0).reshape(2, 3, 2, 4)
    images = images.to(memory_format=torch.channels_last)
    copier = FlatCopier()
    for _ in range(2):
        assert torch.equal(copier.copy([images]), images.flatten())
        images += 1


def test_views_are_not_sent_along():
    copier = FlatCopier()
    copier.copy([torch.zeros(100_000)])
    assert len(pickle.dumps(copier)) < 200
