"""Values of the queries against plain torch, and what may not be a query."""

import threading
import warnings

import numpy as np
import pytest
import torch
from scipy import sparse

from dit_clean import TrackedRun, track
from dit_clean.influence import (
    BoundedError,
    ClassProbability,
    LabelError,
    MeanLoss,
    SampleLosses,
    Steps,
    influence_scores,
    influence_timeline,
    leave_out,
    queries,
)
from dit_clean.queries import FeatureImportance, Prediction, Several
from dit_clean.tracking import exclusive
from tests.cases import CASES, N_CLASSES, QUERIES, make_data, train
from tests.influence.reference import relative_error
from tests.nets import make_net, make_regressor, make_rows


@pytest.fixture(scope="module")
def trajectory():
    return train(CASES["dropout"])


@pytest.fixture(scope="module")
def setting(trajectory):
    """Parameters, samples and what the network says of them without dropout."""
    params = trajectory.params(trajectory.n_steps)
    X, y = make_data(seed=3, n_samples=7)
    with torch.no_grad():
        logits = trajectory.model.forward(params, X)
    return params, X, y, logits


def test_mean_loss_is_the_criterion_in_evaluation_mode(trajectory, setting):
    params, X, y, logits = setting
    expected = torch.nn.functional.cross_entropy(logits, y)
    assert torch.isclose(MeanLoss(X, y)(params, trajectory), expected)


def test_sample_losses_are_the_loss_of_each_sample(trajectory, setting):
    params, X, y, logits = setting
    expected = torch.nn.functional.cross_entropy(logits, y, reduction="none")
    assert torch.allclose(SampleLosses(X, y)(params, trajectory), expected)


def test_class_probability_is_the_mean_probability_of_the_label(trajectory, setting):
    params, X, y, logits = setting
    given = logits.softmax(1)[torch.arange(7), y]
    assert torch.isclose(ClassProbability(X, y)(params, trajectory), given.mean())
    by_class = ClassProbability(X, y, n_classes=N_CLASSES + 1)(params, trajectory)
    expected = [given[y == c].mean() for c in range(N_CLASSES)]
    assert torch.allclose(by_class[:-1], torch.stack(expected))
    assert by_class[-1] == 0  # a class without rows


def test_label_error_is_half_mean_over_samples_half_over_classes(trajectory, setting):
    params, X, _, logits = setting
    y = torch.tensor([0, 0, 0, 0, 2, 2, 0])
    error = 1 - logits.softmax(1)[torch.arange(7), y]
    by_class = torch.stack([error[y == c].mean() for c in (0, 2)]).mean()
    found = LabelError(X, y)(params, trajectory)
    assert torch.isclose(found, (error.mean() + by_class) / 2)


def test_bounded_error_is_bounded_and_squared_for_small_residuals(trajectory, setting):
    params, X, _, logits = setting
    assert BoundedError(X, logits, scale=2.0)(params, trajectory) == 0
    near = BoundedError(X, logits + 0.002, scale=2.0)(params, trajectory)
    assert torch.isclose(near, torch.tensor(1e-6, dtype=torch.float64), rtol=1e-5)
    half = BoundedError(X, logits + 2.0, scale=2.0)(params, trajectory)
    assert torch.isclose(half, torch.tensor(0.5, dtype=torch.float64))
    assert 0.999 < BoundedError(X, logits + 1e6, scale=2.0)(params, trajectory) <= 1


def test_queries_take_lists_arrays_and_sparse_rows(trajectory, setting):
    params, X, y, _ = setting
    expected = MeanLoss(X, y)(params, trajectory)
    for rows in (X.tolist(), X.numpy(), sparse.csr_matrix(X.numpy())):
        found = MeanLoss(rows, y.tolist())(params, trajectory)
        assert torch.isclose(found, expected)


def test_several_queries_at_once_equal_one_by_one(trajectory):
    X, y = make_data(seed=3, n_samples=5)
    window = Steps(1, trajectory.n_steps)
    queries = (MeanLoss(X, y), ClassProbability(X, y, 3), QUERIES["callable"])
    for history in ("full", "window"):
        options = {"history": history}
        together = influence_scores(trajectory, Several(queries), window, **options)
        apart = [influence_scores(trajectory, q, window, **options) for q in queries]
        apart = np.concatenate([scores.values for scores in apart])
        assert together.values.shape == (5, trajectory.model.n_samples)
        assert relative_error(together.values, apart) < 1e-12


@pytest.mark.parametrize("query", [MeanLoss, LabelError, SampleLosses])
def test_many_query_samples_are_read_in_parts(trajectory, setting, query, monkeypatch):
    _, X, y, _ = setting
    window = Steps(0, trajectory.n_steps)
    whole = influence_scores(trajectory, query(X, y), window).values
    largest = []

    def read(model, params, X, **mode):
        if not mode:
            largest.append(len(X))
        return forward(model, params, X, **mode)

    forward = type(trajectory.model).forward
    monkeypatch.setattr(type(trajectory.model), "forward", read)
    monkeypatch.setattr(queries, "QUERY_ROWS", 3)
    several = Several((query(X, y), query(X, y)))
    parts = influence_scores(trajectory, several, window).values
    assert max(largest) == 3
    assert relative_error(parts, np.concatenate([whole, whole])) < 1e-12


