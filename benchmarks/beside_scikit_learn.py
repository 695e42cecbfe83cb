"""Times the estimators' `fit` in turn with scikit-learn's, and scores both, on five data sets.

    python -m benchmarks.beside_scikit_learn

Both have the same parameters and seeds, in one process, each in a pipeline with a StandardScaler.
The first fit compiles and is shown alone; then come medians over seeds of the processor time of a
fit, and of the paired ratios with their quartiles. Scores are those of a quarter that is held out,
accuracy or R^2, as means over the seeds. NumPy multiplies in one thread, for its others cost
scikit-learn more time than they save in products as small as these.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import sklearn
import tyro
from numpy.typing import NDArray
from sklearn import datasets, linear_model, neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.in_turn import quartiles
from jaxpercep import estimators

LOADERS: dict[str, Callable[..., Any]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes": datasets.load_diabetes,
}
REGRESSIONS = ("diabetes",)
HEADER = "data set, estimator | samples | first fit, s | fit, s | scikit-learn, s | times as long"
COLUMNS = [*HEADER.split(" | "), "score", "scikit-learn"]


class Case(NamedTuple):
    """Two estimators to compare: what makes each from a seed, and the split data."""

    name: str
    ours: Callable[[int], Any]
    theirs: Callable[[int], Any]
    data: tuple[NDArray[Any], ...]


def cases() -> list[Case]:
    """Returns every data set with a multi-layer perceptron, and digits with a perceptron."""
    found = []
    for name, load in LOADERS.items():
        data = tuple(train_test_split(*load(return_X_y=True), random_state=0))
        kind = "MLPRegressor" if name in REGRESSIONS else "MLPClassifier"
        ours, theirs = (_maker(getattr(m, kind)) for m in (estimators, neural_network))
        found.append(Case(f"{name}, {kind}", ours, theirs, data))
    ours, theirs = _maker(estimators.Perceptron), _maker(linear_model.Perceptron)
    digits = next(case.data for case in found if case.name.startswith("digits"))
    return [*found, Case("digits, Perceptron", ours, theirs, digits)]


def _maker(kind: type) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        pipeline = make_pipeline(StandardScaler(), kind(max_iter=500, random_state=seed))
        if kind.__name__ == "MLPRegressor":
            return TransformedTargetRegressor(pipeline, transformer=StandardScaler())
        return pipeline

    return make


def timed(estimator: Any, data: tuple[NDArray[Any], ...]) -> tuple[float, float]:
    """Returns the seconds of processor time of a fit, and the score."""
    x, held_out, y, truth = data
    start = time.process_time()
    estimator.fit(x, y)
    return time.process_time() - start, estimator.score(held_out, truth)


def row(case: Case, rounds: int) -> str:
    """Measures a case, and returns its row of the table."""
    first, _ = timed(case.ours(0), case.data)
    pairs = [
        [timed(make(seed), case.data) for make in (case.ours, case.theirs)]
        for seed in range(rounds)
    ]
    seconds, scores = np.moveaxis(np.array(pairs), 2, 0)
    ratio = quartiles(seconds[:, 0] / seconds[:, 1])
    ours, theirs = np.median(seconds, axis=0)
    score, their_score = scores.mean(axis=0)
    return (
        f"| {case.name} | {len(case.data[0])} | {first:.2f} | {ours:.3f} | {theirs:.3f} "
        f"| {ratio} | {score:.4f} | {their_score:.4f} |"
    )


def main(rounds: int = 7) -> None:
    """Prints the table.

    Args:
        rounds: seeds, each fitted by both
    """
    print(f"JAX {jax.__version__}, scikit-learn {sklearn.__version__}, {rounds} seeds")
    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        for case in cases():
            print(row(case, rounds), flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
