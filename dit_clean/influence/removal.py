"""Whether sums of influence predict what leaving out whole groups does."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import pearsonr, spearmanr


@dataclass(frozen=True)
class Removal:
    """Predicted and actual change of a query by leaving out groups of samples.

    Attributes
    ----------
    sizes : ndarray of int, shape (n_groups,)
        Samples left out together.
    predicted : ndarray of shape (n_groups,)
        Sum of their influence.
    actual : ndarray of shape (n_groups,)
        Query after retraining without them minus query with them.
    """

    sizes: np.ndarray
    predicted: np.ndarray
    actual: np.ndarray

    @property
    def datamodeling_score(self) -> float:
        """Spearman correlation of predicted and actual changes over groups.

        For random groups of equal size this is the linear datamodeling score [1]_.

        References
        ----------
        .. [1] S. M. Park et al., "TRAK: Attributing Model Behavior at Scale",
           ICML 2023, section 3.
        """
        return float(spearmanr(self.predicted, self.actual).statistic)

    @property
    def pearson(self) -> float:
        """Pearson correlation of predicted and actual changes over groups."""
        return float(pearsonr(self.predicted, self.actual).statistic)


def random_groups(
    n_samples: int, n_groups: int, size: int, generator: np.random.RandomState
) -> list[np.ndarray]:
    """Return random groups of rows, each drawn without replacement.

    Parameters
    ----------
    n_samples, n_groups, size : int
        Rows to draw from, groups wanted, rows in each.
    generator : RandomState
        Source of the random numbers.
    """
    return [generator.choice(n_samples, size, replace=False) for _ in range(n_groups)]
