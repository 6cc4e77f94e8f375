"""The recorder inside of skorch: what it sees, and that nobody notices it."""

import pickle
import signal

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    Freezer,
    LRScheduler,
    Unfreezer,
)
from skorch.dataset import ValidSplit
from torch import nn

from dit_clean import track
from dit_clean.queries import MeanLoss
from dit_clean.tracking import (
    IndexedLoader,
    StateStore,
    StepRecorder,
    TrackedModel,
    TrajectoryRecorder,
)
from tests.nets import Mixed, fit_plainly, make_net, make_regressor, make_rows

SHUFFLED = {"iterator_train__shuffle": True}


class StateCollector(Callback):
    """Copies the parameters before each step of a plainly trained net."""

    def on_train_begin(self, net, **kwargs):
        self.states = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            params = net.module_.named_parameters()
            self.states.append({k: p.detach().clone() for k, p in params})


def test_samples_that_are_never_trained_on_are_warned_of():
    X, y = make_rows()
    net = make_net(train_split=ValidSplit(3, stratified=True))
    with pytest.warns(UserWarning, match="15 of 45 samples were in no batch"):
        track(net, X, y, random_state=0)


@pytest.mark.filterwarnings("ignore:15 of 45 samples were in no batch")
@pytest.mark.parametrize("train_split", [None, ValidSplit(3, stratified=True)])
def test_indices_are_rows_of_X_whatever_the_split_does(train_split):
    X, y = make_rows()
    X[:, 0] = np.arange(len(X))  # every row tells its number
    seen = []

    class Spy(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            if training:
                seen.append(batch[0][:, 0].long())

    net = make_net(callbacks=[Spy()], train_split=train_split, lr=1e-3, **SHUFFLED)
    run = track(net, X, y, random_state=0)
    batches = [record.sample_indices for record in run.trajectory]
    assert len(set(torch.cat(batches).tolist())) == (30 if train_split else 45)
    for batch, numbers in zip(batches, seen, strict=True):
        assert torch.equal(batch, numbers)


def test_recorded_parameters_equal_those_of_plain_training():
    X, y = make_rows()
    collector = StateCollector()
    fit_plainly(make_net(callbacks=[collector]), X, y)
    trajectory = track(make_net(), X, y, random_state=0).trajectory
    assert trajectory.n_steps == len(collector.states) == 9
    for t, state in enumerate(collector.states):
        for name, values in state.items():
            assert torch.equal(trajectory.params(t)[name], values)


@pytest.mark.parametrize("make", [make_net, make_regressor])
def test_tracked_net_predicts_like_the_plainly_trained_one(make):
    X, y = make_rows()
    y = y if make is make_net else X[:, :1] * 2
    plain = fit_plainly(make(), X, y)
    tracked = track(make(), X, y, random_state=0).net_
    assert np.array_equal(tracked.forward(X).numpy(), plain.forward(X).numpy())


def test_shuffling_and_dropout_draw_what_they_draw_without_tracking():
    X, y = make_rows()
    plain = make_net(Mixed, iterator_train=IndexedLoader, **SHUFFLED)
    fit_plainly(plain, X, y)
    run = track(make_net(Mixed, **SHUFFLED), X, y, random_state=0)
    assert torch.equal(run.net_.forward(X), plain.forward(X))


@pytest.mark.parametrize("step_every", ["epoch", "batch"])
def test_learning_rate_schedules_are_seen(step_every):
    X, y = make_rows()
    schedule = LRScheduler(
        torch.optim.lr_scheduler.ExponentialLR, gamma=0.5, step_every=step_every
    )
    run = track(make_net(callbacks=[schedule]), X, y)
    exponent = [r.epoch if step_every == "epoch" else r.step for r in run.trajectory]
    found = [record.learning_rate for record in run.trajectory]
    assert np.allclose(found, 0.1 * 0.5 ** np.array(exponent))


def test_net_passed_in_is_untouched():
    X, y = make_rows()
    net = make_net(callbacks=[EarlyStopping(monitor="train_loss")])
    before = {k: repr(v) for k, v in net.get_params(deep=False).items()}
    track(net, X, y)
    assert {k: repr(v) for k, v in net.get_params(deep=False).items()} == before
    assert not net.initialized_
    assert not hasattr(net, "module_")


def test_fitted_net_passed_in_keeps_its_parameters():
    X, y = make_rows()
    net = fit_plainly(make_net(), X, y)
    before = net.forward(X)
    track(net, X, 2 - y, random_state=3)
    assert torch.equal(net.forward(X), before)


@pytest.mark.parametrize("weighted", [False, True])
def test_trained_net_has_no_callback_left_behind(weighted):
    X, y = make_rows()
    net = make_net()
    weight = np.ones(len(X)) if weighted else None
    tracked = track(net, X, y, sample_weight=weight).net_
    plain = clone(net).initialize()
    assert [n for n, _ in tracked.callbacks_] == [n for n, _ in plain.callbacks_]
    assert tracked.callbacks == net.callbacks
    assert not tracked.optimizer_._optimizer_step_pre_hooks
    assert not tracked.criterion_._forward_hooks
    assert tracked.criterion_.reduction == "mean"


def test_global_generators_are_left_as_found():
    X, y = make_rows()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    run = track(make_net(Mixed, **SHUFFLED), X, y, random_state=0)
    run.influence(MeanLoss(X, y))
    run.leave_one_out(MeanLoss(X, y), [0])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_same_random_state_gives_the_same_run_whatever_the_global_seed():
    X, y = make_rows()
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(track(make_net(Mixed, **SHUFFLED), X, y, random_state=5))
    first, second = (run.trajectory for run in runs)
    assert torch.equal(first.state(9).params, second.state(9).params)


def test_early_stopping_keeps_the_run():
    X, y = make_rows()
    stop = EarlyStopping(monitor="train_loss", patience=2, threshold=10.0)
    run = track(make_net(max_epochs=50, callbacks=[stop]), X, y)
    assert run.n_epochs == 3
    assert run.influence(MeanLoss(X, y)).shape == (len(X),)


class Interrupts(Callback):
    """Ctrl-C in the middle of training."""

    def __init__(self, epoch, during):
        self.epoch, self.during = epoch, during

    def on_batch_end(self, net, training=False, **kwargs):
        inside = training == (self.during == "training")
        if inside and len(net.history) > self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("during", ["training", "validation"])
def test_interrupt_by_the_user_goes_through(epoch, during):
    X, y = make_rows()
    interrupts = Interrupts(epoch, during)
    net = make_net(callbacks=[interrupts], train_split=ValidSplit(3))
    with pytest.raises(KeyboardInterrupt):
        track(net, X, y)


@pytest.mark.parametrize("epoch", [0, 1])
def test_interrupt_within_the_first_batch_of_an_epoch_goes_through(epoch):
    class InterruptsInBatch(Callback):
        def on_grad_computed(self, net, **kwargs):
            if len(net.history) > epoch:
                raise KeyboardInterrupt

    net = make_net(callbacks=[InterruptsInBatch()], batch_size=-1)
    with pytest.raises(KeyboardInterrupt):
        track(net, *make_rows())


def test_interrupt_before_the_first_step_goes_through():
    class InterruptsAtOnce(Callback):
        def on_epoch_begin(self, net, **kwargs):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track(make_net(callbacks=[InterruptsAtOnce()]), *make_rows())


def test_interrupt_while_a_callback_is_at_work_is_no_early_stop():
    class IsInterrupted(Callback):
        def on_epoch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    found = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            track(make_net(callbacks=[IsInterrupted()]), *make_rows())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)


