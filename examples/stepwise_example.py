"""The best-known worked example of backpropagation (mattmazur.com, 2015), rewritten for JAX.

A 2-2-2 sigmoid network with the published weights; the biases are not trained. This step updates
the output weights first and propagates the error through the updated ones. The loss afterwards is
0.291027924, as the example prints; a step of gradient descent reaches 0.291027774.
"""

import jax.numpy as jnp
from jax.nn import sigmoid

learning_rate = 0.5


def loss(params, x, b_hidden, b_output, target):
    h = sigmoid(x @ params["w_hidden"] + b_hidden)
    o = sigmoid(h @ params["w_output"] + b_output)
    return 0.5 * jnp.sum((target - o) ** 2)


def step(params, x, b_hidden, b_output, target):
    w_hidden, w_output = params["w_hidden"], params["w_output"]
    h = sigmoid(x @ w_hidden + b_hidden)
    o = sigmoid(h @ w_output + b_output)

    delta_o = (o - target) * o * (1 - o)
    w_output = w_output - learning_rate * jnp.outer(h, delta_o)
    delta_h = (w_output @ delta_o) * h * (1 - h)
    w_hidden = w_hidden - learning_rate * jnp.outer(x, delta_h)
    return {"w_hidden": w_hidden, "w_output": w_output}


def example():
    params = {
        "w_hidden": jnp.array([[0.15, 0.25], [0.20, 0.30]]),
        "w_output": jnp.array([[0.40, 0.50], [0.45, 0.55]]),
    }
    x, target = jnp.array([0.05, 0.10]), jnp.array([0.01, 0.99])
    return params, x, jnp.array([0.35, 0.35]), jnp.array([0.60, 0.60]), target
