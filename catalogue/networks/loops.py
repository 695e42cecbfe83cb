"""Networks whose layers are applied in a loop: in Python, by scan, by fori_loop."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw

# Six layers in a Python loop


def deep(p, x, y):
    h = x
    for w, b in p[:-1]:
        z = h @ w + b  # [deep.z]
        h = jnp.tanh(z)  # [deep.h]
    w, b = p[-1]
    out = h @ w + b  # [deep.out]
    return jnp.mean((out - y) ** 2)  # [deep.loss]


def deep_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = [x]
    for w, b in p[:-1]:
        h.append(np.tanh(h[-1] @ w + b))
    w, b = p[-1]
    d = 2 * (h[-1] @ w + b - y) / y.size
    grads = [(h[-1].T @ d, d.sum(0))]
    for i in reversed(range(len(p) - 1)):
        d = d @ p[i + 1][0].T * (1 - h[i + 1] ** 2)
        grads.append((h[i].T @ d, d.sum(0)))
    return tuple(grads[::-1])


WIDTHS = (4, 5, 7, 6, 8, 9, 3)
DEEP = Network(
    deep,
    deep_gradients,
    (
        tuple(
            tuple(draw(32 + i, w=(m, n), b=(n,)).values())
            for i, (m, n) in enumerate(pairwise(WIDTHS))
        ),
        *batch(38, (6, 4), (6, 3)),
    ),
)


# Scan over four stacked layers, between a first and a last one; softplus


def stacked(p, x, y):
    def layer(h, q):
        z = h @ q["w"] + q["b"]  # [stacked.z]
        h = jax.nn.softplus(z)  # [stacked.h]
        return h, None

    h = x @ p["first"]  # [stacked.first]
    h, _ = jax.lax.scan(layer, h, p["stack"])  # [stacked.scan]
    out = h @ p["last"]  # [stacked.out]
    return jnp.mean((out - y) ** 2)  # [stacked.loss]


def stacked_gradients(p, x, y):
    w, b = p["stack"]["w"], p["stack"]["b"]
    h, z = [x @ p["first"]], []
    for i in range(len(w)):
        z.append(h[i] @ w[i] + b[i])
        h.append(jax.nn.softplus(z[i]))
    dout = 2 * (h[-1] @ p["last"] - y) / y.size
    dh = dout @ p["last"].T
    dw, db = [], []
    for i in reversed(range(len(w))):
        dz = dh * jax.nn.sigmoid(z[i])
        dw.append(h[i].T @ dz)
        db.append(dz.sum(0))
        dh = dz @ w[i].T
    stack = {"w": jnp.stack(dw[::-1]), "b": jnp.stack(db[::-1])}
    return {"first": x.T @ dh, "stack": stack, "last": h[-1].T @ dout}


STACKED = Network(
    stacked,
    stacked_gradients,
    (
        {
            **draw(41, first=(4, 5), last=(5, 3)),
            "stack": draw(42, w=(4, 5, 5), b=(4, 5)),
        },
        *batch(43, (6, 4), (6, 3)),
    ),
)


# The same layer three times over: fori_loop; its input drives every round, and is the first state


def settling(p, x, y):
    def settle(_, h):
        z = drive + h @ p["w"]  # [settling.z]
        return jnp.tanh(z)  # [settling.h]

    drive = x @ p["u"]  # [settling.drive]
    h = jax.lax.fori_loop(0, 3, settle, drive)  # [settling.loop]
    out = h @ p["v"]  # [settling.out]
    return jnp.mean((out - y) ** 2)  # [settling.loss]


def settling_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    drive = x @ p["u"]
    h = [drive]
    for _ in range(3):
        h.append(np.tanh(drive + h[-1] @ p["w"]))
    dout = 2 * (h[3] @ p["v"] - y) / y.size
    dh = dout @ p["v"].T
    dw, ddrive = np.zeros_like(p["w"]), np.zeros_like(drive)
    for i in (2, 1, 0):
        dz = dh * (1 - h[i + 1] ** 2)
        dw += h[i].T @ dz
        ddrive += dz
        dh = dz @ p["w"].T
    ddrive += dh
    return {"u": x.T @ ddrive, "w": dw, "v": h[3].T @ dout}


SETTLING = Network(
    settling,
    settling_gradients,
    (draw(44, u=(4, 5), w=(5, 5), v=(5, 3)), *batch(45, (6, 4), (6, 3))),
)