class StopsOnCtrlC(Callback):
    """Finishes the epoch on Ctrl-C, with a handler for the time of training."""

    def on_train_begin(self, net, **kwargs):
        self.asked, self.found = False, signal.signal(signal.SIGINT, self.handle)

    def handle(self, number, frame):
        self.asked = True

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            signal.raise_signal(signal.SIGINT)
        if self.asked:
            raise KeyboardInterrupt

    def on_train_end(self, net, **kwargs):
        signal.signal(signal.SIGINT, self.found)


def test_callback_that_handles_ctrl_c_stops_early_and_restores_the_handler():
    found = signal.getsignal(signal.SIGINT)
    run = track(make_net(callbacks=[StopsOnCtrlC()]), *make_rows())
    assert run.n_epochs == 2
    assert signal.getsignal(signal.SIGINT) is found


class Ends(Callback):
    ended = False

    def on_train_end(self, net, **kwargs):
        Ends.ended = True
        raise OSError("nothing to load")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_error_of_training_is_not_replaced_by_that_of_a_callback(error):
    class Fails(Callback):
        def on_grad_computed(self, net, **kwargs):
            raise error("of its own")

    Ends.ended = False
    with pytest.raises(error, match="of its own"):
        track(make_net(callbacks=[Fails(), Ends()]), *make_rows())
    # As skorch has it: training that is interrupted has ended, failed training has not.
    assert Ends.ended == (error is KeyboardInterrupt)


