"""Attention of several heads, rotary positions, gated units."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw, logistic

# Causal self-attention of two heads, with learned positions


def split(a):
    """Returns (samples, heads, time, width of a head)."""
    n, time, width = a.shape
    return a.reshape(n, time, 2, width // 2).swapaxes(1, 2)


def merge(a):
    n, heads, time, width = a.shape
    return a.swapaxes(1, 2).reshape(n, time, heads * width)


def attention(p, x, mask, y):
    h = x + p["position"]  # [attention.h]
    q = split(h @ p["wq"])  # [attention.q]
    k = split(h @ p["wk"])  # [attention.k]
    v = split(h @ p["wv"])  # [attention.v]
    score = q @ k.swapaxes(2, 3) / jnp.sqrt(2.0)  # [attention.score]
    prob = jax.nn.softmax(jnp.where(mask > 0, score, -1e9), axis=-1)  # [attention.prob]
    out = merge(prob @ v) @ p["wo"]  # [attention.out]
    return jnp.mean((out - y) ** 2)  # [attention.loss]


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention_gradients(p, x, mask, y):
    p, x, mask, y = as_numpy((p, x, mask, y))
    h = x + p["position"]
    q, k, v = (split(h @ p[name]) for name in ("wq", "wk", "wv"))
    scale = q.shape[-1] ** -0.5
    score = q @ k.swapaxes(2, 3) * scale
    prob = softmax(np.where(mask > 0, score, -1e9))
    heads = merge(prob @ v)
    dout = 2 * (heads @ p["wo"] - y) / y.size
    dheads = split(dout @ p["wo"].T)
    dv = merge(prob.swapaxes(2, 3) @ dheads)
    dprob = dheads @ v.swapaxes(2, 3)
    dscore = prob * (dprob - (prob * dprob).sum(-1, keepdims=True))
    dscore = dscore * scale
    dq = merge(dscore @ k)
    dk = merge(dscore.swapaxes(2, 3) @ q)
    dh = dq @ p["wq"].T
    dh += dk @ p["wk"].T
    dh += dv @ p["wv"].T
    return {
        "position": dh.sum(0),
        "wq": np.einsum("nti,nto->io", h, dq),
        "wk": np.einsum("nti,nto->io", h, dk),
        "wv": np.einsum("nti,nto->io", h, dv),
        "wo": np.einsum("nti,nto->io", heads, dout),
    }


ATTENTION = Network(
    attention,
    attention_gradients,
    (
        draw(221, position=(3, 4), wq=(4, 4), wk=(4, 4), wv=(4, 4), wo=(4, 2)),
        *batch(222, (2, 3, 4)),
        np.tril(np.ones((3, 3), np.float32)),
        *batch(223, (2, 3, 2)),
    ),
)


# Rotary positions: half of the features against the other half, with frequencies of their own


def rotary(p, x, cos, sin, y):
    q = x @ p["wq"]  # [rotary.q]
    first, second = jnp.split(q, 2, axis=-1)  # [rotary.halves]
    turned = q * cos + jnp.concatenate([-second, first], axis=-1) * sin  # [rotary.turned]
    score = turned @ p["key"]  # [rotary.score]
    return jnp.mean((jnp.tanh(score) - y) ** 2)  # [rotary.loss]


def rotate(a):
    first, second = np.split(a, 2, axis=-1)
    return np.concatenate([-second, first], axis=-1)


def rotary_gradients(p, x, cos, sin, y):
    p, x, cos, sin, y = as_numpy((p, x, cos, sin, y))
    q = x @ p["wq"]
    turned = q * cos + rotate(q) * sin
    a = np.tanh(turned @ p["key"])
    dscore = 2 * (a - y) / y.size * (1 - a**2)
    g = dscore @ p["key"].T
    dq = g * cos - rotate(g * sin)
    return {"wq": x.T @ dq, "key": turned.T @ dscore}


def angles(steps, width):
    """Returns cosines and sines; the halves differ, as where frequencies are interleaved."""
    speed = 1.0 / 3.0 ** np.arange(width)
    angle = np.arange(1, steps + 1)[:, None] * speed
    return np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)


ROTARY = Network(
    rotary,
    rotary_gradients,
    (draw(224, wq=(3, 4), key=(4, 2)), *batch(225, (5, 3)), *angles(5, 4), *batch(226, (5, 2))),
)


# A gated unit with silu, and a gate that mixes it with its input


def gated(p, x, y):
    gate = x @ p["gate"]  # [gated.gate]
    up = x @ p["up"]  # [gated.up]
    act = jax.nn.silu(gate)  # [gated.act]
    h = act * up  # [gated.h]
    down = h @ p["down"]  # [gated.down]
    t = jax.nn.sigmoid(x @ p["mix"])  # [gated.t]
    out = t * down + (1 - t) * x  # [gated.out]
    return jnp.mean((out - y) ** 2)  # [gated.loss]


def gated_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    gate, up = x @ p["gate"], x @ p["up"]
    s = logistic(gate)
    act = gate * s
    h = act * up
    down = h @ p["down"]
    t = logistic(x @ p["mix"])
    dout = 2 * (t * down + (1 - t) * x - y) / y.size
    dt = dout * (down - x)
    dmix = dt * t * (1 - t)
    ddown = dout * t
    dh = ddown @ p["down"].T
    dup = dh * act
    dact = dh * up
    dgate = dact * (s + gate * s * (1 - s))
    return {
        "gate": x.T @ dgate,
        "up": x.T @ dup,
        "down": h.T @ ddown,
        "mix": x.T @ dmix,
    }


GATED = Network(
    gated,
    gated_gradients,
    (draw(227, gate=(3, 4), up=(3, 4), down=(4, 3), mix=(3, 3)), *batch(228, (5, 3), (5, 3))),
)
