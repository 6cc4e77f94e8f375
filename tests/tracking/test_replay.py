"""States that were dropped come back to the bit."""

import numpy as np
import pytest
import torch

from dit_clean import track
from dit_clean.queries import MeanLoss
from dit_clean.tracking import StateStore
from tests.cases import CASES, train
from tests.nets import Mixed, make_net, make_rows

OPTIMIZERS = {
    "sgd": {"optimizer": torch.optim.SGD},
    "nesterov": {
        "optimizer": torch.optim.SGD,
        "optimizer__momentum": 0.9,
        "optimizer__nesterov": True,
        "optimizer__weight_decay": 0.01,
    },
    "adam": {"optimizer": torch.optim.Adam, "lr": 0.01},
    "amsgrad": {
        "optimizer": torch.optim.Adam,
        "optimizer__amsgrad": True,
        "lr": 0.01,
    },
    "adamw": {"optimizer": torch.optim.AdamW, "lr": 0.01},
    "maximize": {
        "optimizer": torch.optim.SGD,
        "optimizer__maximize": True,
        "lr": 0.001,
    },
}


def same_state(found, expected):
    return (
        torch.equal(found.params, expected.params)
        and found.slots.keys() == expected.slots.keys()
        and all(torch.equal(found.slots[k], v) for k, v in expected.slots.items())
        and all(torch.equal(found.buffers[k], v) for k, v in expected.buffers.items())
    )


@pytest.mark.parametrize("name", CASES)
def test_replay_of_a_plain_loop_is_bit_exact(name):
    everything = train(CASES[name])
    first = train(CASES[name], store=StateStore(max_bytes=1))
    for t in range(everything.n_steps + 1):
        assert same_state(first.state(t), everything.state(t))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_replay_of_a_skorch_run_is_bit_exact(name):
    """With running statistics, dropout and shuffling, in float32."""
    X, y = make_rows()
    net = make_net(Mixed, iterator_train__shuffle=True, **OPTIMIZERS[name])
    everything = track(net, X, y, record="all", random_state=0)
    first = track(net, X, y, record=1, random_state=0)
    kept = len(first.trajectory.store), len(everything.trajectory.store)
    assert kept == (2, everything.trajectory.n_steps + 1) or kept[0] <= 2
    for t in range(everything.trajectory.n_steps + 1):
        assert same_state(first.trajectory.state(t), everything.trajectory.state(t))
    query = MeanLoss(X, y)
    assert np.array_equal(first.influence(query), everything.influence(query))


def test_a_step_draws_its_own_dropout_mask_again():
    X, y = make_rows()
    net = make_net(Mixed, iterator_train__shuffle=True)
    trajectory = track(net, X, y, random_state=0).trajectory
    states = [record.rng_state for record in trajectory]
    assert all(state is not None for state in states)
    assert not torch.equal(states[0], states[1])
    replayed = trajectory.replayer.iterate_states(
        trajectory.model, trajectory.state(4), trajectory.records[4:6]
    )
    assert same_state(list(replayed)[-1], trajectory.state(6))


def test_nets_without_random_layers_store_no_random_state():
    trajectory = track(make_net(), *make_rows()).trajectory
    assert all(record.rng_state is None for record in trajectory)