def test_net_with_callbacks_disabled_is_tracked():
    net = make_net(callbacks="disable")
    run = track(net, *make_rows())
    assert run.n_epochs == 3
    assert run.net_.callbacks == "disable"


def test_step_records_tell_the_learning_rate_of_a_tensor_as_a_number():
    run = track(make_net(lr=torch.tensor(0.25)), *make_rows())
    assert run.trajectory.records[0].hyper[0]["lr"] == 0.25
    assert isinstance(run.trajectory.records[0].hyper[0]["lr"], float)


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.Adagrad]
)
def test_frozen_layers_do_not_hide_the_update_count(optimizer):
    class Frozen(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)
            self.body.requires_grad_(False)

        def forward(self, X):
            return self.head(torch.tanh(self.body(X)))

    run = track(make_net(Frozen, optimizer=optimizer, lr=0.01), *make_rows())
    counts = [record.hyper[0].get("step", 0) for record in run.trajectory]
    assert counts == list(range(9))
    assert run.trajectory.layout.names == ("head.weight", "head.bias")


@pytest.mark.parametrize("keeps_states", [True, False])
def test_update_counts_are_the_optimizers_where_states_are_not_kept(keeps_states):
    X, y = make_rows()
    module = nn.Linear(4, 3)
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    model = TrackedModel.of(module, nn.CrossEntropyLoss(), X, y)
    recorder = StepRecorder(model, module, optimizer, StateStore(bytes_per_step=64))
    recorder.keeps_states = keeps_states
    X, y, expected = torch.as_tensor(X), torch.as_tensor(y), []
    for epoch in range(3):
        for batch in torch.arange(len(X)).split(2):
            step, store = len(expected), recorder.trajectory.store
            is_kept = step in store or (keeps_states and store.wants(step))
            if epoch == 2 and is_kept:
                optimizer.state.clear()  # as loops do that begin anew
            state = optimizer.state.get(module.weight, {})
            expected.append((int(state.get("step", 0)),))
            with recorder.step(batch, epoch):
                optimizer.zero_grad()
                nn.functional.cross_entropy(module(X[batch]), y[batch]).backward()
                optimizer.step()
        recorder.snapshot()
    recorder.close()
    assert [record.counts for record in recorder.trajectory] == expected
    assert len(recorder.trajectory.store) < len(expected)


def test_nets_are_saved_in_mid_training(tmp_path):
    save = Checkpoint(dirname=tmp_path, f_pickle="net.pickle", monitor=None)
    track(make_net(callbacks=[save], callbacks__print_log=None), *make_rows())
    assert (tmp_path / "net.pickle").stat().st_size > 1000
    recorder = TrajectoryRecorder(lambda net: None)  # no lambda can be pickled
    assert type(pickle.loads(pickle.dumps(recorder))) is Callback


def test_trajectory_refuses_a_step_outside_of_the_run():
    run = track(make_net(), *make_rows())
    with pytest.raises(IndexError, match="states 0 to 9 exist"):
        run.trajectory.params(10)


