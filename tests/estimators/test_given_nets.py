"""`InfluenceCleaner` with a network of the user."""

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from skorch.callbacks import EarlyStopping
from torch import nn

from dit_clean import InfluenceCleaner, track
from tests.estimators.cases import N_ROWS, WRONG, make_cleaner, make_targets
from tests.nets import (
    N_COLUMNS,
    N_LABELS,
    Convolution,
    Linear,
    Mixed,
    Probabilities,
    make_net,
    make_regressor,
)


class Masked(Linear):
    """Registers a constant in its first pass."""

    def forward(self, X):
        if not hasattr(self, "mask"):
            self.register_buffer("mask", torch.ones(N_LABELS))
        return super().forward(X) * self.mask


class FromFar(nn.Module):
    """Double precision, for columns that start far from 0 or have a large unit."""

    def __init__(self, start=1.7e9, unit=1.0, offset=0.0, n_outputs=N_LABELS):
        super().__init__()
        self.start, self.unit, self.offset = start, unit, offset
        self.output = nn.Linear(N_COLUMNS, n_outputs).double()

    def forward(self, X):
        return self.output((X - self.start) / self.unit) + self.offset


class Half(Linear):
    """Half precision inside, single outside."""

    def __init__(self, offset, n_outputs):
        super().__init__(n_outputs)
        self.offset = offset
        self.bfloat16()

    def forward(self, X):
        return super().forward(X).float() + self.offset


