"""Right gradients of data that satisfy an identity only to float32, and near saturation."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxpercep import compare_gradients
from jaxpercep.compare.evaluation import reference

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(11)
X = RNG.normal(size=(6, 4)).astype(np.float32)
W = RNG.normal(size=(4, 3)).astype(np.float32)
SOFT = np.asarray(jax.nn.softmax(RNG.normal(size=(6, 3)).astype(np.float32)))
SMOOTHED = (0.9 * np.eye(3)[RNG.integers(0, 3, 6)] + 0.1 / 3).astype(np.float32)
UNIT = (W[:, 0] / np.linalg.norm(W[:, 0])).astype(np.float32)
ORTHOGONAL = np.linalg.qr(RNG.normal(size=(4, 4)))[0].astype(np.float32)
V = RNG.normal(size=4).astype(np.float32)


class Case(NamedTuple):
    """A function, a gradient that is right because the data satisfy an identity, and its name."""

    fun: Any
    grad_fun: Any
    args: tuple[Any, ...]
    identity: str


def cross_entropy(w, x, q):
    return -jnp.sum(q * jax.nn.log_softmax(x @ w)) / len(x)


def cross_entropy_by_hand(w, x, q):
    z = x @ w
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    return x.T @ (e / np.sum(e, axis=1, keepdims=True) - q) / len(x)


def reflected(v, u):
    """A Householder reflection, whose norm is that of v."""
    return jnp.sum((v - 2 * u * (u @ v)) ** 2)


def rotated(v, q):
    return jnp.sum((q @ v) ** 2)


def twice(v, data):
    del data
    return 2 * v


def quadratic(v, a):
    return v @ a @ v


def quadratic_by_hand(v, a):
    return 2 * a @ v


SYMMETRIC = (W @ np.diag(V[:3]) @ W.T).astype(np.float32)
SYMMETRIC[0, 1] *= np.float32(1 + 2e-7)
IDENTITIES = {
    "soft labels": Case(cross_entropy, cross_entropy_by_hand, (W, X, SOFT), "q sums to 1"),
    "smoothed": Case(cross_entropy, cross_entropy_by_hand, (W, X, SMOOTHED), "q sums to 1"),
    "unit vector": Case(reflected, twice, (V, UNIT), "u has a norm of 1"),
    "orthogonal": Case(rotated, twice, (V, ORTHOGONAL), "q is orthogonal"),
    "symmetric": Case(quadratic, quadratic_by_hand, (V, SYMMETRIC), "a is symmetric"),
}
named = pytest.mark.parametrize("case", IDENTITIES.values(), ids=IDENTITIES)


@named
def test_data_may_satisfy_an_identity_only_to_rounding(case):
    report = compare_gradients(case.fun, case.grad_fun, *case.args)
    assert report.ok, str(report)
    assert case.identity in report.remark
    assert "only to the rounding of float32" in report.remark
    assert 1e-9 < report.leaves[0].max_relative_error < report.sensitivity < 1e-5


def times(factor, grad_fun, *args):
    return factor * grad_fun(*args)


@named
def test_a_factor_is_named_all_the_same(case):
    report = compare_gradients(case.fun, partial(times, 2, case.grad_fun), *case.args)
    assert [d.cause for d in report.diagnoses] == ["scaled"], str(report)
    assert report.diagnoses[0].factor == pytest.approx(2, rel=1e-6)


def with_penalty(p, x, q):
    return cross_entropy(p["w"], x, q) + 0.5 * jnp.sum(p["b"] ** 2)


def by_hand(factor, decay, p, x, q):
    """Wrong by a factor in b, and by a small decay of w."""
    return {
        "w": cross_entropy_by_hand(p["w"], x, q) + decay * p["w"],
        "b": factor * np.asarray(p["b"]),
    }


@pytest.mark.parametrize(
    ("factor", "decay", "leaf"), [(1 + 1e-7, 0, "['b']"), (1, 3e-6, "['w']"), (1, 1e-4, "['w']")]
)
def test_an_error_that_the_data_do_not_explain_is_found(factor, decay, leaf):
    """It is as small as an ulp, but does not change with one; or it is larger than their noise."""
    args = {"w": W, "b": V}, X, SOFT
    assert compare_gradients(with_penalty, partial(by_hand, 1, 0), *args).ok
    report = compare_gradients(with_penalty, partial(by_hand, factor, decay), *args)
    assert report.verdict != "match", str(report)
    assert [leaf.path for leaf in report.leaves if not leaf.ok] == [leaf]


def test_an_ulp_is_an_error_where_no_data_are_involved():
    def wrong(v):
        return (1 + 1e-7) * 2 * np.asarray(v)

    assert not compare_gradients(lambda v: jnp.sum(v**2), wrong, UNIT).ok


def within_its_steps(x):
    """Stands for a solver that gives up when its steps do not add up to the end."""
    steps = x / jnp.where(
        jnp.sum(lax.stop_gradient(x) / 3) * 3 == jnp.sum(lax.stop_gradient(x)), 1, 0
    )
    return jnp.sum(steps**2)


def test_noise_is_left_out_of_a_function_that_fails_with_it():
    report = compare_gradients(within_its_steps, lambda x: 2 * x, np.ones(4, np.float32))
    assert report.ok, str(report)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("constant", [0.7978846, 0.044715, 0.1])
def test_a_constant_is_as_close_as_its_type(dtype, constant):
    """In bfloat16, whose numbers have 8 binary digits, 0.7978846 is 204 / 256."""

    def narrow(x):
        return jnp.sum(jnp.sin(x.astype(dtype) * jnp.asarray(constant, dtype)))

    report = compare_gradients(narrow, lambda x: constant * np.cos(constant * x), UNIT)
    assert report.ok, str(report)
    wrong = compare_gradients(narrow, lambda x: 1.05 * constant * np.cos(constant * x), UNIT)
    assert not wrong.ok


def test_data_that_are_never_moved_do_not_pass_these_tests(monkeypatch):
    monkeypatch.setattr(reference, "allowance", lambda _, __, floor: floor)
    with pytest.raises(AssertionError):
        test_data_may_satisfy_an_identity_only_to_rounding(IDENTITIES["soft labels"])


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.31), (0.7, 0.83), (0.9, 0.83)])
def test_roundings_of_constants_may_add_up(a, b):
    """Moved by half an ulp at random, a and b may go opposite ways, and their sum stay as it is."""

    def fun(w):
        x = w.astype(jnp.bfloat16)
        return jnp.sum((a * x + b * x).astype(jnp.float32))

    w = np.linspace(0.3, 1.7, 5, dtype=np.float32)
    assert compare_gradients(fun, lambda w: np.full(w.shape, a + b), w).ok
    wrong = compare_gradients(fun, lambda w: np.full(w.shape, 1.05 * (a + b)), w)
    assert wrong.verdict == "manual_wrong"
