"""A widely read lecture notebook (lab-08_4, backpropagation on MNIST), rewritten for JAX.

A sigmoid network of 784, 30 and 10 neurons, all parameters drawn from N(0, 1), a batch of 10. The
notebook states no loss; its deltas are those of half the sum of squares over the batch. Weight
gradients are summed over the batch but bias gradients averaged: a tenth of what they should be.
"""

import jax
import jax.numpy as jnp
from jax.nn import sigmoid


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


def loss(params, x, y):
    a1 = sigmoid(x @ params["w1"] + params["b1"])
    p = sigmoid(a1 @ params["w2"] + params["b2"])
    return 0.5 * jnp.sum((p - y) ** 2)


def grads(params, x, y):
    l1 = x @ params["w1"] + params["b1"]
    a1 = sigmoid(l1)
    l2 = a1 @ params["w2"] + params["b2"]
    p = sigmoid(l2)

    d_l2 = (p - y) * sigmoid_prime(l2)
    d_l1 = d_l2 @ params["w2"].T * sigmoid_prime(l1)
    return {
        "w1": x.T @ d_l1,
        "b1": d_l1.mean(0),
        "w2": a1.T @ d_l2,
        "b2": d_l2.mean(0),
    }


def example():
    """Pixels as in MNIST, four out of five black, and one digit of each kind."""
    w1, b1, w2, b2, pixels, drawn = jax.random.split(jax.random.key(5), 6)
    params = {
        "w1": jax.random.normal(w1, (784, 30)),
        "b1": jax.random.normal(b1, (30,)),
        "w2": jax.random.normal(w2, (30, 10)),
        "b2": jax.random.normal(b2, (10,)),
    }
    x = jax.random.uniform(pixels, (10, 784))
    x = jnp.where(jax.random.bernoulli(drawn, 0.2, x.shape), x, 0)
    return params, x, jnp.eye(10)
