"""Training that cannot be tracked is refused: why, and what to do instead."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback, GradientNormClipping
from skorch.dataset import Dataset
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, default_collate

from dit_clean import InfluenceCleaner, track
from dit_clean.queries import ClassProbability, MeanLoss
from dit_clean.tracking import StepRecorder, TrackedModel
from tests.nets import Linear, make_net, make_rows


def refused(net, error, match, **kwargs):
    X, y = make_rows()
    with pytest.raises(error, match=match):
        track(net, X, y, random_state=0, **kwargs)


def test_loss_that_is_no_number_names_the_step_and_what_to_lower():
    net = make_net(lr=1e38)
    refused(
        net,
        FloatingPointError,
        r"the loss is (inf|nan) at step \d \(epoch \d\)\. Lower the lear",
    )


def test_parameters_that_are_no_numbers_after_the_last_step_are_refused():
    class Explodes(Linear):
        def forward(self, X):
            return super().forward(X * 1e20)

    net = make_net(Explodes, lr=1e30, max_epochs=1, batch_size=45)
    refused(net, FloatingPointError, "not finite after step 0 .*Lower the learning")


def test_masked_values_are_refused():
    X, y = make_rows()
    run = track(make_net(max_epochs=1), np.ma.masked_array(X), np.ma.masked_array(y))
    masked = np.ma.masked_array(y, np.arange(len(y)) < 2)
    for data in ((X, masked), (np.ma.masked_array(X, X > 1), y)):
        with pytest.raises(
            ValueError, match=r"values are masked.*leave their rows out"
        ):
            track(make_net(), *data)
        with pytest.raises(ValueError, match="values are masked"):
            run.influence(MeanLoss(*data))


def test_gradient_accumulation_is_refused():
    class Accumulates(NeuralNetClassifier):
        def train_step(self, batch, **fit_params):
            step = self.train_step_single(batch, **fit_params)
            if len(self.history[-1, "batches"]) % 2 == 0:
                self.optimizer_.step()
            return step

    net = Accumulates(
        Linear, criterion=nn.CrossEntropyLoss, train_split=None, batch_size=16
    )
    refused(net, ValueError, "Accumulates overrides train_step.*skorch's own")


@pytest.mark.parametrize(
    "callback",
    [GradientNormClipping, GradientNormClipping(1.0), ("c", GradientNormClipping(1))],
)
def test_gradient_clipping_is_refused(callback):
    net = make_net(callbacks=[callback])
    refused(net, ValueError, "GradientNormClipping cannot be tracked.*Remove it")


def test_penalty_outside_of_the_criterion_is_refused():
    class Penalty(Callback):
        def on_grad_computed(self, net, **kwargs):
            for p in net.module_.parameters():
                p.grad += p.sign()

    net = make_net(callbacks=[Penalty()])
    refused(net, RuntimeError, "step 0 .*does not follow from its batch.*remove it")


def test_overridden_loss_is_refused():
    class Regularized(NeuralNetClassifier):
        def get_loss(self, *args, **kwargs):
            return super().get_loss(*args, **kwargs) * 2

    refused(
        Regularized(Linear), ValueError, "Regularized overrides get_loss.*criterion"
    )


def test_own_dataset_and_own_iterators_are_refused():
    class OwnDataset(Dataset):
        pass

    class OwnLoader(DataLoader):
        pass

    net = make_net(dataset=OwnDataset)
    refused(net, ValueError, "own dataset class.*leave `dataset` at its default")
    net = make_net(iterator_train=OwnLoader)
    refused(net, ValueError, "own iterator_train.*leave `iterator_train`")
    net = make_net(iterator_train__collate_fn=list)
    refused(net, ValueError, "collate_fn cannot be tracked")


@pytest.mark.parametrize("optimizer", [torch.optim.Adafactor, torch.optim.LBFGS])
def test_unknown_optimizers_are_refused_with_the_list_of_known_ones(optimizer):
    match = f"{optimizer.__name__} cannot be tracked.*: SGD, Adam, AdamW"
    refused(make_net(optimizer=optimizer), ValueError, match)


def test_lazy_layers_are_refused():
    class Lazy(nn.Module):
        def __init__(self):
            super().__init__()
            self.output = nn.LazyLinear(3)

        def forward(self, X):
            return self.output(X)

    refused(make_net(Lazy), ValueError, r"'output' \(LazyLinear\) is lazy.*Give the")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compiled", ["net", "layer"])
def test_modules_of_torchscript_are_refused(compiled):
    net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    if compiled == "net":
        net = torch.jit.trace(net, torch.zeros(2, 5))
    else:
        net[2] = torch.jit.script(net[2])
    X, y = torch.zeros(4, 5), torch.arange(4) % 3
    model = TrackedModel.of(net, nn.CrossEntropyLoss(), X, y)
    with pytest.raises(ValueError, match=r"compiled by TorchScript.*Track the module"):
        StepRecorder(model, net, torch.optim.SGD(net.parameters(), lr=0.1))


def test_an_optimizer_that_is_replaced_is_named():
    class Renews(Callback):
        def on_epoch_begin(self, net, **kwargs):
            net.initialize_optimizer()

    net = make_net(callbacks=[("renews", Renews())])
    refused(net, RuntimeError, r"0 updates.*initialize_optimizer\(\)")


class Bag(nn.Module):
    def __init__(self, sparse=False, layer=nn.EmbeddingBag):
        super().__init__()
        self.bag, self.output = layer(50, 4, sparse=sparse), nn.Linear(4, 3)

    def forward(self, X):
        found = self.bag(X)
        return self.output(found if found.ndim == 2 else found.mean(1))


def test_sparse_gradients_and_layers_without_second_derivative_are_refused():
    X, y = make_rows()
    tokens = np.abs(X * 5).astype(np.int64)
    with pytest.raises(ValueError, match=r"'bag' \(Embedding\).*sparse=False"):
        track(make_net(Bag, module__sparse=True, module__layer=nn.Embedding), tokens, y)
    with pytest.raises(ValueError, match=r"Bag or its loss has no second deriv"):
        track(make_net(Bag), tokens, y)


def test_criterion_without_reduction_is_refused():
    class OwnLoss(nn.Module):
        def forward(self, output, target):
            return nn.functional.cross_entropy(output, target)

    net = make_net(criterion=OwnLoss)
    refused(net, ValueError, "OwnLoss has reduction=None.*Give a criterion with")


def test_parameters_of_the_criterion_are_refused():
    class Learned(nn.CrossEntropyLoss):
        def __init__(self, reduction="mean"):
            super().__init__(reduction=reduction)
            self.temperature = nn.Parameter(torch.ones(1))

        def forward(self, output, target):
            return super().forward(output * self.temperature, target)

    net = make_net(criterion=Learned)
    refused(net, ValueError, "does not belong to the module.*move it there")


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adagrad])
def test_weight_decay_of_an_unused_parameter_is_refused(optimizer):
    class Unused(Linear):
        def __init__(self):
            super().__init__()
            self.other = nn.Linear(2, 2)

    track(make_net(Unused, optimizer=optimizer), *make_rows())
    net = make_net(Unused, optimizer=optimizer, optimizer__weight_decay=0.1)
    message = "'other.weight' gets no gradient.*freeze it.*skipped.*Multiply"
    refused(net, ValueError, message)


def test_nets_that_are_none_of_skorchs_are_refused():
    refused(nn.Linear(4, 3), TypeError, "got Linear. Wrap the module")
    refused(
        NeuralNetClassifier, TypeError, "instance, got the class NeuralNetClassifier"
    )
    net = NeuralNet(Linear, criterion=nn.CrossEntropyLoss)
    refused(net, TypeError, "NeuralNetClassifier or NeuralNetRegressor")


@pytest.mark.parametrize("method", ["get_iterator", "infer", "run_single_epoch"])
def test_nets_that_train_in_a_way_of_their_own_are_refused(method):
    def overriding(self, *args, **kwargs):
        return getattr(super(type(self), self), method)(*args, **kwargs)

    own = type("Own", (NeuralNetClassifier,), {method: overriding})
    net = own(Linear, criterion=nn.CrossEntropyLoss, train_split=None)
    refused(net, ValueError, f"Own overrides {method}")


@pytest.mark.parametrize(
    ("option", "remedy"),
    [
        ("collate_fn", "pad all .* a dict of arrays"),
        ("batch_sampler", "_shuffle"),
        ("generator", "random_state"),
    ],
)
def test_options_of_loaders_are_refused_with_what_stands_in_for_them(option, remedy):
    net = make_net(**{f"iterator_train__{option}": default_collate})
    refused(net, ValueError, rf"{option} cannot be tracked\. .*{remedy}")


class Several(Linear):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, X):
        return self.kind([("logits", super().forward(X)), ("hidden", X)])


class FirstEntropy(nn.CrossEntropyLoss):
    def forward(self, output, target):
        return super().forward(output[0][1], target)


def test_losses_of_ones_own_may_take_whatever_the_network_returns():
    X, y = make_rows()
    settings = {"criterion": FirstEntropy, "lr": 0.01}
    run = track(make_net(Several, module__kind=tuple, **settings), X, y, random_state=0)
    query = MeanLoss(X, y)
    assert np.corrcoef(run.influence(query), run.leave_one_out(query))[0, 1] > 0.99


@pytest.mark.parametrize("kind", [tuple, dict])
def test_outputs_that_are_no_tensor_are_refused_by_type(kind):
    message = f"returns a {kind.__name__}, where one tensor.*only the logits"
    refused(make_net(Several, module__kind=kind), TypeError, message)
    X, y = make_rows()
    net = make_net(Several, module__kind=kind, criterion=FirstEntropy)
    with pytest.raises(TypeError, match=message):
        InfluenceCleaner(net, random_state=0).fit(X, y)
    model = TrackedModel.of(Several(kind), FirstEntropy(), X, y)
    query = ClassProbability(X, y)
    with pytest.raises(TypeError, match=message):
        query(dict(model.module.named_parameters()), SimpleNamespace(model=model))


class Attributes(Linear):
    temperature = 1.0

    def forward(self, X):
        return super().forward(X) / self.temperature


class Counting(Linear):
    def __init__(self):
        super().__init__()
        self.register_buffer("n_passes", torch.tensor(0))

    def forward(self, X):
        if self.training:
            self.n_passes += 1
        return super().forward(X) / (1 + 0.1 * self.n_passes)


class Cooling(Callback):
    def on_epoch_begin(self, net, **kwargs):
        net.module_.temperature /= 2


def test_attributes_that_change_are_told_to_be_counted_in_buffers():
    net = make_net(Attributes, callbacks=[Cooling])
    message = "random numbers of Python or numpy.*a temperature.*in an integer buffer"
    refused(net, RuntimeError, message)
    assert track(make_net(Counting), *make_rows(), random_state=0).trajectory


def test_targets_inside_of_a_dataset_are_refused():
    X, y = make_rows()
    with pytest.raises(TypeError, match="give its inputs and targets as arrays"):
        track(make_net(), Dataset(X, y), None)


def pruned(layer):
    prune.random_unstructured(layer, "weight", 0.5)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("change", [nn.utils.weight_norm, pruned])
def test_layers_that_cannot_be_copied_are_refused_by_name(change):
    class Changed(Linear):
        def __init__(self):
            super().__init__()
            change(self.output)

    what = r"'output' \(Linear\) computes its weight .* in a hook.*prune\.remove"
    refused(make_net(Changed), ValueError, what)
    with pytest.raises(ValueError, match=what):
        TrackedModel.of(Changed(), nn.CrossEntropyLoss(), *make_rows())


def test_layers_that_hold_an_earlier_output_are_copied_without_its_graph():
    class Holds(Linear):
        def forward(self, X):
            self.features = super().forward(X)
            self.all_features = {"last": [(self.features, 1)]}
            return self.features

    module = Holds()
    output = module(torch.randn(2, 4))
    copied = TrackedModel.of(module, nn.CrossEntropyLoss(), *make_rows()).module
    assert module.features is output
    assert copied.features is copied.all_features["last"][0][0]
    assert copied.features.data_ptr() != output.data_ptr()
    assert copied.features.is_leaf
    assert torch.equal(copied.features, output)


def test_attributes_of_own_classes_are_not_those_of_embeddings():
    class Named(Linear):
        def __init__(self):
            super().__init__()
            self.sparse, self.max_norm, self.scale_grad_by_freq = True, 5.0, True

    track(make_net(Named), *make_rows())


def test_fewer_rows_than_a_batch_with_drop_last_are_refused():
    net = make_net(batch_size=64, iterator_train__drop_last=True)
    refused(net, ValueError, "45 training samples are fewer than batch_size=64.*Lower")


def test_labels_and_weights_of_wrong_kind_are_refused():
    X, y = make_rows()
    with pytest.raises(TypeError, match="dtype <U21"):
        track(make_net(), X, y.astype(str))
    with pytest.raises(ValueError, match="sample_weight has shape"):
        track(make_net(), X, y, sample_weight=np.ones(4))
    with pytest.raises(ValueError, match="inconsistent lengths"):
        track(make_net(), X, y[:-1])
    with pytest.raises(ValueError, match="Cannot read 'lots' as an amount of memory"):
        track(make_net(), X, y, record="lots")
