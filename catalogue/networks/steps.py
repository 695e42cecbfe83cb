"""Whole SGD steps, of two layers and of three, updated from the last layer down."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw


def two_layers(p, x, y):
    h = jnp.tanh(x @ p["w1"] + p["b1"])  # [two_layers.h]
    out = h @ p["w2"] + p["b2"]  # [two_layers.out]
    return jnp.mean((out - y) ** 2)  # [two_layers.loss]


def two_layers_step(p, x, y):
    p, x, y = as_numpy((p, x, y))
    w1, b1, w2, b2 = p["w1"], p["b1"], p["w2"], p["b2"]
    h = np.tanh(x @ w1 + b1)
    d2 = 2 * (h @ w2 + b2 - y) / y.size
    d1 = d2 @ w2.T * (1 - h**2)
    w2, b2 = w2 - 0.5 * h.T @ d2, b2 - 0.5 * d2.sum(0)
    w1, b1 = w1 - 0.5 * x.T @ d1, b1 - 0.5 * d1.sum(0)
    return {"w1": w1, "b1": b1, "w2": w2, "b2": b2}


TWO_LAYERS = Network(
    two_layers,
    two_layers_step,
    (draw(64, w1=(4, 5), b1=(5,), w2=(5, 3), b2=(3,)), *batch(65, (6, 4), (6, 3))),
)


def three_layers(p, x, y):
    h1 = jax.nn.sigmoid(x @ p[0])  # [three_layers.h1]
    h2 = jax.nn.sigmoid(h1 @ p[1])  # [three_layers.h2]
    out = h2 @ p[2]  # [three_layers.out]
    return 0.5 * jnp.sum((out - y) ** 2)  # [three_layers.loss]


def three_layers_step(p, x, y):
    w1, w2, w3 = p
    h1 = jax.nn.sigmoid(x @ w1)
    h2 = jax.nn.sigmoid(h1 @ w2)
    d3 = h2 @ w3 - y
    dh2 = d3 @ w3.T
    d2 = dh2 * h2 * (1 - h2)
    dh1 = d2 @ w2.T
    d1 = dh1 * h1 * (1 - h1)
    w3 = w3 - 0.1 * h2.T @ d3
    w2 = w2 - 0.1 * h1.T @ d2
    w1 = w1 - 0.1 * x.T @ d1
    return w1, w2, w3


THREE_LAYERS = Network(
    three_layers,
    three_layers_step,
    (
        tuple(draw(66, w1=(4, 6), w2=(6, 5), w3=(5, 3)).values()),
        *batch(67, (6, 4), (6, 3)),
    ),
)
