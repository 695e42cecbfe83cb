"""Where arrays are filled, classes are local and loops end too early, the listing says so."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpercep import annotate_gradients

pytestmark = pytest.mark.slow

IDS = np.array([0, 2, 0])
TABLE = np.random.default_rng(1).normal(size=(3, 2))
SQUARE = np.random.default_rng(2).normal(size=(2, 2))


def looked_up(table):
    return jnp.sum(jnp.tanh(table[IDS]) ** 2)


def overwriting(table):
    h = np.tanh(table[IDS])
    de = 2 * h * (1 - h**2)
    dtable = np.zeros_like(table)
    dtable[IDS] = de
    return dtable


def test_the_statement_that_overwrites_is_the_place():
    (repair,) = annotate_gradients(looked_up, overwriting, TABLE).repairs
    first = inspect.getsourcelines(overwriting)[1]
    assert repair.source == f"test_candidate_structure.py:{first + 4}"
    assert repair.expression == "dtable[IDS] = de"
    assert repair.due == "what fills `dtable` with dL/dtable"


def waves(x):
    return jnp.sum(jnp.sin(x) * jnp.cos(x))


def by_an_engine(x):
    class Value:
        def __init__(self, data, parents=(), slopes=()):
            self.data, self.parents, self.slopes = data, parents, slopes
            self.grad = np.zeros_like(data)

        def backward(self, grad):
            self.grad = grad
            for parent, slope in zip(self.parents, self.slopes, strict=True):
                parent.backward(grad * slope)

    leaf = Value(x)
    sine = Value(np.sin(x), (leaf,), (np.cos(x),))
    cosine = Value(np.cos(x), (leaf,), (-np.sin(x),))
    product = Value(sine.data * cosine.data, (sine, cosine), (cosine.data, sine.data))
    product.backward(np.ones_like(x))
    return leaf.grad


def test_the_methods_of_a_local_class_are_read():
    (repair,) = annotate_gradients(waves, by_an_engine, TABLE[0]).repairs
    assert repair.code == "self.grad = grad"
    assert repair.due == "dL/dx"
    assert repair.suggestion == "self.grad += grad"


def repeated(w):
    h = jnp.ones(2)
    for _ in range(3):
        h = jnp.tanh(h @ w)
    return jnp.sum(h)


def once(w):
    hs = [np.ones(2)]
    for _ in range(3):
        hs.append(np.tanh(hs[-1] @ w))
    dw, dh = np.zeros_like(w), np.ones(2)
    for t in [2]:
        dz = dh * (1 - hs[t + 1] ** 2)
        dw += np.outer(hs[t], dz)
        dh = w @ dz
    return dw


def test_a_loop_that_ends_too_early_is_named():
    annotated = annotate_gradients(repeated, once, SQUARE)
    line = inspect.getsourcelines(once)[1] + 5
    said = (
        f"test_candidate_structure.py:{line}: the loop is run once, that of the function 3 times."
    )
    assert (annotated.repairs, annotated.remark) == ((), said)
