"""Networks from books and lectures whose figures are known."""

import json
from itertools import product
from pathlib import Path

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
