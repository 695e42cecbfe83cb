"""The table of the estimators beside scikit-learn's."""

import pytest

from benchmarks.beside_scikit_learn import COLUMNS, cases, row

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def test_both_score_the_same_on_iris():
    first, *others = cases()
    name, samples, *_, ours, theirs = row(first, 1).strip("| ").split(" | ")
    assert (name, samples) == ("iris, MLPClassifier", "112")
    assert ours == theirs
    assert float(ours) > 0.9
    assert row(first, 1).count(" | ") == len(COLUMNS) - 1
    assert [case.name.partition(",")[0] for case in others] == [
        "wine",
        "breast cancer",
        "digits",
        "diabetes",
        "digits",
    ]
