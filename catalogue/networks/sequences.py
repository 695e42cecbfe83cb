"""Networks of sequences: a recurrent one, attention, a mean over padded steps."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw

# A recurrent network: scan over time


def rnn(p, x, h0, y):
    def step(h, x_t):
        z = x_t @ p["wx"] + h @ p["wh"] + p["b"]  # [rnn.z]
        h = jnp.tanh(z)  # [rnn.h]
        return h, None

    h, _ = jax.lax.scan(step, h0, x)  # [rnn.scan]
    out = h @ p["wo"] + p["bo"]  # [rnn.out]
    return jnp.mean((out - y) ** 2)  # [rnn.loss]


def rnn_gradients(p, x, h0, y):
    p, x, h0, y = as_numpy((p, x, h0, y))
    h = [h0]
    for x_t in x:
        h.append(np.tanh(x_t @ p["wx"] + h[-1] @ p["wh"] + p["b"]))
    out = h[-1] @ p["wo"] + p["bo"]
    dout = 2 * (out - y) / y.size
    g = {name: np.zeros_like(leaf) for name, leaf in p.items()}
    g["wo"] += h[-1].T @ dout
    g["bo"] += dout.sum(0)
    dh = dout @ p["wo"].T
    for t in reversed(range(len(x))):
        dz = dh * (1 - h[t + 1] ** 2)
        g["wx"] += x[t].T @ dz
        g["wh"] += h[t].T @ dz
        g["b"] += dz.sum(0)
        dh = dz @ p["wh"].T
    return g


RNN = Network(
    rnn,
    rnn_gradients,
    (
        draw(39, wx=(4, 5), wh=(5, 5), b=(5,), wo=(5, 3), bo=(3,)),
        *batch(40, (4, 6, 4), (6, 5), (6, 3)),
    ),
)


# Attention of one query over three time steps; the keys are the values too


def attend(p, x, y):
    k = jnp.tanh(x @ p["w"])  # [attend.k]
    score = k @ p["query"]  # [attend.score]
    peak = jax.lax.stop_gradient(jnp.max(score, axis=1, keepdims=True))
    e = jnp.exp(score - peak)  # [attend.e]
    total = jnp.sum(e, axis=1, keepdims=True)  # [attend.total]
    a = e / total  # [attend.a]
    pooled = jnp.sum(a[..., None] * k, axis=1)  # [attend.pooled]
    out = pooled @ p["v"]  # [attend.out]
    return jnp.mean((out - y) ** 2)  # [attend.loss]


def attend_gradients(p, x, y):
    k = jnp.tanh(x @ p["w"])
    score = k @ p["query"]
    e = jnp.exp(score - score.max(axis=1, keepdims=True))
    total = e.sum(axis=1, keepdims=True)
    a = e / total
    pooled = jnp.einsum("bt,btf->bf", a, k)
    dout = 2 * (pooled @ p["v"] - y) / y.size
    dpooled = dout @ p["v"].T
    da = jnp.einsum("bf,btf->bt", dpooled, k)
    dtotal = -(da * e).sum(axis=1, keepdims=True) / total**2
    de = da / total + dtotal
    dscore = de * e
    dk = jnp.einsum("bt,bf->btf", a, dpooled)
    dk += dscore[..., None] * p["query"]
    dz = dk * (1 - k**2)
    return {
        "w": jnp.einsum("bti,btf->if", x, dz),
        "query": jnp.einsum("bt,btf->f", dscore, k),
        "v": pooled.T @ dout,
    }


ATTEND = Network(
    attend,
    attend_gradients,
    (draw(57, w=(4, 5), query=(5,), v=(5, 3)), *batch(58, (6, 3, 4), (6, 3))),
)


# Mean over padded sequences, one of which is empty


def pooled(p, x, mask, y):
    h = jax.nn.sigmoid(x @ p["w"] + p["b"])  # [pooled.h]
    total = jnp.sum(mask[..., None] * h, axis=1)  # [pooled.total]
    count = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1.0)  # [pooled.count]
    mean = total / count  # [pooled.mean]
    out = mean @ p["v"] + p["c"]  # [pooled.out]
    return jnp.mean((out - y) ** 2)  # [pooled.loss]


def pooled_gradients(p, x, mask, y):
    h = jax.nn.sigmoid(x @ p["w"] + p["b"])
    count = jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1.0)
    mean = jnp.sum(mask[..., None] * h, axis=1) / count
    dout = 2 * (mean @ p["v"] + p["c"] - y) / y.size
    dh = mask[..., None] * (dout @ p["v"].T / count)[:, None]
    dz = dh * h * (1 - h)
    return {
        "w": jnp.einsum("bti,btf->if", x, dz),
        "b": dz.sum((0, 1)),
        "v": mean.T @ dout,
        "c": dout.sum(0),
    }


POOLED = Network(
    pooled,
    pooled_gradients,
    (
        draw(59, w=(4, 5), b=(5,), v=(5, 3), c=(3,)),
        *batch(60, (6, 3, 4)),
        np.float32([[1, 1, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 1], [1, 1, 0]]),
        *batch(61, (6, 3)),
    ),
)
