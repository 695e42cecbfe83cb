"""What a comparison says it could not have seen is what it cannot see, and nothing else.

Each case plants a mistake in a gradient: at the hiding arguments it matches, and a blind spot names
it; at the suggested arguments, or at those of the case where none can be suggested, it does not.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpercep as jp
from jaxpercep.compare.explanation.blind_spots import BlindSpots, Search

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape)


# Functions, and gradients of them that are wrong


def gated(w, x, r):
    return jnp.sum(jax.nn.relu(x @ w) * r)


def gated_without_gate(_, x, r):
    return x.T @ r


def squared(w, x, y):
    return jnp.mean((x @ w - y) ** 2)


def squared_times_7(w, x, y):
    return 7 * 2 * x.T @ (x @ w - y) / y.size


def squared_as_a_sum(w, x, y):
    return 2 * x.T @ (x @ w - y)


def turned(w, x, r):
    return jnp.sum(jnp.tanh(x @ w) @ w * r)


def turned_the_wrong_way(w, x, r):
    h = np.tanh(x @ w)
    return h.T @ r + x.T @ (r @ w * (1 - h**2))


def product(w, x, r):
    return jnp.sum(x @ w * r)


def product_transposed(_, x, r):
    return r.T @ x


def penalty(z, g):
    return g * jnp.sum(z**2)


def penalty_without_g(z, _):
    return 2 * z


def weighed(x, g):
    return jnp.sum(jax.nn.softmax(x) * g)


def weighed_with_a_plus(x, g):
    p = np.asarray(jax.nn.softmax(x))
    return 3 * p * (g - np.sum(p * g, -1, keepdims=True))


def looked_up(w, i, r):
    return jnp.sum(w[i] * r)


def looked_up_without_adding(w, i, r):
    gradient = np.zeros_like(w)
    gradient[i] = r
    return gradient


def pooled(x, r):
    return jnp.sum(jnp.max(x, axis=1) * r)


def pooled_twice(x, r):
    return (x == x.max(1, keepdims=True)) * r[:, None]


def layered(p, x, r):
    return jnp.sum(jnp.tanh(x @ p["w1"]) @ p["w2"] * r)


def layered_times_2(p, x, r):
    h = np.tanh(x @ p["w1"])
    return {"w1": 2 * x.T @ (r @ p["w2"].T * (1 - h**2)), "w2": h.T @ r}


def decayed(w, r):
    return jnp.sum(w * r) + 0.1 * jnp.sum(w**2)


def not_decayed(_, r):
    return np.asarray(r)


def paired(p, u, v):
    return jnp.sum(jnp.sin(p["a"]) * u) + jnp.sum(jnp.sin(p["b"]) * v)


def paired_and_swapped(p, u, v):
    return {"a": np.cos(p["b"]) * v, "b": np.cos(p["a"]) * u}


def rotated(x):
    return jnp.concatenate([-x[:, 2:], x[:, :2]], 1)


def embedded(x, c, s, r):
    return jnp.sum((x * c + rotated(x) * s) * r)


def embedded_rotated_too_early(_, c, s, r):
    return r * c - np.concatenate([-r[:, 2:], r[:, :2]], 1) * s


def skipped(x, a, r):
    return jnp.sum((x + a * jnp.sin(x)) * r)


def skipped_without_branch(*args):
    return np.asarray(args[2])


def bent(b, r):
    return jnp.sum(jnp.tanh(b) * r)


def bent_at_output(b, r):
    return (1 - np.tanh(np.tanh(b)) ** 2) * r


class Case(NamedTuple):
    """A planted mistake.

    Attributes:
        fun: the function.
        wrong: its gradient, with a mistake.
        hiding: arguments at which the mistake does not show.
        says: what the blind spot says.
        telling: arguments at which it shows; None, if they are to be suggested.
    """

    fun: Callable[..., Any]
    wrong: Callable[..., Any]
    hiding: tuple[Any, ...]
    says: str
    telling: tuple[Any, ...] | None = None


W, X, R = normal(3, 3), normal(4, 3), normal(4, 3)
HALVES = np.tile(normal(4, 2), 2)
CASES = {
    "a derivative of 1": Case(gated, gated_without_gate, (abs(W), abs(X), R), "it is 1 here"),
    "a residual of 0": Case(
        squared, squared_times_7, (np.ones((3, 2)), np.ones((4, 3)), np.full((4, 2), 3.0)), "is 0"
    ),
    "a symmetric matrix": Case(
        turned, turned_the_wrong_way, (W + W.T, X, R), "it is symmetric here"
    ),
    "a symmetric gradient": Case(product, product_transposed, (W, X, X), "its transpose would"),
    "an upstream gradient of 1": Case(penalty, penalty_without_g, (X, 1.0), "the factor `"),
    "a constant upstream gradient": Case(
        weighed, weighed_with_a_plus, (X, np.ones((4, 3))), "any factor"
    ),
    "no index twice": Case(
        looked_up, looked_up_without_adding, (X, np.array([0, 3]), normal(2, 3)), "no index occurs"
    ),
    "no tie": Case(pooled, pooled_twice, (X, R[:, 0]), "no two are equal", (X.round(), R[:, 0])),
    "a batch of 1": Case(
        squared,
        squared_as_a_sum,
        (W[:, :1], X[:1], R[:1, :1]),
        "The batch is 1",
        (W[:, :1], X, R[:, :1]),
    ),
    "a gradient of 0": Case(
        layered, layered_times_2, ({"w1": W, "w2": np.zeros((3, 3))}, X, R), "the other factor is 0"
    ),
    "a weight of 0": Case(decayed, not_decayed, (np.zeros(3), R[0]), "L2 penalty"),
    "equal gradients": Case(
        paired, paired_and_swapped, ({"a": X, "b": X}, R, R), "in the place of the other"
    ),
    "equal halves": Case(
        embedded,
        embedded_rotated_too_early,
        (normal(4, 4), HALVES, np.cos(HALVES), normal(4, 4)),
        "The two halves of",
    ),
    "a branch of 0": Case(skipped, skipped_without_branch, (X, np.zeros((4, 3)), R), "be left out"),
    "a derivative at 0": Case(bent, bent_at_output, (np.zeros(3), R[0]), "`jnp.tanh(b)`"),
}


def in_float32(args):
    return jax.tree.map(
        lambda leaf: leaf if np.asarray(leaf).dtype.kind == "i" else np.float32(leaf), args
    )


def is_wrong(case, args):
    """True if the planted mistake is plain at these arguments."""
    right = jax.tree.leaves(jax.grad(case.fun)(*jax.tree.map(jnp.asarray, args)))
    came = jax.tree.leaves(case.wrong(*args))
    pairs = zip(came, right, strict=True)
    return any(np.abs(a - b).max() > 1e-3 * np.abs(b).max() for a, b in pairs)


@cache
def report_of(name):
    case = CASES[name]
    report = jp.compare_gradients(case.fun, case.wrong, *in_float32(case.hiding))
    assert report.ok, str(report)
    return report


def spots_of(report):
    """The blind spots, found anew."""
    return replace(report, backward=replace(report.backward)).blind_spots()


def assert_hidden_here_and_not_elsewhere(name):
    case, args = CASES[name], in_float32(CASES[name].hiding)
    assert case.says in str(spots_of(report_of(name)))
    telling = in_float32(case.telling) if case.telling else jp.suggest_arguments(case.fun, *args)
    assert is_wrong(case, jax.tree.map(np.asarray, telling))


@pytest.mark.parametrize("name", ["a symmetric gradient", "no tie", "a batch of 1"])
def test_a_mistake_that_a_blind_spot_names_is_hidden_here_and_not_elsewhere(name):
    assert_hidden_here_and_not_elsewhere(name)


@pytest.mark.corpus
@pytest.mark.parametrize("name", CASES)
def test_every_mistake_that_a_blind_spot_names_is_hidden_here_and_not_elsewhere(name):
    assert_hidden_here_and_not_elsewhere(name)
    case = CASES[name]
    args = in_float32(case.telling or jp.suggest_arguments(case.fun, *in_float32(case.hiding)))
    report = jp.compare_gradients(case.fun, jax.grad(case.fun), *args)
    assert report.ok, str(report)
    assert list(report.blind_spots()) == []


TOGETHER = {name: case for name, case in CASES.items() if case.telling is None}


def total(params, data):
    """The sum of all functions whose mistakes are hidden."""
    return sum(jnp.sum(case.fun(params[name], *data[name])) for name, case in TOGETHER.items())


def total_with_all_mistakes(params, data):
    return {name: case.wrong(params[name], *data[name]) for name, case in TOGETHER.items()}


def test_many_mistakes_are_hidden_at_once_and_none_where_suggested():
    hiding = {name: in_float32(case.hiding) for name, case in TOGETHER.items()}
    args = {n: a[0] for n, a in hiding.items()}, {n: a[1:] for n, a in hiding.items()}
    report = jp.compare_gradients(total, total_with_all_mistakes, *args)
    assert report.ok, str(report)
    sentences = "\n".join(report.blind_spots())
    assert [case.says for case in TOGETHER.values() if case.says not in sentences] == []
    params, data = jax.tree.map(np.asarray, jp.suggest_arguments(total, *args))
    hidden = [n for n, case in TOGETHER.items() if not is_wrong(case, (params[n], *data[n]))]
    assert hidden == []


@pytest.fixture(scope="module")
def gated_report():
    """Of a candidate that is wrong, at arguments that hide the derivative of relu."""
    args = in_float32(CASES["a derivative of 1"].hiding)
    return jp.compare_gradients(gated, lambda w, x, r: 2 * gated_without_gate(w, x, r), *args)


def test_the_verdict_plays_no_part_in_it(gated_report):
    assert gated_report.verdict == "manual_wrong"
    (spot,) = gated_report.blind_spots()
    place = f"test_blind_spots.py:{gated.__code__.co_firstlineno + 1}"
    assert (
        spot == f"{place}: the derivative of `jax.nn.relu(x @ w)` could be left out: it is 1 here."
    )


def test_five_are_printed():
    spots = BlindSpots(tuple("abcdefg"))
    assert (str(spots), len(spots), spots[6]) == ("a\nb\nc\nd\ne\n2 more", 7, "g")
    assert not BlindSpots(())


# Right functions at random arguments


def classified(p, x, y):
    h = x @ p["w1"] + p["b1"]
    h = (h - h.mean(1, keepdims=True)) / jnp.sqrt(h.var(1, keepdims=True) + 1e-5)
    h = jax.nn.relu(h * p["g"]) + x @ p["skip"]
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(h @ p["w2"]), axis=1))


def remembered(p, x):
    def step(h, x):
        h = jnp.tanh(x @ p["w"] + h @ p["u"])
        return h, h

    _, every = jax.lax.scan(step, jnp.zeros((2, 3)), x)
    return jnp.mean(every[-1] ** 2) + 0.1 * jnp.sum(p["u"] ** 2)


def attending(x, q, k, r):
    weights = jax.nn.softmax(x @ q @ (x @ k).T / jnp.sqrt(3.0))
    return jnp.sum(weights @ x * r)


RIGHT = {
    classified: (
        {"w1": W, "b1": W[0], "g": W[1], "skip": W + 1, "w2": W - 1},
        X,
        np.eye(3)[[0, 1, 2, 0]],
    ),
    remembered: ({"w": W, "u": X[:3]}, normal(3, 2, 3)),
    attending: (X, W, normal(3, 3), R),
}


@cache
def report_of_right(fun):
    report = jp.compare_gradients(fun, jax.grad(fun), *in_float32(RIGHT[fun]))
    assert report.ok, str(report)
    return report


def test_a_right_function_has_none_at_random_arguments():
    assert list(spots_of(report_of_right(attending))) == []


@pytest.mark.corpus
@pytest.mark.parametrize("fun", RIGHT)
def test_right_functions_have_none_at_random_arguments(fun):
    assert list(spots_of(report_of_right(fun))) == []


# The options of `assert_*`


def test_blind_spots_may_be_warned_of_or_refused():
    case = CASES["a derivative of 1"]
    args = in_float32(case.hiding)
    with pytest.warns(UserWarning, match=r"not every mistake would have shown\n.*relu"):
        jp.assert_gradients(case.fun, case.wrong, *args, blind_spots="warn")
    with pytest.raises(AssertionError, match=r"not every mistake would have shown\n.*relu"):
        jp.assert_gradients(case.fun, case.wrong, *args, blind_spots="error")
    with pytest.raises(ValueError, match="blind_spots='all' is not one of error, ignore, warn"):
        jp.assert_gradients(case.fun, case.wrong, *args, blind_spots="all")


def test_a_test_without_blind_spots_passes():
    def forward(x):
        return x**3, x

    def backward(x, dy):
        return (3 * x**2 * dy,)

    def fun(x):
        return x**3

    jp.assert_vjp(fun, forward, backward, X[0], blind_spots="error")
    with pytest.raises(AssertionError, match=r"gradient is 0 here"):
        jp.assert_vjp(fun, forward, backward, 0 * X[0], blind_spots="error")


def test_what_cannot_be_known_is_said():
    def branching(x):
        return x**2 if x > 0 else x

    report = jp.compare_gradients(branching, lambda x: 2 * x, 3.0)
    spots = report.blind_spots()
    assert report.ok
    assert str(spots).startswith("The blind spots are not known: the function cannot be traced")
    with pytest.raises(AssertionError, match="cannot be traced"):
        spots.demand_none("error")

    def moved(primals, tangents):
        return jnp.sin(*primals), jnp.cos(*primals) * tangents[0]

    report = jp.compare_jvp(jnp.sin, moved, jnp.zeros(3))
    assert report.ok
    assert "forward mode" in str(report.blind_spots())


# What no arguments show


def summed(x):
    return jnp.sum(jax.nn.softmax(x))


def test_a_sum_that_hides_everything_is_named():
    report = jp.compare_gradients(summed, lambda x: np.zeros_like(x), in_float32(X))
    assert report.ok
    (spot,) = report.blind_spots()
    assert "blind_spots" not in report.to_dict()
    assert "upstream gradient 1, so that dL/dx is 0 at any arguments" in spot
    assert "compare_vjp" in spot


@pytest.mark.corpus
def test_a_pullback_of_what_is_summed_shows_it():
    def forward(x):
        return jax.nn.softmax(x), x

    def backward(_, dy):
        return (0 * dy,)

    assert not jp.compare_vjp(jax.nn.softmax, forward, backward, in_float32(X)).ok


# Suggestions


def of_every_kind(p, x, y, labels, q, u, covariance, mask, rate):
    z = jnp.where(mask, x @ p["w"], 0.0) * jnp.log(p["scale"]) * rate
    picked = jnp.take_along_axis(z, labels[:, None], 1)
    likelihood = jnp.sum(jnp.linalg.cholesky(covariance)) + jnp.sum(picked**2)
    return likelihood + jnp.sum(y * z) + jnp.sum(q * jnp.sin(z)) + jnp.sum(u * jnp.cos(z))


def test_suggested_arguments_are_of_the_same_kind():
    q, u = np.exp(X), R / np.linalg.norm(R, axis=1, keepdims=True)
    args = (
        {"w": jnp.asarray(W, np.float32), "scale": np.ones(3, np.float32)},
        np.zeros((4, 3), np.float32),
        np.eye(3, dtype=np.float32)[[0, 1, 0, 1]],
        np.array([0, 2, 1, 1]),
        np.float32(q / q.sum(1, keepdims=True)),
        np.float32(u),
        np.float32(W @ W.T + np.eye(3)),
        X > 0,
        0.5,
    )
    drawn = jp.suggest_arguments(of_every_kind, *args)
    again = jp.suggest_arguments(of_every_kind, *args)
    assert jax.tree.all(jax.tree.map(np.array_equal, drawn, again))
    assert jax.tree.map(type, drawn) == jax.tree.map(type, args)
    for one, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(args), strict=True):
        assert (np.shape(one), np.asarray(one).dtype) == (np.shape(other), np.asarray(other).dtype)
    p, x, y, labels, q, u, covariance, _, rate = drawn
    assert np.all(np.std(x, axis=0) > 0)
    assert np.all(p["scale"] > 0)
    assert set(y.ravel()) == {0, 1}
    assert np.all(y.sum(1) == 1)
    assert set(labels) <= {0, 1, 2}
    assert np.allclose(q.sum(1), 1)
    assert np.allclose(np.linalg.norm(u, axis=1), 1)
    assert np.linalg.eigvalsh(covariance)[0] > 0
    assert np.array_equal(covariance, covariance.T)
    assert 0.25 <= rate <= 0.75


def test_a_function_that_cannot_be_traced_is_refused():
    with pytest.raises(TypeError, match=r"fun=.* needs concrete numbers"):
        jp.suggest_arguments(lambda x: x if x > 0 else -x, 3.0)


# Faults


def nothing(*_):
    return []


def everywhere(search):
    ones = np.ones((len(search.survey.mistakes), len(search.positions)))
    return ones, ones


def the_symmetric_gradient():
    test_a_mistake_that_a_blind_spot_names_is_hidden_here_and_not_elsewhere("a symmetric gradient")


FAULTS = {
    "always empty": ("hidden", nothing, the_symmetric_gradient),
    "hidden everywhere": (
        "showing",
        property(everywhere),
        test_a_right_function_has_none_at_random_arguments,
    ),
}


@pytest.mark.parametrize(("name", "fault", "test"), FAULTS.values(), ids=FAULTS)
def test_faults_do_not_pass(name, fault, test, monkeypatch):
    monkeypatch.setattr(Search, name, fault)
    with pytest.raises(AssertionError):
        test()
