"""sample_weight multiplies loss terms; the divisor of the batch stays."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from dit_clean import track
from dit_clean.queries import MeanLoss
from tests.nets import Probabilities, make_net, make_rows


@pytest.mark.parametrize("class_weight", [None, torch.tensor([0.5, 1.0, 2.0])])
def test_weighted_training_equals_a_hand_written_loop(class_weight):
    X, y = make_rows()
    weight = np.linspace(0, 2, len(X))
    net = make_net(criterion__weight=class_weight, optimizer__momentum=0.9)
    trajectory = track(net, X, y, sample_weight=weight, random_state=0).trajectory
    module = nn.Linear(4, 3)
    params = {k.removeprefix("output."): v for k, v in trajectory.params(0).items()}
    module.load_state_dict(params)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    X, y, weight = torch.tensor(X), torch.tensor(y), torch.tensor(weight).float()
    for record in trajectory:
        rows = record.sample_indices
        losses = nn.functional.cross_entropy(
            module(X[rows]), y[rows], weight=class_weight, reduction="none"
        )
        divisor = len(rows) if class_weight is None else class_weight[y[rows]].sum()
        optimizer.zero_grad()
        ((losses * weight[rows]).sum() / divisor).backward()
        optimizer.step()
    end = trajectory.params(trajectory.n_steps)
    for name, values in module.named_parameters():
        assert torch.allclose(end[f"output.{name}"], values, atol=1e-6)


def test_weights_of_one_change_nothing():
    X, y = make_rows()
    plain = track(make_net(), X, y, random_state=0).trajectory
    ones = pd.Series(np.ones(len(X)), index=np.arange(len(X))[::-1] + 7)
    weighted = track(make_net(), X, y, sample_weight=ones, random_state=0).trajectory
    assert torch.allclose(weighted.state(9).params, plain.state(9).params, atol=1e-6)


def test_sample_of_weight_zero_has_no_influence():
    X, y = make_rows()
    weight = np.ones(len(X))
    weight[7] = 0
    net = make_net(Probabilities, criterion=nn.NLLLoss)
    scores = track(net, X, y, sample_weight=weight).influence(MeanLoss(X, y))
    assert scores[7] == 0
    assert (np.delete(scores, 7) != 0).all()
