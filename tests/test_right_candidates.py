"""Right gradients of random networks match; with an error of 1e-6 in one leaf they do not.

When they are read, no value is marked as wrong, even if a mistake is looked for.
"""

from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest

from catalogue.right.drawing import DRAWS, candidates
from jaxpercep import compare_gradients

pytestmark = pytest.mark.slow

ERROR = 1e-6


def compare(candidate, grad_fun=None):
    return compare_gradients(candidate.fun, grad_fun or candidate.grad_fun, *candidate.args)


def with_error_in_the_largest_leaf(grad_fun):
    def wrong(*args):
        leaves, structure = jax.tree.flatten(grad_fun(*args))
        largest = np.argmax([np.max(np.abs(leaf)) * (np.ndim(leaf) > 0) for leaf in leaves])
        leaves[largest] = leaves[largest] * (1 + ERROR)
        return structure.unflatten(leaves)

    return wrong


@cache
def compared(seed):
    """Draws candidates and compares each."""
    return [(candidate, compare(candidate)) for candidate in candidates(seed, DRAWS)]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.corpus)])
def test_right_gradients_match(seed):
    accused = [f"{c.name}\n{report}" for c, report in compared(seed) if report.verdict != "match"]
    assert not accused, "\n\n".join(accused)


@pytest.mark.parametrize(
    ("seed", "count"), [(0, 2), *(pytest.param(n, DRAWS, marks=pytest.mark.corpus) for n in (1, 2))]
)
def test_nothing_is_marked_in_right_gradients(seed, count):
    for candidate, report in compared(seed)[:count]:
        assert report.repair is None
        read = replace(report.backward, verdict="manual_wrong").annotated
        assert (read.reason, read.repairs) == (None, ()), f"{candidate.name}\n{read}"
        values = [value for one in read.listings for line in one.lines for value in line.values]
        statuses = [value.status for value in values]
        assert "wrong" not in statuses, f"{candidate.name}\n{read}"
        assert "known" in statuses


def test_an_error_is_seen_where_rounding_does_not_hide_it():
    sharp = (candidate for candidate, report in compared(0) if report.sensitivity < ERROR / 10)
    candidate = next(sharp)
    report = compare(candidate, with_error_in_the_largest_leaf(candidate.grad_fun))
    assert report.verdict != "match", f"{candidate.name}\n{report}"


def test_the_same_seed_draws_the_same_candidates():
    one, again, other = (list(candidates(seed, 3)) for seed in (1, 1, 2))
    assert [c.name for c in one] == [c.name for c in again] != [c.name for c in other]
    leaves = (jax.tree.leaves([c.args for c in drawn]) for drawn in (one, again))
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_array_equal(a, b)