class RunningMean(nn.Module):
    """Keeps the mean of its inputs in a buffer: written to, or replaced."""

    def __init__(self, replaces=False):
        super().__init__()
        self.output, self.replaces = nn.Linear(4, 3), replaces
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, X):
        if not self.training:
            return self.output(X - self.mean)
        mean = 0.9 * self.mean + 0.1 * X.mean(0).detach()
        if self.replaces:
            self.mean = mean
        else:
            self.mean.copy_(mean)
        return self.output(X - X.mean(0))


def test_buffers_that_are_replaced_are_recorded_like_those_written_to():
    X, y = make_rows()
    runs = []
    for replaces in (False, True):
        net = make_net(RunningMean, module__replaces=replaces)
        with pytest.warns(UserWarning, match=r"changes mean while.*not follow"):
            runs.append(track(net, X, y, random_state=0))
    written, replaced = (run.trajectory.state(9).buffers["mean"] for run in runs)
    assert written.abs().min() > 0
    assert torch.equal(written, replaced)
    found = [run.influence(MeanLoss(X, y)) for run in runs]
    assert np.array_equal(*found)


def test_order_that_is_shuffled_in_place_does_not_change_what_was_recorded():
    X, y = map(torch.as_tensor, make_rows())
    module, loss = nn.Linear(4, 3), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(module, loss, X, y), module, optimizer)
    order, batches = np.arange(len(X)), []
    for epoch in range(2):
        np.random.RandomState(epoch).shuffle(order)
        for batch in np.split(order, 3):
            batches.append(batch.tolist())
            with recorder.step(batch, epoch):
                optimizer.zero_grad()
                loss(module(X[batch]), y[batch]).backward()
                optimizer.step()
    assert [record.sample_indices.tolist() for record in recorder.trajectory] == batches


def test_data_changed_after_training_change_no_answer():
    X, y = make_rows()
    query, weight = MeanLoss(X.copy(), y.copy()), np.ones(len(X))
    run = track(make_net(), X, y, random_state=0, sample_weight=weight)
    before = run.influence(query)
    X[:], y[:], weight[:] = 0, 0, 0
    assert np.array_equal(run.influence(query), before)


@pytest.mark.parametrize("convert", [lambda a: a[::-1], lambda a: a.astype(np.int32)])
def test_labels_of_any_stride_and_width_are_taken(convert):
    X, y = make_rows()
    expected = track(make_net(), X, np.array(convert(y), np.int64), random_state=0)
    found = track(make_net(), X, convert(y), random_state=0)
    query = MeanLoss(X, y)
    assert np.array_equal(found.influence(query), expected.influence(query))


def test_a_net_that_holds_other_parameters_than_the_last_ones_is_warned_of():
    class Averages(Callback):
        def on_train_end(self, net, **kwargs):
            for parameter in net.module_.parameters():
                parameter.data.mul_(0.5)

    with pytest.warns(UserWarning, match=r"run\.net_ has other parameters than"):
        track(make_net(callbacks=[Averages()]), *make_rows())


def test_callbacks_of_the_trained_net_are_its_own():
    X, y = make_rows()
    net = make_net(callbacks=[("stop", EarlyStopping(monitor="train_loss"))])
    tracked = track(net, X, y, random_state=0).net_
    tracked.set_params(callbacks__stop__patience=99)
    assert [name for name, _ in tracked.callbacks] == ["stop"]
    assert net.callbacks[0][1].patience == 5


def test_layers_that_a_callback_freezes_before_training_are_left_out():
    X, y = make_rows()
    net = make_net(Mixed, callbacks=[Freezer("layers.0.*")], **SHUFFLED)
    run = track(net, X, y, random_state=0)
    names = run.trajectory.layout.names
    assert not any(name.startswith("layers.0.") for name in names)
    plain = fit_plainly(clone(net).set_params(iterator_train=IndexedLoader), X, y)
    assert torch.equal(run.net_.forward(X), plain.forward(X))
    query = MeanLoss(X, y)
    found, truth = run.influence(query), run.leave_one_out(query)
    assert np.corrcoef(found, truth)[0, 1] > 0.9


