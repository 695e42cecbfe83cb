"""What a comparison says it could not have seen is what it cannot see, and nothing else.

Each case plants a mistake in a gradient: at the hiding arguments it matches, and a blind spot names
it; at the suggested arguments, or at those of the case where none can be suggested, it does not.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpercep as jp
from jaxpercep.compare.explanation import blind_spots

RNG = np.random.default_rng(7)


def normal(*shape):
    return RNG.normal(size=shape)


# Functions, and gradients of them that are wrong


def gated(w, x, r):
    return jnp.sum(jax.nn.relu(x @ w) * r)


def gated_without_gate(w, x, r):
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


def product_transposed(w, x, r):
    return r.T @ x


def penalty(z, g):
    return g * jnp.sum(z**2)


def penalty_without_g(z, g):
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


def not_decayed(w, r):
    return np.asarray(r)


def paired(p, u, v):
    return jnp.sum(jnp.sin(p["a"]) * u) + jnp.sum(jnp.sin(p["b"]) * v)


def paired_and_swapped(p, u, v):
    return {"a": np.cos(p["b"]) * v, "b": np.cos(p["a"]) * u}


def rotated(x):
    return jnp.concatenate([-x[:, 2:], x[:, :2]], 1)


def embedded(x, c, s, r):
    return jnp.sum((x * c + rotated(x) * s) * r)


def embedded_rotated_too_early(x, c, s, r):
    return r * c - np.concatenate([-r[:, 2:], r[:, :2]], 1) * s


def skipped(x, a, r):
    return jnp.sum((x + a * jnp.sin(x)) * r)


def skipped_without_branch(x, a, r):
    return np.asarray(r)


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
    "an upstream gradient of 1": Case(penalty, penalty_without_g, (X, 1.0), "the factor g"),
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
        "halves of s are equal",
    ),
    "a branch of 0": Case(skipped, skipped_without_branch, (X, np.zeros((4, 3)), R), "be left out"),
    "a derivative at 0": Case(bent, bent_at_output, (np.zeros(3), R[0]), "tanh(b)"),
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
    return any(np.abs(a - b).max() > 1e-2 * np.abs(b).max() for a, b in pairs)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_that_a_blind_spot_names_is_hidden_here_and_not_elsewhere(case):
    args = in_float32(case.hiding)
    report = jp.compare_gradients(case.fun, case.wrong, *args)
    assert report.ok, str(report)
    spots = report.blind_spots()
    assert case.says in str(spots)
    telling = in_float32(case.telling or jp.suggest_arguments(case.fun, *args))
    assert jax.tree.map(np.shape, telling) == jax.tree.map(np.shape, args) or case.telling
    assert is_wrong(case, jax.tree.map(np.asarray, telling))
