"""A pullback is compared at several upstream gradients, and must be linear in them."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpercep.compare import compare_custom_vjp, compare_vjp, comparison
from jaxpercep.compare.evaluation.cotangents import Cotangents

pytestmark = pytest.mark.slow

# What a user draws first from seed 0, and what upstream gradients once were.
DRAWN = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
X = np.random.default_rng(1).normal(size=(3, 2)).astype(np.float32)


def half_square(x):
    return x**2 / 2


def bent(x):
    return jnp.tanh(x) ** 2


def forward(fun, x):
    return fun(x), x


def slope(x):
    return 2 * jnp.tanh(x) * (1 - jnp.tanh(x) ** 2)


def causes(report):
    return [diagnosis.cause for diagnosis in report.diagnoses]


def compared(backward, fun=bent, x=X):
    return compare_vjp(fun, partial(forward, fun), backward, x)


def test_data_that_were_once_the_upstream_gradient():
    report = compared(lambda x, _: (x * x,), half_square, DRAWN)
    assert (report.verdict, causes(report)) == ("manual_wrong", ["cotangent_ignored"])


def test_a_rule_that_squares_the_upstream_gradient():
    @jax.custom_vjp
    def rule(x):
        return half_square(x)

    rule.defvjp(partial(forward, half_square), lambda _, dy: (dy * dy,))
    report = compare_custom_vjp(rule, DRAWN)
    assert (report.verdict, causes(report)) == ("manual_wrong", ["not_linear"])


IGNORED = {
    "everything": (lambda x, _: (slope(x),), "whatever dy is, the pullback returns the same"),
    "all in NumPy": (lambda x, _: (np.asarray(slope(x)),), "whatever dy is,"),
    "all but a row": (lambda x, dy: (dy[0] * slope(x),), r"only dy\[0\] is used"),
    "all but a column": (lambda x, dy: (dy[:, -1:] * slope(x),), r"only dy\[:, -1\] is used"),
}


@pytest.mark.parametrize(("backward", "words"), IGNORED.values(), ids=IGNORED)
def test_what_is_ignored_of_the_upstream_gradient_is_named(backward, words):
    report = compared(backward)
    assert (report.verdict, causes(report)) == ("manual_wrong", ["cotangent_ignored"])
    assert re.search(words, report.diagnoses[0].message)


def both(x, b):
    return jnp.tanh(x) + b, b**2


IGNORED_IN_PART = {
    "by one leaf": (
        lambda dy: dy[0].sum(0) + 2 * dy[1],
        lambda dy: 1 + 0 * dy[0],
        "ignored for dL/dx:",
    ),
    "one of two outputs": (lambda dy: dy[0].sum(0), lambda dy: dy[0], r"only dy\[0\] is used for"),
}


@pytest.mark.parametrize(("of_b", "of_x", "words"), IGNORED_IN_PART.values(), ids=IGNORED_IN_PART)
def test_a_leaf_that_ignores_it_and_an_output_that_is_ignored(of_b, of_x, words):
    def backward(x, dy):
        return (1 - jnp.tanh(x) ** 2) * of_x(dy), of_b(dy)

    report = compare_vjp(both, lambda x, b: (both(x, b), x), backward, X, jnp.ones(2))
    assert (report.verdict, causes(report)) == ("manual_wrong", ["cotangent_ignored"])
    assert re.search(words, report.diagnoses[0].message)


BENT = {
    "clipped": lambda dy: jnp.clip(dy, -1, 1),
    "clipped at 20": lambda dy: jnp.clip(dy, -20, 20),
    "squared": lambda dy: dy**2,
    "sign": jnp.sign,
    "a constant added": lambda dy: dy + 0.01,
    "absolute": jnp.abs,
    "normalized": lambda dy: dy / jnp.linalg.norm(dy),
    "tanh": jnp.tanh,
    "positive part": jax.nn.relu,
    "cubic": lambda dy: dy + 1e-6 * dy**3,
    "by the largest": lambda dy: dy * jnp.max(dy),
}
SAMPLED = {"clipped at 20", "sign", "a constant added"}


@pytest.mark.parametrize(
    "bend",
    [
        pytest.param(b, marks=() if name in SAMPLED else pytest.mark.corpus, id=name)
        for name, b in BENT.items()
    ],
)
def test_pullbacks_that_are_not_linear(bend):
    report = compared(lambda x, dy: (bend(dy) * slope(x),))
    assert (report.verdict, causes(report)) == ("manual_wrong", ["not_linear"])
    assert "is not linear in the upstream gradient dy" in report.diagnoses[0].message


def in_type(dtype, x, dy):
    x, dy = x.astype(dtype), dy.astype(dtype)
    return (dy * slope(x),)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_right_rule_of_a_narrow_type_is_no_false_alarm(dtype):
    report = compared(partial(in_type, dtype))
    assert report.ok, str(report)
    assert report.formula == dtype


def test_the_two_are_independent_the_same_in_every_run_and_nobodys():
    shapes = jax.ShapeDtypeStruct((50, 3), np.float32), jax.ShapeDtypeStruct((), np.int32)
    drawn = Cotangents.of(shapes)
    assert drawn.first[1] is None
    own = [np.asarray(dy[0]).ravel() for dy in (drawn.first, drawn.second)]
    np.testing.assert_array_equal(own[0], np.asarray(Cotangents.of(shapes).first[0]).ravel())
    theirs = [np.random.default_rng(seed).normal(size=150) for seed in range(20)]
    between = np.corrcoef([*own, *theirs])[:2] - np.eye(2, 22)
    assert np.abs(between).max() < 0.4


def test_a_comparison_at_one_upstream_gradient_does_not_pass_these_tests(monkeypatch):
    monkeypatch.setattr(comparison, "agrees", lambda *_: True)
    with pytest.raises(AssertionError):
        test_pullbacks_that_are_not_linear(BENT["clipped at 20"])
