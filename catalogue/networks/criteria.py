"""Networks with the losses of classifiers and of generative models."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.attention import softmax
from catalogue.networks.network import Network, as_numpy, batch, draw, one_hot

# Cross entropy with smoothed labels and a temperature, over the tokens that are not padding


def tokens(p, x, labels, mask):
    logits = jnp.sin(x @ p["w1"]) @ p["w2"]  # [tokens.logits]
    log_p = jax.nn.log_softmax(logits / 1.5)  # [tokens.log_p]
    soft = 0.9 * labels + 0.1 / 3
    each = -jnp.sum(soft * log_p, axis=-1)  # [tokens.each]
    return jnp.sum(mask * each) / jnp.sum(mask)  # [tokens.loss]


def tokens_gradients(p, x, labels, mask):
    p, x, labels, mask = as_numpy((p, x, labels, mask))
    z = x @ p["w1"]
    h = np.sin(z)
    prob = softmax(h @ p["w2"] / 1.5)
    soft = 0.9 * labels + 0.1 / labels.shape[-1]
    dlogits = (prob - soft) / 1.5
    dlogits = dlogits * mask[..., None] / mask.sum()
    dz = dlogits @ p["w2"].T * np.cos(z)
    return {
        "w1": np.einsum("nti,nto->io", x, dz),
        "w2": np.einsum("nti,nto->io", h, dlogits),
    }


TOKENS = Network(
    tokens,
    tokens_gradients,
    (
        draw(251, w1=(3, 4), w2=(4, 3)),
        *batch(252, (2, 4, 3)),
        one_hot(253, 8, 3).reshape(2, 4, 3),
        np.float32([[1, 1, 1, 0], [1, 1, 0, 0]]),
    ),
)


# A variational autoencoder with reparametrized samples


def variational(p, x, noise):
    mu = x @ p["mu"]  # [variational.mu]
    logvar = x @ p["logvar"]  # [variational.logvar]
    z = mu + jnp.exp(logvar / 2) * noise  # [variational.z]
    back = z @ p["decoder"]  # [variational.back]
    data = jnp.sum((back - x) ** 2) / 2  # [variational.data]
    kl = -0.5 * jnp.sum(1 + logvar - mu**2 - jnp.exp(logvar))  # [variational.kl]
    return (data + kl) / len(x)  # [variational.loss]


def variational_gradients(p, x, noise):
    p, x, noise = as_numpy((p, x, noise))
    n = len(x)
    mu, logvar = x @ p["mu"], x @ p["logvar"]
    std = np.exp(logvar / 2)
    z = mu + std * noise
    dback = (z @ p["decoder"] - x) / n
    dz = dback @ p["decoder"].T
    dmu = dz + mu / n
    dlogvar = dz * noise * std / 2
    dlogvar += (np.exp(logvar) - 1) / 2 / n
    return {"mu": x.T @ dmu, "logvar": x.T @ dlogvar, "decoder": z.T @ dback}


VARIATIONAL = Network(
    variational,
    variational_gradients,
    (draw(259, mu=(4, 2), logvar=(4, 2), decoder=(2, 4)), *batch(260, (5, 4), (5, 2))),
)


# Huber loss of a ratio; regression that resists outliers


def robust(p, x, y):
    h = jax.nn.softplus(x @ p["w1"])  # [robust.h]
    r = h @ p["w2"] - y  # [robust.r]
    small = jnp.abs(r) <= 0.5
    each = jnp.where(small, 0.5 * r**2, 0.5 * (jnp.abs(r) - 0.25))  # [robust.each]
    return jnp.mean(each)  # [robust.loss]


def robust_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    z = x @ p["w1"]
    h = np.logaddexp(0, z)
    r = h @ p["w2"] - y
    dr = np.clip(r, -0.5, 0.5) / r.size
    dh = dr @ p["w2"].T
    dz = dh / (1 + np.exp(-z))
    return {"w1": x.T @ dz, "w2": h.T @ dr}


ROBUST = Network(
    robust,
    robust_gradients,
    (draw(261, w1=(3, 4), w2=(4, 2)), *batch(262, (5, 3), (5, 2))),
)


# Focal loss: samples that are right already count less


def focal(p, x, labels):
    logits = jnp.tanh(x @ p["w1"]) @ p["w2"]  # [focal.logits]
    right = jnp.sum(labels * jax.nn.softmax(logits), axis=1)  # [focal.right]
    weight = (1 - right) ** 2  # [focal.weight]
    return -jnp.mean(weight * jnp.log(right))  # [focal.loss]


def focal_gradients(p, x, labels):
    p, x, labels = as_numpy((p, x, labels))
    h = np.tanh(x @ p["w1"])
    prob = softmax(h @ p["w2"])
    right = (labels * prob).sum(1, keepdims=True)
    dright = (2 * (1 - right) * np.log(right) - (1 - right) ** 2 / right) / len(x)
    dlogits = dright * right * (labels - prob)
    dz = dlogits @ p["w2"].T * (1 - h**2)
    return {"w1": x.T @ dz, "w2": h.T @ dlogits}


FOCAL = Network(
    focal,
    focal_gradients,
    (draw(263, w1=(3, 4), w2=(4, 3)), *batch(264, (5, 3)), one_hot(265, 5, 3)),
)
