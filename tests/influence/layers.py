"""A small network of layers of its own, for tests of derivatives."""

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from tests.nets import N_COLUMNS, N_LABELS


class OwnSine(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].cos()


class Layers(nn.Module):
    """Two layers, and between them what `between` says."""

    def __init__(self, between="sine"):
        super().__init__()
        self.between = between
        self.body, self.head = nn.Linear(N_COLUMNS, 8), nn.Linear(8, N_LABELS)
        self.more = nn.Sequential(nn.Linear(8, 8), nn.Tanh())

    def forward(self, X):
        hidden = self.body(X)
        if self.between == "own function":
            hidden = OwnSine.apply(hidden)
        elif self.between == "checkpoint":
            hidden = checkpoint(self.more, hidden, use_reentrant=False)
        elif self.between == "reentrant":
            hidden = checkpoint(self.more, hidden, use_reentrant=True)
        elif self.between == "hardsigmoid":
            hidden = nn.functional.hardsigmoid(hidden)
        elif self.between == "local response":
            hidden = nn.CrossMapLRN2d(2)(hidden[:, :, None, None]).flatten(1)
        elif self.between == "detached":
            hidden = hidden * torch.sigmoid(hidden).detach()
        else:
            hidden = hidden.sin()
        return self.head(hidden)
