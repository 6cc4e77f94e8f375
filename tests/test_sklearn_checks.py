"""scikit-learn's own estimator checks, with none expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from dit_clean import InfluenceCleaner


@parametrize_with_checks([InfluenceCleaner(max_epochs=3)])
def test_estimator_passes_scikit_learns_checks(estimator, check):
    check(estimator)
