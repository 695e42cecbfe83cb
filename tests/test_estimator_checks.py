"""scikit-learn's own checks of an estimator, all of them, without an exception."""

import pytest

pytest.importorskip("sklearn")

from sklearn.utils.estimator_checks import parametrize_with_checks

from jaxpercep.estimators import MLPClassifier, MLPRegressor, Perceptron

pytestmark = [
    pytest.mark.slow,
    # Training ends at max_iter in most checks, and none of them is about that.
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@parametrize_with_checks(
    [
        MLPClassifier(),
        MLPClassifier(solver="sgd"),
        MLPClassifier(solver="lbfgs"),
        MLPRegressor(),
        MLPRegressor(solver="lbfgs"),
        Perceptron(),
    ]
)
def test_scikit_learns_check(estimator, check):
    check(estimator)
