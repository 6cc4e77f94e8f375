"""Custom splitters and nets with callbacks: every row is trained on and held out."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold
from skorch.callbacks import Callback, EarlyStopping
from skorch.dataset import ValidSplit

from dit_clean import InfluenceCleaner, Window
from dit_clean.crossfit import EpochInfluence, Measurements
from tests.nets import Linear, load_mixed_iris, make_net


class StopAfter(Callback):
    """Stops networks after so many epochs, by the number of rows they hold out."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        if len(net.history) == self.n_epochs.get(len(dataset_valid)):
            raise KeyboardInterrupt


def make_splits(ends=(50, 100)):
    rows = np.random.RandomState(0).permutation(150)
    return [(np.setdiff1d(rows, held), held) for held in np.split(rows, ends)]


def test_own_splits_are_taken():
    X, y = load_mixed_iris()
    cleaner = InfluenceCleaner(cv=make_splits(), max_epochs=2, random_state=0)
    assert cleaner.fit(X, y).suspicion_.shape == (150,)


@pytest.mark.parametrize("change", ["left out", "leaked"])
def test_splits_that_leave_out_or_leak_rows_are_refused(change):
    X, y = load_mixed_iris()
    splits = make_splits()
    train, held = splits[0]
    spoiled = train[1:] if change == "left out" else np.r_[train, held]
    cleaner = InfluenceCleaner(cv=[(spoiled, held), *splits[1:]], max_epochs=2)
    with pytest.raises(ValueError, match="exactly once, and train on all others"):
        cleaner.fit(X, y)


@pytest.mark.parametrize(
    "callbacks", [None, [EarlyStopping(monitor="valid_loss", patience=2)]]
)
def test_skorchs_own_split_keeps_no_row_from_training(callbacks):
    X, y = load_mixed_iris()
    settings = {"train_split": ValidSplit(5), "callbacks": callbacks}
    net = make_net(**settings)
    X = X.astype(np.float32)
    cleaner = InfluenceCleaner(net, random_state=0).fit(X, y)
    for result in cleaner._findings.recorded.ready:
        seen = np.unique(
            np.concatenate([r.sample_indices for r in result.run.trajectory])
        )
        assert len(seen) == len(result.fold.train)


def test_held_out_rows_have_the_precision_of_the_net():
    class InDouble(Linear):
        def __init__(self):
            super().__init__()
            self.double()

    X, y = load_mixed_iris()
    callbacks = [EarlyStopping(monitor="valid_loss", patience=2)]
    cleaner = InfluenceCleaner(make_net(InDouble, callbacks=callbacks), random_state=0)
    assert cleaner.fit(X, y).suspicion_.shape == (150,)


def test_run_on_all_rows_is_as_long_as_those_that_were_stopped(monkeypatch):
    X, y = load_mixed_iris()
    callbacks = [StopAfter({50: 3})]
    net = make_net(callbacks=callbacks, train_split=ValidSplit(5), max_epochs=20)
    found = []
    original = Measurements.of

    def noted(results, **kwargs):
        found.extend(results)
        return original(iter(found), **kwargs)

    monkeypatch.setattr(Measurements, "of", noted)
    InfluenceCleaner(net, random_state=0).fit(X.astype(np.float32), y)
    assert [result.n_epochs for result in found] == [3, 3, 3, 3]
    assert [result.fold.holds_out for result in found] == [False, True, True, True]
    assert len(found[0].outputs[0]) == 150
    assert not found[0].influence


def test_epochs_of_the_longest_run_alone_do_not_count():
    """No network trains in them on the rows that this one holds out."""
    X, y = load_mixed_iris()
    net = make_net(callbacks=[StopAfter({40: 6, 50: 4, 60: 2})], max_epochs=20)
    cleaner = InfluenceCleaner(net, cv=make_splits([40, 90]), random_state=0)
    cleaner.fit(X.astype(np.float32), y)
    assert sorted(r.run.n_epochs for r in cleaner._findings.recorded.ready) == [2, 4, 6]
    assert cleaner.influence_timeline_.shape == (150, 4)
    assert (cleaner.influence_timeline_ != 0).all()
    assert len(cleaner.history_["held_out"]) == 4
    assert cleaner.set_params(window="late").rescore().window_ == Window(2, 4)
    assert (cleaner.influence_ != 0).all()
    last = cleaner.influence(window=(3, 4))
    with pytest.warns(UserWarning, match="stopped after 4 epochs"):
        assert np.array_equal(cleaner.influence(window=(4, 6)), last)
    with pytest.raises(ValueError, match=r"it has 20 epochs.*Fractions"):
        cleaner.influence(window=(4, 21))


def test_runs_that_stop_early_are_judged_by_what_was_measured(monkeypatch):
    def replayed(self, epoch, on_network):
        raise AssertionError(f"epoch {epoch} was replayed")

    monkeypatch.setattr(EpochInfluence, "_replayed", replayed)
    X, y = load_mixed_iris()
    net = make_net(callbacks=[StopAfter({40: 5, 50: 5, 60: 5})], max_epochs=20)
    splits = make_splits([40, 90])
    cleaner = InfluenceCleaner(net, window="full", cv=splits, random_state=0)
    cleaner.fit(X.astype(np.float32), y)
    by_epoch = cleaner._findings.by_epoch
    assert by_epoch.epochs_for(cleaner.window_) == [0, 1, 2]
    assert by_epoch.epochs_for(Window(3, 5)) == [4]


def test_module_instance_is_warned_of():
    X, y = load_mixed_iris()
    with torch.random.fork_rng():
        torch.manual_seed(0)  # a module draws its weights when it is made
        module = torch.nn.Linear(4, 3)
    net = make_net(module=module, max_epochs=3)
    with pytest.warns(UserWarning, match="starts from its present weights"):
        InfluenceCleaner(net, random_state=0).fit(X.astype(np.float32), y)


def test_splits_that_one_fit_uses_up_or_that_are_none_are_refused():
    X, y = load_mixed_iris()
    once = InfluenceCleaner(cv=KFold(3).split(X, y), max_epochs=1)
    with pytest.raises(ValueError, match=r"used up by one fit.*cv=list\("):
        once.fit(X, y)
    with pytest.raises(ValueError, match="cv must hold out each of the 150 samples"):
        InfluenceCleaner(cv=[], max_epochs=1).fit(X, y)
