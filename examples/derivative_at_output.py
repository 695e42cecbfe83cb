"""A wrong gradient: the derivative of the sigmoid, a function of z, is evaluated at the output h.

`sigmoid_derivative` is right, and so are all shapes. Only its argument is wrong: h has already been
through the sigmoid.
"""

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid


def sigmoid_derivative(z):
    return sigmoid(z) * (1 - sigmoid(z))


def loss(params, x, y):
    h = sigmoid(x @ params["w1"] + params["b1"])
    z2 = h @ params["w2"] + params["b2"]
    return -jnp.mean(y * log_sigmoid(z2) + (1 - y) * log_sigmoid(-z2))


def grads(params, x, y):
    h = sigmoid(x @ params["w1"] + params["b1"])
    z2 = h @ params["w2"] + params["b2"]
    dz2 = (sigmoid(z2) - y) / z2.size
    dz1 = dz2 @ params["w2"].T * sigmoid_derivative(h)
    return {"w1": x.T @ dz1, "b1": dz1.sum(0), "w2": h.T @ dz2, "b2": dz2.sum(0)}


def example():
    w1, w2, x, y = jax.random.split(jax.random.key(2), 4)
    params = {
        "w1": jax.random.normal(w1, (4, 6)),
        "b1": jnp.zeros(6),
        "w2": jax.random.normal(w2, (6, 1)),
        "b2": jnp.zeros(1),
    }
    labels = jax.random.bernoulli(y, shape=(8, 1)).astype(jnp.float32)
    return params, jax.random.normal(x, (8, 4)), labels
