"""Networks from books and lectures whose figures are known."""

import json
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxpercep as jp
from jaxpercep.dense import DenseParams
from jaxpercep.tour.published import load

VECTORS = Path(__file__).parent / "vectors"


def test_the_hand_set_relu_network_computes_xor():
    """Goodfellow, Bengio & Courville (2016), chapter 6: no training, two hidden units."""
    net = json.loads((VECTORS / "goodfellow_xor.json").read_text())
    model = jp.mlp([2, 2, 1], jp.relu)
    hidden = DenseParams(jnp.array(net["W"], jnp.float32), jnp.array(net["c"], jnp.float32))
    output = DenseParams(
        jnp.array(net["w"], jnp.float32)[:, None], jnp.array([net["b"]], jnp.float32)
    )
    bits = list(product([0, 1], repeat=2))
    y = model.apply((hidden, (), output), jnp.array(bits, jnp.float32))
    expected = [net["outputs"][f"{a}{b}"] for a, b in bits]
    np.testing.assert_array_equal(y[:, 0], expected)


def as_published(params, x, y):
    """The lecture's notebook: weight gradients summed over the batch, bias gradients averaged."""
    (w1, b1), _, (w2, b2), _ = params
    a1 = jax.nn.sigmoid(x @ w1 + b1)
    p = jax.nn.sigmoid(a1 @ w2 + b2)
    d_l2 = (p - y) * p * (1 - p)
    d_l1 = (d_l2 @ w2.T) * a1 * (1 - a1)
    first = DenseParams(x.T @ d_l1, d_l1.mean(0))
    return first, (), DenseParams(a1.T @ d_l2, d_l2.mean(0)), ()


@pytest.mark.usefixtures("x64")
def test_the_lecture_averages_its_bias_gradients():
    lecture = json.loads((VECTORS / "lecture_lab08_4.json").read_text())
    assert "both bias gradients are 1/batch (0.1)" in lecture["what_is_wrong"]
    batch = 10
    rng = np.random.default_rng(0)
    x, y = rng.random((batch, 784)), np.eye(10)[rng.integers(10, size=batch)]
    model = jp.mlp([784, 30, 10], output=jp.sigmoid, w_init="normal", b_init="normal")
    params = model.init(jax.random.key(0))
    loss = jp.SquaredError(scale=0.5, reduction="sum")
    _, right = jp.value_and_grad(model, loss, "manual")(params, x, y)
    published = as_published(params, x, y)
    for i in (0, 2):
        np.testing.assert_allclose(published[i].w, right[i].w, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(published[i].b, right[i].b / batch, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["lab-08-1", "lab-08-2"])
def test_the_lectures_first_loss_is_that_of_its_weights(name):
    network = load("lecture_lab08")[name]
    bits = np.array(list(product([0, 1], repeat=2)))
    y = np.bitwise_xor.reduce(bits, axis=1, keepdims=True)
    h = bits
    for layer in network["init"]:
        h = 1 / (1 + np.exp(-(h @ np.array(layer["w"]) + layer["b"])))
    step, published = network["loss_table"][0]
    entropy = -np.mean(y * np.log(h) + (1 - y) * np.log(1 - h))
    assert (step, entropy) == (0, pytest.approx(published, rel=2**-23))
