"""Networks that call functions: by vmap, by jit, by checkpoint, by cond."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw, logistic

# vmap over samples, with a helper of one's own


def swish(z):
    s = jax.nn.sigmoid(z)  # [swish.s]
    return z * s  # [swish.product]


def per_sample(p, x, y):
    def loss(x, y):
        z = p["w1"] @ x + p["b1"]  # [per_sample.z]
        h = swish(z)  # [per_sample.h]
        out = p["w2"] @ h + p["b2"]  # [per_sample.out]
        return jnp.sum((out - y) ** 2)  # [per_sample.square]

    return jnp.sum(jax.vmap(loss)(x, y))  # [per_sample.loss]


def per_sample_gradients(p, x, y):
    def gradient(x, y):
        z = p["w1"] @ x + p["b1"]
        s = jax.nn.sigmoid(z)
        h = z * s
        d2 = 2 * (p["w2"] @ h + p["b2"] - y)
        dh = p["w2"].T @ d2
        d1 = dh * (s + h * (1 - s))
        return {"w1": jnp.outer(d1, x), "b1": d1, "w2": jnp.outer(d2, h), "b2": d2}

    each = jax.vmap(gradient)(x, y)
    return jax.tree.map(lambda g: g.sum(0), each)


PER_SAMPLE = Network(
    per_sample,
    per_sample_gradients,
    (draw(46, w1=(5, 4), b1=(5,), w2=(5, 5), b2=(5,)), *batch(47, (6, 4), (6, 5))),
)


# One jitted helper, called twice


@jax.jit
def dense_tanh(w, b, h):
    z = h @ w + b  # [dense_tanh.z]
    return jnp.tanh(z)  # [dense_tanh.h]


def twice(p, x, y):
    w1, b1, w2, b2 = p
    h1 = dense_tanh(w1, b1, x)  # [twice.h1]
    h2 = dense_tanh(w2, b2, h1)  # [twice.h2]
    return jnp.mean((h2 - y) ** 2)  # [twice.loss]


def twice_gradients(p, x, y):
    w1, b1, w2, b2 = p
    h1 = jnp.tanh(x @ w1 + b1)
    h2 = jnp.tanh(h1 @ w2 + b2)
    dh2 = 2 * (h2 - y) / y.size
    dz2 = dh2 * (1 - h2**2)
    dh1 = dz2 @ w2.T
    dz1 = dh1 * (1 - h1**2)
    return x.T @ dz1, dz1.sum(0), h1.T @ dz2, dz2.sum(0)


TWICE = Network(
    twice,
    twice_gradients,
    (
        tuple(draw(48, w1=(4, 4), b1=(4,), w2=(4, 4), b2=(4,)).values()),
        *batch(49, (6, 4), (6, 4)),
    ),
)


# Residual blocks that are recomputed: jax.checkpoint


@jax.checkpoint
def block(w, b, h):
    z = h @ w + b  # [block.z]
    s = jax.nn.sigmoid(z)  # [block.s]
    return h + s  # [block.sum]


def recomputed(p, x, y):
    h1 = block(p["w1"], p["b1"], x)  # [recomputed.h1]
    h2 = block(p["w2"], p["b2"], h1)  # [recomputed.h2]
    out = h2 @ p["v"]  # [recomputed.out]
    return jnp.mean((out - y) ** 2)  # [recomputed.loss]


def recomputed_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    s1 = logistic(x @ p["w1"] + p["b1"])
    h1 = x + s1
    s2 = logistic(h1 @ p["w2"] + p["b2"])
    h2 = h1 + s2
    dout = 2 * (h2 @ p["v"] - y) / y.size
    dh2 = dout @ p["v"].T
    dz2 = dh2 * s2 * (1 - s2)
    dh1 = dz2 @ p["w2"].T
    dh1 += dh2
    dz1 = dh1 * s1 * (1 - s1)
    return {
        "w1": x.T @ dz1,
        "b1": dz1.sum(0),
        "w2": h1.T @ dz2,
        "b2": dz2.sum(0),
        "v": h2.T @ dout,
    }


RECOMPUTED = Network(
    recomputed,
    recomputed_gradients,
    (draw(50, w1=(4, 4), b1=(4,), w2=(4, 4), b2=(4,), v=(4, 3)), *batch(51, (6, 4), (6, 3))),
)


# lax.cond: the data decide the activation; with this batch it is tanh


def switched(p, x, y):
    def warm(z):
        return jnp.tanh(z)  # [switched.warm]

    def cold(z):
        return jax.nn.sigmoid(z)  # [switched.cold]

    z = x @ p["w"] + p["b"]  # [switched.z]
    h = jax.lax.cond(jnp.sum(x) > 0, warm, cold, z)  # [switched.h]
    out = h @ p["v"]  # [switched.out]
    return jnp.mean((out - y) ** 2)  # [switched.loss]


def switched_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    warm = x.sum() > 0
    z = x @ p["w"] + p["b"]
    h = np.tanh(z) if warm else logistic(z)
    dout = 2 * (h @ p["v"] - y) / y.size
    dh = dout @ p["v"].T
    dz = dh * (1 - h**2 if warm else h * (1 - h))
    return {"w": x.T @ dz, "b": dz.sum(0), "v": h.T @ dout}


SWITCHED = Network(
    switched,
    switched_gradients,
    (draw(52, w=(4, 5), b=(5,), v=(5, 3)), batch(53, (6, 4))[0] + 0.5, *batch(54, (6, 3))),
)
