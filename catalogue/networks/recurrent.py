"""Recurrent networks through time: an LSTM and a GRU."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw, logistic

# A long short-term memory, its four gates in one matrix


def lstm(p, x, y):
    def step(state, x_t):
        h, c = state
        z = jnp.concatenate([x_t, h], axis=1) @ p["w"] + p["b"]  # [lstm.z]
        zi, zf, zo, zg = jnp.split(z, 4, axis=1)  # [lstm.gates]
        c = jax.nn.sigmoid(zf) * c + jax.nn.sigmoid(zi) * jnp.tanh(zg)  # [lstm.c]
        h = jax.nn.sigmoid(zo) * jnp.tanh(c)  # [lstm.h]
        return (h, c), h

    zero = jnp.zeros((x.shape[1], len(p["v"])), x.dtype)
    _, hs = jax.lax.scan(step, (zero, zero), x)  # [lstm.scan]
    out = hs @ p["v"]  # [lstm.out]
    return jnp.mean((out - y) ** 2)  # [lstm.loss]


def lstm_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    units = len(p["v"])
    h = np.zeros((x.shape[1], units), x.dtype)
    c = np.zeros_like(h)
    saved, hs = [], []
    for x_t in x:
        xh = np.concatenate([x_t, h], axis=1)
        zi, zf, zo, zg = np.split(xh @ p["w"] + p["b"], 4, axis=1)
        i, f, o, g = logistic(zi), logistic(zf), logistic(zo), np.tanh(zg)
        c_prev, c = c, f * c + i * g
        h = o * np.tanh(c)
        saved.append((xh, i, f, o, g, c_prev, c))
        hs.append(h)
    dout = 2 * (np.stack(hs) @ p["v"] - y) / y.size
    dw, db, dv = np.zeros_like(p["w"]), np.zeros_like(p["b"]), np.zeros_like(p["v"])
    dh_next = np.zeros_like(h)
    dc_next = np.zeros_like(c)
    for t in reversed(range(len(x))):
        xh, i, f, o, g, c_prev, c = saved[t]
        dv += hs[t].T @ dout[t]
        dh = dout[t] @ p["v"].T + dh_next
        tc = np.tanh(c)
        dc = dh * o * (1 - tc**2) + dc_next
        do = dh * tc * o * (1 - o)
        df = dc * c_prev * f * (1 - f)
        di = dc * g * i * (1 - i)
        dg = dc * i * (1 - g**2)
        dz = np.concatenate([di, df, do, dg], axis=1)
        dw += xh.T @ dz
        db += dz.sum(0)
        dh_next = (dz @ p["w"].T)[:, -units:]
        dc_next = dc * f
    return {"w": dw, "b": db, "v": dv}


LSTM = Network(
    lstm,
    lstm_gradients,
    (draw(231, w=(5, 12), b=(12,), v=(3, 2)), *batch(232, (3, 4, 2), (3, 4, 2))),
)


# A gated recurrent unit, its loss on the last state


def gru(p, x, y):
    def step(h, x_t):
        r = jax.nn.sigmoid(x_t @ p["wr"] + h @ p["ur"])  # [gru.r]
        z = jax.nn.sigmoid(x_t @ p["wz"] + h @ p["uz"])  # [gru.z]
        n = jnp.tanh(x_t @ p["wn"] + (r * h) @ p["un"] + p["bn"])  # [gru.n]
        h = (1 - z) * n + z * h  # [gru.h]
        return h, None

    h0 = jnp.zeros((x.shape[1], len(p["un"])), x.dtype)
    h, _ = jax.lax.scan(step, h0, x)  # [gru.scan]
    return 0.5 * jnp.mean((h - y) ** 2)  # [gru.loss]


def gru_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = np.zeros((x.shape[1], len(p["un"])), x.dtype)
    tape = []
    for x_t in x:
        r = logistic(x_t @ p["wr"] + h @ p["ur"])
        z = logistic(x_t @ p["wz"] + h @ p["uz"])
        n = np.tanh(x_t @ p["wn"] + (r * h) @ p["un"] + p["bn"])
        tape.append((x_t, h, r, z, n))
        h = (1 - z) * n + z * h
    g = {name: np.zeros_like(leaf) for name, leaf in p.items()}
    dh = (h - y) / y.size
    for x_t, h, r, z, n in reversed(tape):
        dn = dh * (1 - z) * (1 - n**2)
        dz = dh * (h - n) * z * (1 - z)
        drh = dn @ p["un"].T
        dr = drh * h * r * (1 - r)
        g["wn"] += x_t.T @ dn
        g["un"] += (r * h).T @ dn
        g["bn"] += dn.sum(0)
        g["wz"] += x_t.T @ dz
        g["uz"] += h.T @ dz
        g["wr"] += x_t.T @ dr
        g["ur"] += h.T @ dr
        dprev = dh * z
        dprev += drh * r
        dprev += dz @ p["uz"].T
        dprev += dr @ p["ur"].T
        dh = dprev
    return g


GRU = Network(
    gru,
    gru_gradients,
    (
        draw(233, wr=(2, 3), ur=(3, 3), wz=(2, 3), uz=(3, 3), wn=(2, 3), un=(3, 3), bn=(3,)),
        *batch(234, (3, 4, 2), (4, 3)),
    ),
)
