"""scikit-learn's and imbalanced-learn's own checks."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from dit_clean import (
    CleanedClassifier,
    CleanedRegressor,
    InfluenceCleaner,
    InfluenceSampler,
)

# Many of the checks fit labels and targets drawn at random, others repeat rows.
pytestmark = [
    pytest.mark.filterwarnings("ignore::dit_clean.detection.NoSignalWarning"),
    pytest.mark.filterwarnings("ignore::dit_clean.exceptions.LabelAmongInputsWarning"),
    pytest.mark.filterwarnings("ignore::dit_clean.exceptions.CopiedRowsWarning"),
    pytest.mark.filterwarnings("ignore:.*of the (targets|labels) look wrong"),
]


SHORT = InfluenceCleaner(max_epochs=3)
FLAGGING = InfluenceCleaner(max_epochs=3, contamination=0.1)
REASON = (
    "fit_transform replaces flagged rows, so that X stays aligned with y in a "
    "pipeline, and transform leaves new data as they are"
)


def expected_failed_checks(estimator):
    """Name the checks that cannot hold by design: where rows are flagged."""
    failing = ("check_transformer_general", "check_transformer_data_not_an_array")
    return dict.fromkeys(failing if estimator is FLAGGING else (), REASON)


@parametrize_with_checks(
    [
        SHORT,
        FLAGGING,
        CleanedClassifier(cleaner=SHORT),
        CleanedRegressor(cleaner=SHORT),
        InfluenceSampler(SHORT),
    ],
    expected_failed_checks=expected_failed_checks,
)
def test_estimator_passes_scikit_learns_checks(estimator, check):
    check(estimator)


def test_sampler_passes_imbalanced_learns_checks():
    checks = pytest.importorskip("imblearn.utils.estimator_checks")
    cleaner = InfluenceCleaner(max_epochs=3, random_state=0)
    for sampler, check in checks.estimator_checks_generator(InfluenceSampler(cleaner)):
        check(sampler)
