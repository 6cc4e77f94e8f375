"""Embeddings: options that change gradients, rows of padding, tied weights."""

import numpy as np
import pytest
import torch
from torch import nn

from dit_clean import track
from dit_clean.queries import MeanLoss
from tests.nets import N_LABELS, make_net, make_rows


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"max_norm": 1.0}, "rescales its weights.*max_norm=None"),
        ({"scale_grad_by_freq": True}, "forgets in the second.*scale_grad_by_freq"),
    ],
)
def test_embeddings_that_change_gradients_or_weights_are_refused(option, message):
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(50, N_LABELS, **option)

        def forward(self, X):
            return self.table(X).mean(1)

    X, y = make_rows()
    with pytest.raises(ValueError, match=message):
        track(make_net(Embedded), np.abs(X * 5).astype(np.int64), y)


class Padded(nn.Module):
    """Token numbers, padded with 0."""

    def __init__(self, *, detached=False, padding_idx=0):
        super().__init__()
        self.table = nn.Embedding(20, N_LABELS, padding_idx=padding_idx)
        self.detached = detached

    def forward(self, X):
        X = self.table(X).mean(1)
        return X * torch.sigmoid(X).detach() if self.detached else X.sin()


def make_tokens():
    X, y = make_rows()
    return np.clip(X * 3, 0, 19).astype(np.int64), y


def test_rows_of_padding_are_constants():
    X, y = make_tokens()
    run = track(make_net(Padded, lr=0.01), X, y, random_state=0)
    query = MeanLoss(X, y)
    found, expected = run.influence(query), run.leave_one_out(query)
    assert np.corrcoef(found, expected)[0, 1] > 0.99
    with pytest.raises(ValueError, match=r"derivatives of Padded are wrong"):
        track(make_net(Padded, module__detached=True), X, y, random_state=0)


class TiedByLayer(Padded):
    def __init__(self):
        super().__init__()
        self.back = nn.Linear(N_LABELS, 20)
        self.back.weight = self.table.weight

    def forward(self, X):
        return self.back(super().forward(X))


class TiedByFunction(Padded):
    def forward(self, X):
        return nn.functional.linear(super().forward(X), self.table.weight)


@pytest.mark.parametrize("module", [TiedByLayer, TiedByFunction])
def test_padding_that_is_trained_by_another_way_is_refused(module):
    with pytest.raises(ValueError, match=r"'table'.*shares its weights.*padding_idx"):
        track(make_net(module), *make_tokens(), random_state=0)
