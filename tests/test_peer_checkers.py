"""The usual checkers notice some wrong gradients, and pass others."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from catalogue.peers import check_grads_detects, gradcheck_detects, gradient_of_update

pytestmark = pytest.mark.corpus

BATCH, RATE = 8, 0.5


def loss(params, x, y):
    return jnp.mean((jnp.tanh(x @ params["w"] + params["b"]) - y) ** 2)


def by_hand(params, x, y):
    """Returns the right gradient, in NumPy, which takes no tracers."""
    w, b, x, y = (np.asarray(array) for array in (params["w"], params["b"], x, y))
    a = np.tanh(x @ w + b)
    delta = 2 * (a - y) * (1 - a**2) / a.size
    return {"w": x.T @ delta, "b": delta.sum(0)}


def changed(**edits):
    """Returns a gradient function whose leaves go through the functions given."""

    def grad_fun(*args):
        return {name: edits.get(name, np.copy)(leaf) for name, leaf in by_hand(*args).items()}

    return grad_fun


def with_value(*args):
    return loss(*args), by_hand(*args)


def without_bias(*args):
    return {"w": by_hand(*args)["w"]}


def step(grad_fun):
    """Returns an SGD step along a gradient."""

    def update(params, *batch):
        return jax.tree.map(lambda p, g: p - RATE * g, params, grad_fun(params, *batch))

    return update


def draw(width, off=1.0):
    """Draws parameters and data; the targets are `off` away from the outputs."""
    rng = np.random.default_rng(0)
    w, b = rng.normal(size=(width, width)) / width**0.5, rng.normal(size=width)
    x = rng.normal(size=(BATCH, width))
    y = np.tanh(x @ w + b) + off * rng.normal(size=(BATCH, width))
    return jax.tree.map(np.float32, ({"w": w, "b": b}, x, y))


RIGHT = {
    "in NumPy": by_hand,
    "in JAX": jax.grad(loss),
    "jitted pair": jax.jit(jax.value_and_grad(loss)),
    "with the value": with_value,
    "from a step": gradient_of_update(step(by_hand), RATE),
}
NOTICED_BY_BOTH = {
    "all signs flipped": changed(w=np.negative, b=np.negative),
    "not finite": changed(b=lambda g: g * np.nan),
    "a leaf is missing": without_bias,
    "a leaf has another shape": changed(b=lambda g: g[:-1]),
    "a step upwards": gradient_of_update(step(changed(w=np.negative, b=np.negative)), RATE),
}
TOO_SMALL_FOR_CHECK_GRADS = {
    "zero bias": changed(b=np.zeros_like),
    "weights too large by 1 %": changed(w=lambda g: 1.01 * g),
    "averaged bias": changed(b=lambda g: g / BATCH),
}


@pytest.mark.parametrize("grad_fun", RIGHT.values(), ids=RIGHT)
def test_neither_accuses_a_right_gradient(grad_fun):
    assert not check_grads_detects(loss, grad_fun, draw(4))
    assert not gradcheck_detects(loss, grad_fun, draw(4))


@pytest.mark.parametrize("grad_fun", NOTICED_BY_BOTH.values(), ids=NOTICED_BY_BOTH)
def test_both_notice(grad_fun):
    assert check_grads_detects(loss, grad_fun, draw(4))
    pytest.importorskip("torch", reason="PyTorch is one of the optional peers")
    assert gradcheck_detects(loss, grad_fun, draw(4))


@pytest.mark.parametrize(
    "grad_fun", TOO_SMALL_FOR_CHECK_GRADS.values(), ids=TOO_SMALL_FOR_CHECK_GRADS
)
def test_check_grads_alone_passes_what_is_small_beside_its_tolerance(grad_fun):
    assert not check_grads_detects(loss, grad_fun, draw(64, off=0.02))
    pytest.importorskip("torch", reason="PyTorch is one of the optional peers")
    assert gradcheck_detects(loss, grad_fun, draw(4))


def test_gradcheck_is_absent_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert gradcheck_detects(loss, by_hand, draw(4)) is None