class TestGivenNets:
    def test_buffers_that_the_first_pass_makes_are_constants(self, data):
        found, expected = (
            make_cleaner(make_net(module), storage="none").fit(*data)
            for module in (Masked, Linear)
        )
        assert np.allclose(found.influence("late"), expected.influence("late"))
        loaded = pickle.loads(pickle.dumps(found))
        for cleaner in (found, loaded):
            assert np.allclose(cleaner.influence_, expected.influence_)

    def test_net_is_cloned_and_never_touched(self, data):
        net = make_net()
        before = {k: repr(v) for k, v in net.get_params(deep=False).items()}
        make_cleaner(net).fit(*data)
        after = {k: repr(v) for k, v in net.get_params(deep=False).items()}
        assert after == before
        assert not net.initialized_

    def test_log_probabilities_and_logits_give_the_same(self, data):
        logits = make_cleaner(make_net()).fit(*data)
        net = make_net(Probabilities, criterion=nn.NLLLoss)
        probabilities = make_cleaner(net).fit(*data)
        assert np.allclose(
            logits.suspicion_, probabilities.suspicion_, atol=1e-3, rtol=1e-2
        )

    def test_regressor_is_tracked_in_the_given_unit(self):
        X, y = make_targets()
        cleaner = make_cleaner(make_regressor(max_epochs=9)).fit(X, y - 50)
        assert not hasattr(cleaner, "classes_")
        assert (~cleaner.keep_mask_[WRONG]).all()
        assert np.abs(cleaner.suggested_label_).max() < 60

    def test_targets_beyond_single_precision_are_gross_errors(self):
        X, y = make_targets()
        y[3] = 1e60
        cleaner = make_cleaner().fit(X, y - 50)
        assert not cleaner.keep_mask_[3]
        assert np.isfinite(cleaner.influence_).all()
        assert np.abs(cleaner.suggested_label_).max() < 60

    def test_regressor_takes_whole_numbers(self):
        X, y = make_targets()
        with pytest.warns(UserWarning, match="not learned where targets lie"):
            cleaner = make_cleaner(make_regressor()).fit(X, (y - 50).astype(int))
        assert not hasattr(cleaner, "classes_")

    @pytest.mark.slow
    def test_image_net(self):
        generator = np.random.RandomState(0)
        y = np.arange(60) % 3
        X = 0.1 * generator.randn(60, 1, 8, 8)
        X[np.arange(60), 0, y * 2] += 1
        y[WRONG[:6]] = (y[WRONG[:6]] + 1) % 3
        net = make_net(Convolution, max_epochs=12, lr=0.3, batch_size=8)
        for images in (X, (np.clip(X, 0, 2) * 100).astype(np.uint8) / np.float32(100)):
            cleaner = make_cleaner(net).fit(images, y)
            assert set(np.argsort(-cleaner.suspicion_)[:6]) == set(WRONG[:6])
        assert cleaner.fit_transform(X, y).shape == X.shape
        default = make_cleaner().fit(X, y)
        assert default.influence_on(X[:2]).shape == (2, 60)

    def test_double_precision_net(self, data):
        class Double(Mixed):
            def __init__(self):
                super().__init__()
                self.double()

        cleaner = make_cleaner(make_net(Double)).fit(*data)
        assert cleaner.influence_on(data[0][:2]).shape == (2, N_ROWS)
        assert cleaner.influence(history="full").shape == (N_ROWS,)

    def test_double_precision_nets_see_all_digits(self, data):
        X, y = data
        far = X.astype(np.float64) + 1.7e9
        for inputs in (far, sparse.csr_matrix(far)):
            cleaner = make_cleaner(make_net(FromFar)).fit(inputs, y)
            near = make_cleaner(make_net(FromFar, module__start=0.0)).fit(X, y)
            assert np.allclose(cleaner.suspicion_, near.suspicion_, atol=1e-5)
        large = make_cleaner(make_net(FromFar, module__unit=1e40, module__start=0.0))
        large.fit(1e40 * X.astype(np.float64), y)
        assert np.allclose(large.suspicion_, near.suspicion_, atol=1e-5)

    def test_double_precision_regressors_see_all_digits(self):
        X, y = make_targets()
        net = make_regressor(FromFar, criterion=nn.HuberLoss, max_epochs=15, lr=0.1)
        net.set_params(module__start=0.0, callbacks=[EarlyStopping(patience=15)])
        near, found = (
            make_cleaner(clone(net).set_params(module__offset=offset + 50)).fit(
                X, y + offset
            )
            for offset in (0.0, 1.7e9)
        )
        suggested = found.suggested_label_ - 1.7e9
        assert np.allclose(suggested, near.suggested_label_, atol=1e-3)
        assert np.allclose(found.suspicion_, near.suspicion_, atol=1e-4)

    def test_clean_rows_of_double_precision_nets_have_all_digits(self, data):
        X, y = data[0].astype(np.float64), data[1]
        near, far = (
            make_cleaner(make_net(FromFar, module__start=start)).fit(
                X + start, y, X_val=X[::3] + start, y_val=y[::3]
            )
            for start in (0.0, 1.7e9)
        )
        assert np.allclose(near.influence_, far.influence_, atol=1e-5)

    def test_targets_of_half_precision_nets_keep_their_digits(self):
        X, y = make_targets()
        y = (y / 50)[:, None].astype(np.float32)
        net = make_regressor(Half, module__offset=1000.0)
        run = track(net, X, y + 1000, random_state=0)
        assert torch.equal(run.model.targets, torch.as_tensor(y + 1000))

    def test_losses_that_need_one_precision_may_be_watched(self):
        X, y = make_targets()
        net = make_regressor(criterion=nn.HuberLoss, max_epochs=20, lr=0.2)
        net.set_params(callbacks=[EarlyStopping(patience=20)])
        cleaner = make_cleaner(net).fit(X, y - 50)
        assert (~cleaner.keep_mask_[WRONG]).all()

    def test_subclasses_may_have_fewer_parameters(self, data):
        class Fewer(InfluenceCleaner):
            def __init__(self, net=None, random_state=None):
                super().__init__(net, random_state=random_state)

        found = Fewer(make_net(), random_state=0).fit(*data)
        expected = InfluenceCleaner(make_net(), random_state=0).fit(*data)
        assert np.array_equal(found.suspicion_, expected.suspicion_)

    def test_sparse_rows_are_held_out_for_callbacks(self, data):
        X, y = data
        net = make_net(max_epochs=9, callbacks=[EarlyStopping(patience=2)])
        found, expected = (
            make_cleaner(net).fit(inputs, y) for inputs in (sparse.csr_array(X), X)
        )
        assert np.array_equal(found.suspicion_, expected.suspicion_)

    @pytest.mark.parametrize("monitor", ["train_loss", "valid_loss"])
    def test_folds_may_stop_early(self, data, monitor):
        stop = EarlyStopping(monitor=monitor, patience=2, threshold=0.05)
        net = make_net(max_epochs=40, callbacks=[stop])
        cleaner = make_cleaner(net).fit(*data)
        n_epochs = cleaner.influence_timeline_.shape[1]
        assert n_epochs < 40
        assert cleaner.influence(window=n_epochs, history="full").shape == (N_ROWS,)
        assert np.isfinite(cleaner.suspicion_).all()
        window = cleaner.set_params(window=(1, 40)).rescore().window_
        assert (window.start, window.stop) == (1, n_epochs)
        assert np.array_equal(cleaner.influence(window=(1, 40)), cleaner.influence_)

    def test_rows_in_no_batch_are_warned_of(self, data):
        net = make_net(batch_size=25, iterator_train__drop_last=True)
        with pytest.warns(UserWarning, match="17 of 90 rows were in no batch"):
            cleaner = make_cleaner(net).fit(*data)
        assert (cleaner.influence_timeline_ == 0).all(axis=1).sum() <= 17
        net.set_params(iterator_train__shuffle=True, max_epochs=15)
        make_cleaner(net).fit(*data)

    @pytest.mark.parametrize("storage", ["auto", "none"])
    def test_statistics_that_influence_does_not_follow_are_warned_of(
        self, data, storage
    ):
        class Centered(Linear):
            def __init__(self):
                super().__init__()
                self.register_buffer("mean", torch.zeros(N_COLUMNS))

            def forward(self, X):
                if self.training:
                    self.mean = 0.9 * self.mean + 0.1 * X.mean(0)
                return super().forward(X - self.mean)

        with pytest.warns(UserWarning, match="forward pass changes mean while"):
            make_cleaner(make_net(Centered), storage=storage).fit(*data)
