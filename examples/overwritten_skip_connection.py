"""A wrong gradient: x reaches the output along two paths, through the block and around it.

The two contributions add up. Here that of the block overwrites the other: "=" instead of "+=".
"""

import jax
import jax.numpy as jnp


def forward(params, inputs):
    x = jnp.tanh(inputs @ params["w_in"])
    h = jnp.tanh(x @ params["w_block"])
    y = x + h
    return x, h, y


def loss(params, inputs, targets):
    _, _, y = forward(params, inputs)
    return jnp.mean((y - targets) ** 2)


def grads(params, inputs, targets):
    x, h, y = forward(params, inputs)
    dx = dy = 2 * (y - targets) / y.size
    dh = dy * (1 - h**2)
    dx = dh @ params["w_block"].T  # +=
    return {"w_in": inputs.T @ (dx * (1 - x**2)), "w_block": x.T @ dh}


def example():
    w_in, w_block, inputs, targets = jax.random.split(jax.random.key(3), 4)
    params = {
        "w_in": jax.random.normal(w_in, (3, 4)),
        "w_block": jax.random.normal(w_block, (4, 4)) / 2,
    }
    return params, jax.random.normal(inputs, (8, 3)), jax.random.normal(targets, (8, 4))
