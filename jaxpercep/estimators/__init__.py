"""Estimators for scikit-learn: `MLPClassifier`, `MLPRegressor` and `Perceptron`.

They go into pipelines, grid searches and whatever else takes scikit-learn's. Parameters that
scikit-learn's estimator of the same name has keep their names, defaults and meaning; each docstring
says where one differs.

`base` is what classifier and regressor share, `descent` and `lbfgs` train them, `program` is what
is compiled, `samples` what it takes, `losses` what is minimized. scikit-learn comes with
`pip install "jaxpercep[sklearn]"`.
"""

from jaxpercep._extras import needed_by

with needed_by("jaxpercep.estimators"):
    import sklearn  # noqa: F401

from jaxpercep.estimators.classifier import MLPClassifier
from jaxpercep.estimators.perceptron import Perceptron
from jaxpercep.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "Perceptron"]