def test_layers_that_are_unfrozen_in_training_are_refused():
    callbacks = [Freezer("layers.0.*"), Unfreezer("layers.0.*", at=2)]
    with pytest.raises(ValueError, match=r"'layers.0.bias' was unfrozen in epoch 1"):
        track(make_net(Mixed, callbacks=callbacks), *make_rows())


class Shrinks(Callback):
    """Changes the parameters between two epochs."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            with torch.no_grad():
                net.module_.output.weight.mul_(0.5)


def test_parameters_that_are_changed_between_epochs_are_noticed():
    with pytest.raises(RuntimeError, match="changed the parameters between steps 5 an"):
        track(make_net(callbacks=[Shrinks()], max_epochs=4), *make_rows())


class Mean(nn.Linear):
    """A linear layer that shows, in evaluation mode, a running mean of itself."""

    def __init__(self):
        super().__init__(4, 3)
        self.mean = nn.Parameter(torch.zeros(3, 4), requires_grad=False)

    def forward(self, X):
        return super().forward(X) if self.training else X @ self.mean.T


def record_one_step(recorder, X, y):
    module, optimizer = recorder.module, recorder.optimizer
    with recorder.step(torch.arange(len(X)), 0):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), y).backward()
        optimizer.step()


@pytest.mark.parametrize("when", ["loaded", "follows", "stays"])
def test_other_parameters_than_those_trained_have_to_stay(when):
    X, y = map(torch.as_tensor, make_rows())
    module, loss = Mean(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD([module.weight, module.bias], lr=0.1)
    model = TrackedModel.of(module, loss, X, y)
    if when == "loaded":
        module.mean.data.copy_(module.weight)
    recorder = StepRecorder(model, module, optimizer)
    record_one_step(recorder, X, y)
    if when == "follows":
        module.mean.data.lerp_(module.weight.data, 0.1)
    if when == "stays":
        recorder.snapshot()
        assert recorder.trajectory.n_steps in recorder.trajectory.store
        return
    with pytest.raises(RuntimeError, match="'mean', which the optimizer does not tra"):
        recorder.snapshot()


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="max_epochs=0: nothing would be trained"):
        track(make_net(max_epochs=0), *make_rows())


def test_buffers_of_a_plain_loop_are_those_before_the_forward_pass():
    X, y = map(torch.as_tensor, make_rows())
    module, loss = Mixed(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(module, loss, X, y), module, optimizer)
    means = []
    for batch in torch.arange(45).split(15):
        means.append(module.layers[1].running_mean.clone())
        with recorder.step(batch, 0):
            optimizer.zero_grad()
            loss(module(X[batch]), y[batch]).backward()
            optimizer.step()
    recorder.snapshot()
    means.append(module.layers[1].running_mean)
    for t, mean in enumerate(means):
        found = recorder.trajectory.state(t).buffers["layers.1.running_mean"]
        assert torch.equal(found, mean)


def test_updates_outside_of_a_recorded_step_are_refused():
    X, y = map(torch.as_tensor, make_rows())
    module, loss = nn.Linear(4, 3), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    recorder = StepRecorder(TrackedModel.of(module, loss, X, y), module, optimizer)
    loss(module(X), y).backward()
    with pytest.raises(RuntimeError, match=r"outside of `recorder.step\(...\)`"):
        optimizer.step()
    with recorder.step(range(45), 0):
        optimizer.step()
    recorder.close()
    optimizer.step()
    assert recorder.trajectory.n_steps == 1


def test_sparse_data_changed_after_training_change_no_answer():
    X, y = make_rows()
    query = MeanLoss(X.copy(), y.copy())
    rows = sparse.csr_array(X)
    run = track(make_net(), rows, y, random_state=0)
    before = run.influence(query)
    rows.data[:], rows.indices[:] = 0, 0
    assert np.array_equal(run.influence(query), before)
