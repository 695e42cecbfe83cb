"""Networks with other losses than squared error and cross entropy, and with penalties."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw, one_hot

# Poisson regression: gelu inside, softplus rates


def gelu_slope(z):
    c, k = (2 / np.pi) ** 0.5, 0.044715
    t = jnp.tanh(c * (z + k * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * c * (1 + 3 * k * z**2)


def counts(p, x, y):
    (w1, b1), (w2, b2) = p
    z1 = x @ w1 + b1  # [counts.z1]
    h1 = jax.nn.gelu(z1)  # [counts.h1]
    z2 = h1 @ w2 + b2  # [counts.z2]
    rate = jax.nn.softplus(z2)  # [counts.rate]
    log_rate = jnp.log(rate)  # [counts.log_rate]
    return jnp.mean(rate - y * log_rate)  # [counts.loss]


def counts_gradients(p, x, y):
    (w1, b1), (w2, b2) = p
    z1 = x @ w1 + b1
    h1 = jax.nn.gelu(z1)
    z2 = h1 @ w2 + b2
    rate = jax.nn.softplus(z2)
    drate = (1 - y / rate) / y.size
    delta2 = drate * jax.nn.sigmoid(z2)
    delta1 = delta2 @ w2.T * gelu_slope(z1)
    return (x.T @ delta1, delta1.sum(0)), (h1.T @ delta2, delta2.sum(0))


COUNTS = Network(
    counts,
    counts_gradients,
    (
        (
            tuple(draw(18, w=(4, 5), b=(5,)).values()),
            tuple(draw(19, w=(5, 3), b=(3,)).values()),
        ),
        *batch(20, (6, 4)),
        np.random.default_rng(21).poisson(2.0, (6, 3)).astype(np.float32),
    ),
)


# A mean and a log variance from one trunk; elu


def gaussian(p, x, y):
    z = x @ p["w"] + p["b"]  # [gaussian.z]
    h = jax.nn.elu(z)  # [gaussian.h]
    mu = h @ p["w_mu"] + p["b_mu"]  # [gaussian.mu]
    s = h @ p["w_s"] + p["b_s"]  # [gaussian.s]
    precision = jnp.exp(-s)  # [gaussian.precision]
    error = y - mu  # [gaussian.error]
    return 0.5 * jnp.mean(s + precision * error**2)  # [gaussian.loss]


def gaussian_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    z = x @ p["w"] + p["b"]
    h = np.where(z > 0, z, np.expm1(z))
    mu = h @ p["w_mu"] + p["b_mu"]
    s = h @ p["w_s"] + p["b_s"]
    precision = np.exp(-s)
    error = y - mu

    dmu = -precision * error / y.size
    dprecision = 0.5 * error**2 / y.size
    ds = 0.5 / y.size - dprecision * precision
    dh = dmu @ p["w_mu"].T
    dh += ds @ p["w_s"].T
    dz = dh * np.where(z > 0, 1, np.exp(z))
    return {
        "w": x.T @ dz,
        "b": dz.sum(0),
        "w_mu": h.T @ dmu,
        "b_mu": dmu.sum(0),
        "w_s": h.T @ ds,
        "b_s": ds.sum(0),
    }


GAUSSIAN = Network(
    gaussian,
    gaussian_gradients,
    (
        draw(170, w=(4, 5), b=(5,), w_mu=(5, 3), b_mu=(3,), w_s=(5, 3), b_s=(3,)),
        *batch(23, (6, 4), (6, 3)),
    ),
)


# Leaky relu, softmax outputs, squared error


def votes(p, x, y):
    z1 = x @ p["w1"] + p["b1"]  # [votes.z1]
    h1 = jax.nn.leaky_relu(z1, 0.01)  # [votes.h1]
    z2 = h1 @ p["w2"] + p["b2"]  # [votes.z2]
    prob = jax.nn.softmax(z2)  # [votes.prob]
    return jnp.sum((prob - y) ** 2) / len(x)  # [votes.loss]


def votes_gradients(p, x, y):
    z1 = x @ p["w1"] + p["b1"]
    h1 = jax.nn.leaky_relu(z1, 0.01)
    prob = jax.nn.softmax(h1 @ p["w2"] + p["b2"])
    dprob = 2 * (prob - y) / len(x)
    dz2 = prob * (dprob - jnp.sum(prob * dprob, axis=-1, keepdims=True))
    dh1 = dz2 @ p["w2"].T
    dz1 = jnp.where(z1 > 0, dh1, 0.01 * dh1)
    return {"w1": x.T @ dz1, "b1": dz1.sum(0), "w2": h1.T @ dz2, "b2": dz2.sum(0)}


VOTES = Network(
    votes,
    votes_gradients,
    (
        draw(105, w1=(4, 5), b1=(5,), w2=(5, 3), b2=(3,)),
        *batch(25, (6, 4)),
        one_hot(26, 6, 3),
    ),
)


# One linear layer, hinge loss, L2 penalty on the weights


def svm(p, x, y):
    score = x @ p["w"] + p["b"]  # [svm.score]
    hinge = jnp.maximum(0.0, 1 - y * score)  # [svm.hinge]
    penalty = 0.05 * jnp.sum(p["w"] ** 2)  # [svm.penalty]
    return jnp.mean(hinge) + penalty  # [svm.loss]


def svm_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    score = x @ p["w"] + p["b"]
    dscore = np.where(y * score < 1, -y, 0) / y.size
    dw = x.T @ dscore
    dw += 0.1 * p["w"]
    db = dscore.sum(0)
    return {"w": dw, "b": db}


SVM = Network(
    svm,
    svm_gradients,
    (draw(680, w=(4, 3), b=(3,)), *batch(28, (6, 4)), 2 * one_hot(29, 6, 3) - 1),
)


# L1 penalty on both layers


def lasso(p, x, y):
    h = jnp.tanh(x @ p["w1"])  # [lasso.h]
    out = h @ p["w2"]  # [lasso.out]
    data = jnp.sum((out - y) ** 2)  # [lasso.data]
    penalty = 0.02 * (jnp.sum(jnp.abs(p["w1"])) + jnp.sum(jnp.abs(p["w2"])))  # [lasso.penalty]
    return data + penalty  # [lasso.loss]


def lasso_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = np.tanh(x @ p["w1"])
    delta = 2 * (h @ p["w2"] - y)
    g = {
        "w1": x.T @ (delta @ p["w2"].T * (1 - h**2)),
        "w2": h.T @ delta,
    }
    return {
        "w1": g["w1"] + 0.02 * np.sign(p["w1"]),
        "w2": g["w2"] + 0.02 * np.sign(p["w2"]),
    }


LASSO = Network(
    lasso, lasso_gradients, (draw(73, w1=(4, 5), w2=(5, 3)), *batch(31, (6, 4), (6, 3)))
)
