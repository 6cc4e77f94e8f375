"""Other estimates of what leaving out a sample changes, each from its formula.

All have the sign of `TrackedRun.influence`: query without the sample minus query with
it. With g_i a sample's gradient, q the query's and n samples:

- TracIn: sum over checkpoints of lr / |S| <q, g_i>, the checkpoints weighed by the
  steps of an epoch that one sample takes part in (one);
- influence functions: <q, (H + damping I)^-1 g_i> / n at the last state, the product
  with the inverse by conjugate gradients, or by LiSSA's recursion
  v <- q + v - (H_batch + damping I) v / scale.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad, jvp

from dit_clean import TrackedRun
from dit_clean.queries import MeanLoss

DAMPING = 0.01
N_ITERATIONS, N_POWER, TOLERANCE = 100, 20, 1e-4
DEPTH, BATCH = 1000, 32


@dataclass(frozen=True)
class Losses:
    """Losses of the training samples, and the query, as functions of flat parameters.

    Attributes
    ----------
    run : TrackedRun
        Recorded run.
    query : MeanLoss
        Scalar query.
    """

    run: TrackedRun
    query: MeanLoss

    @property
    def n_samples(self) -> int:
        return self.run.model.n_samples

    def each(self, theta: Tensor, rows: Tensor) -> Tensor:
        """Return losses of training samples, shape (n_rows,)."""
        X, y = self.run.model.batch(rows)
        return self.run.model.losses(self._params(theta), X, y)

    def query_gradient(self, theta: Tensor) -> Tensor:
        return grad(lambda t: self.query(self._params(t), self.run))(theta)

    def products(self, theta: Tensor, v: Tensor) -> Tensor:
        """Return <v, g_i> for every training sample, shape (n_samples,)."""
        rows = torch.arange(self.n_samples)
        return jvp(lambda t: self.each(t, rows), (theta,), (v,))[1]

    def hvp(self, theta: Tensor, v: Tensor, rows: Tensor) -> Tensor:
        """Return the Hessian of the mean loss over `rows` times v."""
        gradient = grad(lambda t: self.each(t, rows).mean())
        return jvp(gradient, (theta,), (v,))[1]

    def state(self, t: int) -> Tensor:
        return self.run.trajectory.state(t).params

    def _params(self, theta: Tensor) -> dict[str, Tensor]:
        return self.run.trajectory.layout.unflatten(theta)


def tracin(losses: Losses) -> np.ndarray:
    """Return TracIn with a checkpoint at the end of each epoch."""
    trajectory = losses.run.trajectory
    total = torch.zeros(losses.n_samples)
    for t in trajectory.epoch_starts[1:]:
        record, theta = trajectory.records[t - 1], losses.state(t)
        dots = losses.products(theta, losses.query_gradient(theta))
        total += record.learning_rate / BATCH * dots
    return total.numpy()


def captum_tracin_fast(losses: Losses) -> np.ndarray:
    """Return captum's TracInCPFast: last layer only, checkpoints as above.

    Raises
    ------
    ImportError
        If captum, of the extra `bench`, is not installed.
    """
    from captum.influence import TracInCPFast  # noqa: PLC0415

    trajectory, model = losses.run.trajectory, losses.run.model
    module = nn.Sequential(model.module)
    last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]

    def load(target: nn.Module, t: int) -> float:
        target[0].load_state_dict(trajectory.params(t))
        return trajectory.records[t - 1].learning_rate

    estimator = TracInCPFast(
        module,
        last,
        torch.utils.data.TensorDataset(model.inputs, model.targets),
        trajectory.epoch_starts[1:],
        load,
        nn.CrossEntropyLoss(reduction="sum"),
        batch_size=losses.n_samples,
    )
    query = torch.as_tensor(losses.query.X), torch.as_tensor(losses.query.y)
    return estimator.influence(query).mean(0).detach().numpy() / BATCH


def conjugate_gradients(losses: Losses) -> np.ndarray:
    """Return influence functions with the inverse by conjugate gradients."""
    theta = losses.state(losses.run.trajectory.n_steps)
    rows, b = torch.arange(losses.n_samples), losses.query_gradient(theta)
    x, r = torch.zeros_like(b), b.clone()
    p, size = r.clone(), r @ r
    for _ in range(N_ITERATIONS):
        product = losses.hvp(theta, p, rows) + DAMPING * p
        curvature = p @ product
        if curvature <= 0 or size.sqrt() < TOLERANCE * b.norm():
            break
        step = size / curvature
        x, r = x + step * p, r - step * product
        previous, size = size, r @ r
        p = r + size / previous * p
    return losses.products(theta, x).numpy() / losses.n_samples


def lissa(losses: Losses) -> np.ndarray:
    """Return influence functions with the inverse by LiSSA, on random batches.

    The scale is twice the largest eigenvalue, found by the power method.
    """
    theta = losses.state(losses.run.trajectory.n_steps)
    rows, b = torch.arange(losses.n_samples), losses.query_gradient(theta)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(len(b), generator=generator)
    for _ in range(N_POWER):
        v = losses.hvp(theta, v / v.norm(), rows)
    scale = 2 * float(v.norm()) + DAMPING
    v = b.clone()
    for batch in _batches(losses.n_samples, DEPTH, generator):
        product = losses.hvp(theta, v, batch) + DAMPING * v
        v = b + v - product / scale
    return losses.products(theta, v / scale).numpy() / losses.n_samples


def gradient_product(losses: Losses) -> np.ndarray:
    """Return the plain product of gradients at the last state, <q, g_i> / n."""
    theta = losses.state(losses.run.trajectory.n_steps)
    dots = losses.products(theta, losses.query_gradient(theta))
    return dots.numpy() / losses.n_samples


def _batches(n_samples: int, n: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(n):
        yield torch.randint(n_samples, (BATCH,), generator=generator)


ESTIMATORS = {
    "TracIn, every epoch": tracin,
    "TracIn, captum's fast variant": captum_tracin_fast,
    "influence function, conjugate gradients": conjugate_gradients,
    "influence function, LiSSA": lissa,
    "product of last gradients": gradient_product,
}