def test_read_only_labels_are_read_without_a_warning(trajectory, setting):
    params, X, y, _ = setting
    frozen = y.numpy().copy()
    frozen.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        value = MeanLoss(X, frozen)(params, trajectory)
    assert value == MeanLoss(X, y)(params, trajectory)


def test_query_that_does_not_depend_on_the_parameters_has_no_influence(trajectory):
    window = Steps(0, trajectory.n_steps)

    def constant(params, run):
        return torch.tensor(3.0)

    def of_another_module(params, run):
        return run.module(run.inputs).mean()

    for query in (constant, of_another_module):
        with pytest.warns(UserWarning, match="does not depend on the params"):
            found = influence_scores(trajectory, query, window, run=trajectory.model)
        assert (found.values == 0).all()


def test_query_that_is_flat_at_the_parameters_is_no_mistake(trajectory):
    def flat(params, run):
        return 0 * params["0.weight"].sum()

    window = Steps(0, trajectory.n_steps)
    assert (influence_scores(trajectory, flat, window).values == 0).all()


BAD_QUERIES = {
    "number": (lambda params, run: 1.0, TypeError, "scalar tensor, got float"),
    "array": (lambda params, run: np.ones(2), TypeError, "tensor, got ndarray"),
    "table": (
        lambda params, run: params["0.weight"],
        ValueError,
        r"got shape \(6, 3\)\. Reduce it",
    ),
}


@pytest.mark.parametrize("name", BAD_QUERIES)
def test_results_that_are_no_scalars_are_refused(trajectory, name):
    query, error, match = BAD_QUERIES[name]
    window = Steps(0, trajectory.n_steps)
    with pytest.raises(error, match=match):
        influence_scores(trajectory, query, window)
    with pytest.raises(error, match=match):
        leave_out(trajectory, query, [[0]], window)


@pytest.mark.parametrize("query", [MeanLoss, "loss", None])
def test_what_cannot_be_asked_is_refused(trajectory, query):
    run = TrackedRun(trajectory)
    for ask in (run.influence, run.timeline, run.leave_one_out):
        with pytest.raises(TypeError, match=r"is no query.*MeanLoss\(X, y\)"):
            ask(query)


def test_what_cannot_be_asked_is_not_printed_as_a_whole(trajectory, setting):
    _, X, y, _ = setting
    with pytest.raises(
        TypeError, match="query is a tuple, which is no query"
    ) as raised:
        TrackedRun(trajectory).influence((X, y))
    assert len(str(raised.value)) < 200


def test_inputs_that_the_network_cannot_take_are_described(trajectory, setting):
    _, X, y, _ = setting
    with pytest.raises(RuntimeError) as raised:
        TrackedRun(trajectory).influence(MeanLoss(X[:, :1], y))
    assert raised.value.__notes__ == [
        f"Inputs: shape ({len(y)}, 1) of torch.float64. "
        f"In training: shape {tuple(trajectory.model.inputs.shape)} of torch.float64."
    ]


def test_unknown_history_is_refused(trajectory):
    window, query = Steps(0, trajectory.n_steps), QUERIES["loss"]
    with pytest.raises(
        ValueError, match=r"Unknown history 'past'. Known: full, window"
    ):
        influence_scores(trajectory, query, window, history="past")
    with pytest.raises(ValueError, match="Unknown history"):
        influence_timeline(trajectory, query, history="past")
    with pytest.raises(ValueError, match="Unknown history"):
        leave_out(trajectory, query, [[0]], window, history="past")


def test_floating_point_shape_mismatch_is_refused():
    from dit_clean.tracking import SampleLoss

    loss = SampleLoss.of(torch.nn.MSELoss())
    with pytest.raises(ValueError, match=r"shape \(4,\) for targets of shape \(4, 1\)"):
        loss.each(torch.zeros(4), torch.zeros(4, 1))


@pytest.mark.parametrize("make_query", [MeanLoss, SampleLosses, LabelError, Prediction])
def test_samples_and_labels_of_different_length_are_refused(make_query):
    X, y = np.zeros((4, 2)), np.zeros(3, dtype=int)
    name = make_query.__name__
    with pytest.raises(ValueError, match=f"{name}: X has 4 samples, but y has 3"):
        make_query(X, y)
    assert repr(make_query(X[:3], y)) == f"{name}(3 samples)"


