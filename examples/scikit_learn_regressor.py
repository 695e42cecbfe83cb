"""A wrong gradient: the one with which scikit-learn trains its MLPRegressor, for three outputs.

The loss is half the mean of the squared errors over samples and outputs, the gradient is divided by
the number of samples alone (https://github.com/scikit-learn/scikit-learn/issues/8349).
"""

import jax.numpy as jnp
import numpy as np
from sklearn.neural_network import MLPRegressor

OUTPUTS = 3


def loss(params, x, y):
    hidden = jnp.tanh(x @ params["w1"] + params["b1"])
    return 0.5 * jnp.mean((hidden @ params["w2"] + params["b2"] - y) ** 2)


def grads(params, x, y):
    network = MLPRegressor(activation="tanh", alpha=0.0)
    network.n_layers_, network.n_outputs_, network.out_activation_ = 3, OUTPUTS, "identity"
    network.coefs_ = [np.asarray(params["w1"]), np.asarray(params["w2"])]
    network.intercepts_ = [np.asarray(params["b1"]), np.asarray(params["b2"])]
    x, empty = np.asarray(x), [None, None]
    _, weights, biases = network._backprop(
        x, np.asarray(y), None, [x, *empty], empty.copy(), empty.copy(), empty.copy()
    )
    return {"w1": weights[0], "b1": biases[0], "w2": weights[1], "b2": biases[1]}


def example():
    rng = np.random.default_rng(0)
    shapes = {"w1": (3, 4), "b1": (4,), "w2": (4, OUTPUTS), "b2": (OUTPUTS,)}
    params = {name: rng.normal(size=shape).astype("float32") for name, shape in shapes.items()}
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, OUTPUTS))
    return params, x.astype("float32"), y.astype("float32")
