"""Networks whose parts are scaled: normalized weights, residual branches, a temperature."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.attention import softmax
from catalogue.networks.network import Network, as_numpy, batch, draw, logistic, one_hot

# Weight normalization: a direction and a length for each unit


def directed(p, x, y):
    norm = jnp.sqrt(jnp.sum(p["v"] ** 2, axis=0))  # [directed.norm]
    w = p["g"] * p["v"] / norm  # [directed.w]
    h = jnp.tanh(x @ w + p["b"])  # [directed.h]
    return jnp.mean((h - y) ** 2)  # [directed.loss]


def directed_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    v, g = p["v"], p["g"]
    norm = np.sqrt((v**2).sum(0))
    h = np.tanh(x @ (g * v / norm) + p["b"])
    dz = 2 * (h - y) / y.size * (1 - h**2)
    dw = x.T @ dz
    dg = (dw * v).sum(0) / norm
    dv = g / norm * dw - g * dg / norm**2 * v
    return {"v": dv, "g": dg, "b": dz.sum(0)}


DIRECTED = Network(
    directed,
    directed_gradients,
    (draw(311, v=(4, 3), g=(3,), b=(3,)), *batch(312, (5, 4), (5, 3))),
)


# A residual block whose skip has a fixed scale, its branch a learned one


def rescaled(p, x, y):
    h = jnp.tanh(x @ p["w1"])  # [rescaled.h]
    f = jax.nn.sigmoid(h @ p["w2"])  # [rescaled.f]
    out = 1.5 * h + p["scale"] * f  # [rescaled.out]
    return jnp.mean((out - y) ** 2)  # [rescaled.loss]


def rescaled_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = np.tanh(x @ p["w1"])
    f = logistic(h @ p["w2"])
    dout = 2 * (1.5 * h + p["scale"] * f - y) / y.size
    df = dout * p["scale"]
    dz2 = df * f * (1 - f)
    dh = dz2 @ p["w2"].T
    dh += 1.5 * dout
    dz1 = dh * (1 - h**2)
    return {"w1": x.T @ dz1, "w2": h.T @ dz2, "scale": (dout * f).sum(0)}


RESCALED = Network(
    rescaled,
    rescaled_gradients,
    (draw(313, w1=(3, 4), w2=(4, 4), scale=(4,)), *batch(314, (5, 3), (5, 4))),
)


# Knowledge distillation: softened probabilities of a teacher beside the labels


def distilled(p, x, teacher, labels):
    logits = jnp.tanh(x @ p["w1"]) @ p["w2"]  # [distilled.logits]
    soft = jax.nn.log_softmax(logits / 3)  # [distilled.soft]
    kl = jnp.sum(teacher * (jnp.log(teacher) - soft))  # [distilled.kl]
    hard = -jnp.sum(labels * jax.nn.log_softmax(logits))  # [distilled.hard]
    return (0.7 * (9 * kl) + 0.3 * hard) / len(x)  # [distilled.loss]


def distilled_gradients(p, x, teacher, labels):
    p, x, teacher, labels = as_numpy((p, x, teacher, labels))
    h = np.tanh(x @ p["w1"])
    logits = h @ p["w2"]
    temperature = 3
    dkl = (softmax(logits / temperature) - teacher) / temperature
    dhard = softmax(logits) - labels
    dlogits = (0.7 * temperature**2 * dkl + 0.3 * dhard) / len(x)
    dz = dlogits @ p["w2"].T * (1 - h**2)
    return {"w1": x.T @ dz, "w2": h.T @ dlogits}


TEACHER = np.float32([[9, 4, 3], [1, 13, 2], [5, 6, 5], [2, 3, 11], [7, 8, 1]]) / 16

DISTILLED = Network(
    distilled,
    distilled_gradients,
    (
        draw(315, w1=(3, 4), w2=(4, 3)),
        *batch(316, (5, 3)),
        TEACHER,
        one_hot(318, 5, 3),
    ),
)
