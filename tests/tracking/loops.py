"""Plain torch loops under a `StepRecorder`."""

from functools import partial

import torch
from torch import nn

from dit_clean.tracking import StepRecorder, TrackedModel
from tests.nets import N_COLUMNS, N_LABELS, make_rows

LOSS = nn.CrossEntropyLoss()


def make_parts():
    X, y = map(torch.as_tensor, make_rows())
    torch.manual_seed(0)
    body, head = nn.Linear(N_COLUMNS, 8), nn.Linear(8, N_LABELS)
    return nn.Sequential(body, nn.Tanh(), nn.Dropout(0.5), head), X, y


def nothing():
    pass


def record(net, optimizer, X, y, n_epochs=2, rows_of=lambda batch: batch, **options):
    """Return the trajectory of a plain loop; options replace parts of it."""
    criterion = options.get("criterion", LOSS)
    model, store = TrackedModel.of(net, criterion, X, y), options.get("store")
    recorder = StepRecorder(model, net, optimizer, store)
    context = options.get("context", torch.enable_grad)
    begin_step = options.get("begin_step", nothing)
    before_step = options.get("before_step", nothing)
    after_step = options.get("after_step", nothing)
    between_steps = options.get("between_steps", nothing)
    n_batch = options.get("n_batch", 15)
    for epoch in range(n_epochs):
        for batch in torch.arange(len(X)).split(n_batch):
            with recorder.step(rows_of(batch), epoch):
                begin_step()
                optimizer.zero_grad()
                with context():
                    loss = criterion(net(X[batch]), y[batch])
                loss.backward()
                before_step()
                optimizer.step()
                after_step()
            between_steps()
    recorder.snapshot()
    recorder.close()
    return recorder.trajectory


def make_norm():
    net, X, y = make_parts()
    net[2] = nn.BatchNorm1d(8)
    return net, X, y


def trained_with_closures(net, optimizer, X, y, look):
    """Return the trajectory of a loop that looks at the outputs now and then."""
    recorder = StepRecorder(TrackedModel.of(net, LOSS, X, y), net, optimizer)

    def closure(batch):
        optimizer.zero_grad()
        loss = LOSS(net(X[batch]), y[batch])
        loss.backward()
        return loss

    for t, batch in enumerate(torch.arange(45).repeat(3).split(15)):
        with recorder.step(batch, 0):
            if t % 4 == 2:
                look(batch)
            optimizer.step(partial(closure, batch))
    recorder.close()
    return recorder.trajectory
