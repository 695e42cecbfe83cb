"""Networks with normalization: over the batch, over features by their square, over groups."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw

# Batch norm in training, with the statistics of the batch


def batch_norm(p, x, y):
    h = x @ p["w"]  # [batch_norm.h]
    mean = jnp.mean(h, axis=0)  # [batch_norm.mean]
    c = h - mean  # [batch_norm.c]
    var = jnp.mean(c**2, axis=0)  # [batch_norm.var]
    inv = 1 / jnp.sqrt(var + 1e-5)  # [batch_norm.inv]
    xhat = c * inv  # [batch_norm.xhat]
    out = jnp.tanh(p["gamma"] * xhat + p["beta"])  # [batch_norm.out]
    return jnp.sum((out @ p["v"] - y) ** 2) / 2  # [batch_norm.loss]


def batch_norm_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    m = len(x)
    h = x @ p["w"]
    c = h - h.mean(0)
    inv = 1 / np.sqrt((c**2).mean(0) + 1e-5)
    xhat = c * inv
    out = np.tanh(p["gamma"] * xhat + p["beta"])
    derr = out @ p["v"] - y
    dout = derr @ p["v"].T
    dz = dout * (1 - out**2)
    dxhat = dz * p["gamma"]
    dvar = (dxhat * c).sum(0) * -0.5 * inv**3
    dmean = -(dxhat * inv).sum(0) + dvar * (-2 * c).mean(0)
    dh = dxhat * inv
    dh += dvar * 2 * c / m
    dh += dmean / m
    return {
        "w": x.T @ dh,
        "gamma": (dz * xhat).sum(0),
        "beta": dz.sum(0),
        "v": out.T @ derr,
    }


BATCH_NORM = Network(
    batch_norm,
    batch_norm_gradients,
    (
        draw(201, w=(4, 5), gamma=(5,), beta=(5,), v=(5, 2)),
        *batch(202, (6, 4), (6, 2)),
    ),
)


# Root mean square norm, the gradient in the form that kernels use


def rms_norm(p, x, y):
    h = x @ p["w"]  # [rms_norm.h]
    r = jax.lax.rsqrt(jnp.mean(h**2, axis=-1, keepdims=True) + 1e-6)  # [rms_norm.r]
    n = h * r  # [rms_norm.n]
    out = n * p["gain"]  # [rms_norm.out]
    return jnp.mean((out @ p["v"] - y) ** 2)  # [rms_norm.loss]


def rms_norm_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = x @ p["w"]
    width = h.shape[-1]
    r = 1 / np.sqrt((h**2).mean(-1, keepdims=True) + 1e-6)
    n = h * r
    derr = 2 * ((n * p["gain"]) @ p["v"] - y) / y.size
    g = derr @ p["v"].T
    s = (g * p["gain"] * h).sum(-1, keepdims=True)
    dh = p["gain"] * g * r - r**3 * h * s / width
    return {
        "w": x.T @ dh,
        "gain": (g * n).sum(0),
        "v": (n * p["gain"]).T @ derr,
    }


RMS_NORM = Network(
    rms_norm,
    rms_norm_gradients,
    (draw(203, w=(4, 5), gain=(5,), v=(5, 2)), *batch(204, (6, 4), (6, 2))),
)


# Layer norm before a block, and a skip around both


def pre_norm(p, x, y):
    h = x @ p["w"] + p["b"]  # [pre_norm.h]
    c = h - jnp.mean(h, axis=-1, keepdims=True)  # [pre_norm.c]
    rstd = jax.lax.rsqrt(jnp.mean(c**2, axis=-1, keepdims=True) + 1e-5)  # [pre_norm.rstd]
    xhat = c * rstd  # [pre_norm.xhat]
    n = xhat * p["gain"] + p["shift"]  # [pre_norm.n]
    out = h + jax.nn.gelu(n @ p["v"], approximate=False)  # [pre_norm.out]
    return jnp.sum((out - y) ** 2) / len(y)  # [pre_norm.loss]


def pre_norm_gradients(p, x, y):
    h = x @ p["w"] + p["b"]
    c = h - h.mean(-1, keepdims=True)
    rstd = 1 / jnp.sqrt((c**2).mean(-1, keepdims=True) + 1e-5)
    xhat = c * rstd
    n = xhat * p["gain"] + p["shift"]
    z = n @ p["v"]
    cdf = 0.5 * (1 + jax.scipy.special.erf(z / 2**0.5))
    dres = 2 * (h + z * cdf - y) / len(y)
    dz = dres * (cdf + z * jnp.exp(-(z**2) / 2) / (2 * jnp.pi) ** 0.5)
    dn = dz @ p["v"].T
    g = dn * p["gain"]
    dh = rstd * (g - g.mean(-1, keepdims=True) - xhat * (g * xhat).mean(-1, keepdims=True))
    dh = dres + dh
    return {
        "w": x.T @ dh,
        "b": dh.sum(0),
        "gain": (dn * xhat).sum(0),
        "shift": dn.sum(0),
        "v": n.T @ dz,
    }


PRE_NORM = Network(
    pre_norm,
    pre_norm_gradients,
    (draw(205, w=(4, 5), b=(5,), gain=(5,), shift=(5,), v=(5, 5)), *batch(206, (6, 4), (6, 5))),
)


# Group norm of a feature map, channels last, two groups of two channels


def group_norm(p, x, y):
    n, length, _ = x.shape
    h = (x @ p["w"]).reshape(n, length, 2, 2)  # [group_norm.h]
    mean = jnp.mean(h, axis=(1, 3), keepdims=True)  # [group_norm.mean]
    var = jnp.mean((h - mean) ** 2, axis=(1, 3), keepdims=True)  # [group_norm.var]
    xhat = ((h - mean) / jnp.sqrt(var + 1e-5)).reshape(n, length, 4)  # [group_norm.xhat]
    out = xhat * p["gain"] + p["shift"]  # [group_norm.out]
    return jnp.mean((jnp.sin(out) - y) ** 2)  # [group_norm.loss]


def group_norm_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    n, length, _ = x.shape
    h = (x @ p["w"]).reshape(n, length, 2, 2)
    mean = h.mean((1, 3), keepdims=True)
    std = np.sqrt(h.var((1, 3), keepdims=True) + 1e-5)
    xhat = (h - mean) / std
    out = xhat.reshape(n, length, 4) * p["gain"] + p["shift"]
    dout = 2 * (np.sin(out) - y) / y.size * np.cos(out)
    g = (dout * p["gain"]).reshape(n, length, 2, 2)
    gm = g.mean((1, 3), keepdims=True)
    gxm = (g * xhat).mean((1, 3), keepdims=True)
    dh = ((g - gm - xhat * gxm) / std).reshape(n, length, 4)
    return {
        "w": np.einsum("nli,nlo->io", x, dh),
        "gain": (dout * xhat.reshape(n, length, 4)).sum((0, 1)),
        "shift": dout.sum((0, 1)),
    }


GROUP_NORM = Network(
    group_norm,
    group_norm_gradients,
    (draw(207, w=(3, 4), gain=(4,), shift=(4,)), *batch(208, (2, 3, 3), (2, 3, 4))),
)
