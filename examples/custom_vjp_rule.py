"""A wrong custom_vjp rule: the backward pass of RMS normalization treats the divisor as a constant.

`loss` uses the plain function; `grads` is `jax.grad` through the function with the rule.
"""

import jax
import jax.numpy as jnp


def rms_norm(x):
    return x / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True))


@jax.custom_vjp
def fast_rms_norm(x):
    return rms_norm(x)


def fast_rms_norm_forward(x):
    scale = 1 / jnp.sqrt(jnp.mean(x**2, axis=-1, keepdims=True))
    return x * scale, scale


def fast_rms_norm_backward(scale, dy):
    return (dy * scale,)  # the scale depends on x as well


fast_rms_norm.defvjp(fast_rms_norm_forward, fast_rms_norm_backward)


def network_loss(params, x, y, norm):
    h = norm(x @ params["w1"])
    return jnp.mean((h @ params["w2"] - y) ** 2)


def loss(params, x, y):
    return network_loss(params, x, y, rms_norm)


def grads(params, x, y):
    return jax.grad(network_loss)(params, x, y, fast_rms_norm)


def example():
    w1, w2, x, y = jax.random.split(jax.random.key(4), 4)
    params = {"w1": jax.random.normal(w1, (3, 6)), "w2": jax.random.normal(w2, (6, 2))}
    return params, jax.random.normal(x, (8, 3)), jax.random.normal(y, (8, 2))
