"""Networks with activations that people write themselves."""

import jax
import jax.numpy as jnp

from catalogue.networks.network import Network, as_numpy, batch, draw, logistic, one_hot

# Quadratic units, sigmoid outputs, binary cross entropy


def binary(p, x, y):
    z1 = x @ p["w1"] + p["b1"]  # [binary.z1]
    q = z1**2  # [binary.q]
    z2 = q @ p["w2"] + p["b2"]  # [binary.z2]
    prob = jax.nn.sigmoid(z2)  # [binary.prob]
    return -jnp.mean(y * jnp.log(prob) + (1 - y) * jnp.log(1 - prob))  # [binary.loss]


def binary_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    z1 = x @ p["w1"] + p["b1"]
    q = z1**2
    prob = logistic(q @ p["w2"] + p["b2"])
    dprob = (prob - y) / (prob * (1 - prob)) / y.size
    dz2 = dprob * prob * (1 - prob)
    dz1 = dz2 @ p["w2"].T * 2 * z1
    return {"w1": x.T @ dz1, "b1": dz1.sum(0), "w2": q.T @ dz2, "b2": dz2.sum(0)}


BINARY = Network(
    binary,
    binary_gradients,
    (
        draw(98, w1=(4, 5), b1=(5,), w2=(5, 3), b2=(3,)),
        *batch(16, (6, 4)),
        one_hot(17, 6, 3),
    ),
)


# An activation with a rule of its own


@jax.custom_jvp
def squareplus(z):
    return 0.5 * (z + jnp.sqrt(z**2 + 4))


@squareplus.defjvp
def squareplus_jvp(primals, tangents):
    (z,), (dz,) = primals, tangents
    return squareplus(z), squareplus_slope(z) * dz


def squareplus_slope(z):
    return 0.5 * (1 + z / jnp.sqrt(z**2 + 4))


def custom(p, x, y):
    z = x @ p["w"] + p["b"]  # [custom.z]
    h = squareplus(z)  # [custom.h]
    out = h @ p["v"] + p["c"]  # [custom.out]
    return jnp.mean((out - y) ** 2)  # [custom.loss]


def custom_gradients(p, x, y):
    z = x @ p["w"] + p["b"]
    h = squareplus(z)
    dout = 2 * (h @ p["v"] + p["c"] - y) / y.size
    dh = dout @ p["v"].T
    dz = dh * squareplus_slope(z)
    return {"w": x.T @ dz, "b": dz.sum(0), "v": h.T @ dout, "c": dout.sum(0)}


CUSTOM = Network(
    custom,
    custom_gradients,
    (draw(55, w=(4, 5), b=(5,), v=(5, 3), c=(3,)), *batch(56, (6, 4), (6, 3))),
)


# Squared relu


def rectified(p, x, y):
    z = x @ p["w"] + p["b"]  # [rectified.z]
    h = jax.nn.relu(z)  # [rectified.h]
    q = h**2  # [rectified.q]
    out = q @ p["v"]  # [rectified.out]
    return jnp.mean((out - y) ** 2)  # [rectified.loss]


def rectified_gradients(p, x, y):
    z = x @ p["w"] + p["b"]
    h = jax.nn.relu(z)
    q = h**2
    dout = 2 * (q @ p["v"] - y) / y.size
    dq = dout @ p["v"].T
    dh = dq * 2 * h
    dz = jnp.where(z > 0, dh, 0.0)
    return {"w": x.T @ dz, "b": dz.sum(0), "v": q.T @ dout}


RECTIFIED = Network(
    rectified,
    rectified_gradients,
    (draw(68, w=(4, 5), b=(5,), v=(5, 3)), *batch(63, (6, 4), (6, 3))),
)
