"""scikit-learn's and imbalanced-learn's own checks, with none expected to fail."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from dit_clean import (
    CleanedClassifier,
    CleanedRegressor,
    InfluenceCleaner,
    InfluenceSampler,
)

# Many of the checks fit labels and targets that were drawn at random.
pytestmark = [
    pytest.mark.filterwarnings("ignore::dit_clean.detection.NoSignalWarning"),
    pytest.mark.filterwarnings("ignore:.*of the (targets|labels) look wrong"),
]


@parametrize_with_checks(
    [InfluenceCleaner(max_epochs=3), CleanedClassifier(), CleanedRegressor()]
)
def test_estimator_passes_scikit_learns_checks(estimator, check):
    check(estimator)


def test_sampler_passes_imbalanced_learns_checks():
    checks = pytest.importorskip("imblearn.utils.estimator_checks")
    cleaner = InfluenceCleaner(max_epochs=3, random_state=0)
    for sampler, check in checks.estimator_checks_generator(InfluenceSampler(cleaner)):
        check(sampler)
