"""A wrong gradient: the backward pass leaves out the derivative of the second tanh.

The error passes from h2 to z2 as if tanh were the identity, so w3 is right, but w2 and w1 are not.
"""

import jax
import jax.numpy as jnp


def forward(params, x):
    h1 = jnp.tanh(x @ params["w1"])
    h2 = jnp.tanh(h1 @ params["w2"])
    return h1, h2, h2 @ params["w3"]


def loss(params, x, y):
    _, _, p = forward(params, x)
    return 0.5 * jnp.mean(jnp.sum((p - y) ** 2, axis=1))


def grads(params, x, y):
    h1, h2, p = forward(params, x)
    dp = (p - y) / len(x)
    dz2 = dp @ params["w3"].T  # times 1 - h2**2
    dz1 = dz2 @ params["w2"].T * (1 - h1**2)
    return {"w1": x.T @ dz1, "w2": h1.T @ dz2, "w3": h2.T @ dp}


def example():
    w1, w2, w3, x, y = jax.random.split(jax.random.key(1), 5)
    params = {
        "w1": jax.random.normal(w1, (3, 6)) / 3**0.5,
        "w2": jax.random.normal(w2, (6, 5)) / 6**0.5,
        "w3": jax.random.normal(w3, (5, 2)) / 5**0.5,
    }
    return params, jax.random.normal(x, (8, 3)), jax.random.normal(y, (8, 2))