@pytest.mark.parametrize(
    "make_query", [MeanLoss, SampleLosses, LabelError, Prediction, FeatureImportance]
)
def test_queries_on_no_samples_are_refused(trajectory, setting, make_query):
    params, X, y, _ = setting
    with pytest.raises(ValueError, match="query has no samples"):
        make_query(X[:0], y[:0])(params, trajectory)


def test_targets_that_would_be_broadcast_are_refused():
    X, y = make_rows()
    run = track(make_regressor(), X, X[:, :1], random_state=0)
    with pytest.raises(
        ValueError, match=r"shape \(45, 1\) for targets of shape \(45,\)"
    ):
        run.influence(BoundedError(X, X[:, 0], scale=1.0))
    with pytest.raises(ValueError, match=r"MSELoss .*no probability of a class"):
        run.influence(ClassProbability(X, 0 * y))


def test_one_hot_labels_are_refused():
    X, y = make_rows()
    run = track(make_net(), X, y, random_state=0)
    with pytest.raises(ValueError, match=r"one class index.*got y of shape \(45, 3\)"):
        run.influence(ClassProbability(X, np.eye(3)[y]))


@pytest.mark.parametrize(
    ("X", "expected"),
    [
        (torch.zeros(1).expand(10_000, 4096), [4096, 4096, 1808]),
        (sparse.csr_array((300, 2**17), dtype=np.float32), [128, 128, 44]),
        (sparse.csr_array((130, 2**30), dtype=np.float32), [64, 64, 2]),
        (
            {
                "a": torch.zeros(1).expand(99, 2**17),
                "b": torch.zeros(1).expand(99, 2**16),
            },
            [85, 14],
        ),
    ],
)
def test_the_wider_the_rows_the_fewer_are_read_at_a_time(X, expected, monkeypatch):
    sizes = []

    def take(rows, indices):
        sizes.append(len(indices))
        return torch.zeros(len(indices), 1)

    monkeypatch.setattr(queries, "take_rows", take)
    queries.read_in_parts(lambda params, X: X, {"weight": torch.zeros(1)}, X)
    assert sizes == expected


def test_labels_without_an_output_are_refused():
    X, y = make_rows()
    run = track(make_net(), X, y, random_state=0)
    with pytest.raises(ValueError, match="got 3 outputs and labels from 1 to 3"):
        run.influence(ClassProbability(X, y + 1))
    with pytest.raises(ValueError, match="got n_classes=2 and labels from 0 to 2"):
        run.influence(ClassProbability(X, y, n_classes=2))
    for query in (MeanLoss(X, y + 1), FeatureImportance(X, y + 1, kind="loss")):
        name = type(query).__name__
        with pytest.raises(ValueError, match=f"{name}: Target 3 .* class indices"):
            run.influence(query)


def test_gradients_of_parts_may_be_taken_in_another_thread(monkeypatch):
    """As autograd does on a GPU, while the asking thread holds the lock."""
    trajectory, window = train(CASES["batch-norm"]), Steps(0, 12)
    query = MeanLoss(*make_data(seed=5))
    alone = influence_scores(trajectory, query, window).values
    monkeypatch.setattr(queries, "QUERY_ROWS", 4)
    original = torch.autograd.grad

    def beside(*args, **kwargs):
        found = []
        thread = threading.Thread(
            target=lambda: found.append(original(*args, **kwargs)), daemon=True
        )
        thread.start()
        thread.join(20)
        assert found, "waits for the lock"
        return found[0]

    monkeypatch.setattr(torch.autograd, "grad", beside)
    assert np.allclose(influence_scores(trajectory, query, window).values, alone)


def test_queries_on_many_rows_can_be_differentiated_by_hand(monkeypatch):
    trajectory, query = train(CASES["batch-norm"]), MeanLoss(*make_data(seed=5))
    params = trajectory.variables(trajectory.state(12))
    name = trajectory.layout.names[0]
    params[name] = params[name].detach().requires_grad_()
    whole = torch.autograd.grad(query(params, trajectory), params[name])[0]
    monkeypatch.setattr(queries, "QUERY_ROWS", 4)
    parts = torch.autograd.grad(query(params, trajectory), params[name])[0]
    torch.testing.assert_close(parts, whole)


def test_gradients_by_hand_wait_for_who_holds_the_lock(monkeypatch):
    """They run the network once more, which a question of another thread may use."""
    monkeypatch.setattr(queries, "QUERY_ROWS", 4)
    trajectory, query = train(CASES["dropout"]), MeanLoss(*make_data(seed=5))
    params = trajectory.params(12)
    name = trajectory.layout.names[0]
    params[name] = params[name].detach().requires_grad_()
    value, found = query(params, trajectory), []

    def differentiate():
        found.append(torch.autograd.grad(value, params[name])[0])

    thread = threading.Thread(target=differentiate, daemon=True)
    with exclusive.GLOBAL_STATE:
        thread.start()
        thread.join(0.5)
        assert not found
    thread.join(20)
    assert found
