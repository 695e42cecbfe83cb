"""`while` loops: the reason why rules are written by hand, and without a pullback in JAX."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxpercep.compare import compare_custom_vjp, compare_gradients, compare_vjp
from jaxpercep.compare.evaluation import rounding

X = np.array([0.7, 2.0, 3.1], np.float32)


def newton(x, tolerance=1e-5):
    """The square root: ends when its square is near enough."""

    def goes_on(root):
        return jnp.max(jnp.abs(root**2 - x)) > tolerance

    return lax.while_loop(goes_on, lambda root: (root + x / root) / 2, x)


def ruled(backward):
    @jax.custom_vjp
    def root(x):
        return newton(x)

    root.defvjp(lambda x: (newton(x), newton(x)), backward)
    return root


def backward(root, dy, factor=2.0):
    return (dy / (factor * root),)


def test_the_rule_of_a_loop():
    """The loop ends within 1e-5 of the root, and its derivative is as far from the rule's."""
    report = compare_custom_vjp(ruled(backward), X)
    assert report.ok
    assert 1e-12 < report.sensitivity < 1e-4


def wrong_at_second_sight(root, dy):
    return (dy / (2 * root * root),)


WRONG = {
    "scaled": (partial(backward, factor=1.0), "scaled", ()),
    "unexplained": (wrong_at_second_sight, "unexplained", (pytest.mark.corpus,)),
}


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [pytest.param(*case, marks=marks, id=name) for name, (*case, marks) in WRONG.items()],
)
def test_a_wrong_rule_of_a_loop(wrong, cause):
    report = compare_custom_vjp(ruled(wrong), X)
    assert report.verdict == "manual_wrong"
    assert [diagnosis.cause for diagnosis in report.diagnoses] == [cause]


@pytest.mark.corpus
def test_a_pullback_of_a_loop():
    forward = partial(lambda fun, x: (fun(x), fun(x)), newton)
    assert compare_vjp(newton, forward, backward, X).ok
    assert not compare_vjp(newton, forward, partial(backward, factor=2.001), X).ok


def cubes(x):
    return jnp.sum(jnp.tanh(newton(x)) ** 3)


def gradient_of_cubes(x):
    root = jnp.sqrt(x)
    return 3 * jnp.tanh(root) ** 2 * (1 - jnp.tanh(root) ** 2) / (2 * root)


def doubling(x, count):
    """A loop that a counter ends; another pass is no refinement."""
    value = lax.fori_loop(0, count, lambda _, state: 2 * jnp.sin(state), x)
    return jnp.sum(value)


def gradient_of_doubling(x, count, factor=2.0):
    slope = np.ones_like(x)
    for _ in range(int(count)):
        slope = factor * np.cos(x) * slope
        x = 2 * np.sin(x)
    return slope


def in_a_scan(x):
    return jnp.sum(lax.scan(lambda carry, _: (newton(1 + carry), None), x, None, length=2)[0])


def gradient_in_a_scan(x):
    first = jnp.sqrt(1 + x)
    return 1 / (2 * jnp.sqrt(1 + first)) / (2 * first)


def narrow(x):
    return jnp.sum(newton(x.astype(jnp.float32)) ** 2).astype(x.dtype)


RIGHT = {
    "a gradient": (cubes, gradient_of_cubes, (X,)),
    "a counter": (doubling, gradient_of_doubling, (X, 3)),
    "in a scan": (in_a_scan, gradient_in_a_scan, (X,)),
    "a narrow type": (narrow, jnp.ones_like, (X,)),
}


@pytest.mark.parametrize(
    ("fun", "gradient", "args"),
    [
        pytest.param(*case, marks=() if name == "a counter" else pytest.mark.corpus, id=name)
        for name, case in RIGHT.items()
    ],
)
def test_gradients_through_loops(fun, gradient, args):
    report = compare_gradients(fun, gradient, *args)
    assert report.ok, str(report)
    assert report.sensitivity < (1e-12 if fun is doubling else 1e-3)
    wrong = compare_gradients(fun, lambda *given: 1.01 * gradient(*given), *args)
    assert wrong.verdict == "manual_wrong"


def test_a_comparison_that_takes_a_loop_for_its_limit_does_not_pass_these_tests(monkeypatch):
    monkeypatch.setattr(rounding, "FURTHER", 0)
    with pytest.raises(AssertionError):
        test_the_rule_of_a_loop()
