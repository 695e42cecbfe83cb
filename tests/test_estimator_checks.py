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


CHECKS = parametrize_with_checks(
    [
        MLPClassifier(),
        MLPClassifier(solver="sgd"),
        # A check wants probabilities below 1, which L-BFGS goes to without a penalty.
        MLPClassifier(solver="lbfgs", alpha=1.0, max_iter=50),
        MLPRegressor(),
        MLPRegressor(solver="lbfgs", max_iter=50),
        Perceptron(),
    ]
)
NAMES, VALUES = CHECKS.args


@pytest.mark.parametrize(NAMES, list(VALUES), **CHECKS.kwargs)  # scikit-learn 1.6 has a generator
def test_scikit_learns_check(estimator, check):
    check(estimator)
