"""Networks of images and signals: convolutions with padding and stride, pooling."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw


def conv2d(x, kernel, padding):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=layout)


def conv1d(x, kernel, stride, padding):
    layout = ("NWC", "WIO", "NWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride,), padding, dimension_numbers=layout)


# Two convolutions of images, the second with padding


def images(p, x, y):
    z1 = conv2d(x, p["k1"], "VALID")  # [images.z1]
    h1 = jnp.tanh(z1 + p["b1"])  # [images.h1]
    out = conv2d(h1, p["k2"], "SAME")  # [images.out]
    return 0.5 * jnp.sum((out - y) ** 2) / len(y)  # [images.loss]


def patches(x, size):
    """Returns all patches of size x size: `[n, i, j]` is the one with its corner at (i, j)."""
    n, height, width, channels = x.shape
    rows, columns = height - size + 1, width - size + 1
    return np.stack(
        [x[:, i : i + rows, j : j + columns] for i in range(size) for j in range(size)], axis=3
    ).reshape(n, rows, columns, size, size, channels)


def images_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    k1, k2 = p["k1"], p["k2"]
    cols1 = patches(x, 2)
    h1 = np.tanh(np.einsum("nijabc,abco->nijo", cols1, k1) + p["b1"])
    padded = np.pad(h1, ((0, 0), (1, 1), (1, 1), (0, 0)))
    cols2 = patches(padded, 3)
    out = np.einsum("nijabc,abco->nijo", cols2, k2)
    dout = (out - y) / len(y)
    dk2 = np.einsum("nijabc,nijo->abco", cols2, dout)
    dpadded = np.zeros_like(padded)
    rows, columns = dout.shape[1:3]
    for a in range(3):
        for b in range(3):
            dpadded[:, a : a + rows, b : b + columns] += dout @ k2[a, b].T
    dh1 = dpadded[:, 1:-1, 1:-1]
    dz1 = dh1 * (1 - h1**2)
    return {
        "k1": np.einsum("nijabc,nijo->abco", cols1, dz1),
        "b1": dz1.sum((0, 1, 2)),
        "k2": dk2,
    }


IMAGES = Network(
    images,
    images_gradients,
    (
        draw(211, k1=(2, 2, 2, 3), b1=(3,), k2=(3, 3, 3, 2)),
        *batch(212, (2, 4, 4, 2), (2, 3, 3, 2)),
    ),
)


# A convolution of signals with stride 2, then one with a kernel of 2


def signal(p, x, y):
    z = conv1d(x, p["k1"], 2, [(1, 1)])  # [signal.z]
    h = jax.nn.softplus(z)  # [signal.h]
    out = conv1d(h, p["k2"], 1, "VALID")  # [signal.out]
    pooled = jnp.mean(out, axis=1)  # [signal.pooled]
    return jnp.mean((pooled - y) ** 2)  # [signal.loss]


def signal_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    k1, k2 = p["k1"], p["k2"]
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
    steps = (padded.shape[1] - len(k1)) // 2 + 1
    z = np.stack(
        [np.einsum("nwc,wco->no", padded[:, 2 * t : 2 * t + 3], k1) for t in range(steps)], axis=1
    )
    h = np.logaddexp(0, z)
    out = np.stack([h[:, t] @ k2[0] + h[:, t + 1] @ k2[1] for t in range(steps - 1)], axis=1)
    dpooled = 2 * (out.mean(1) - y) / y.size
    dout = np.repeat(dpooled[:, None], steps - 1, axis=1) / (steps - 1)
    dk1, dk2, dh = np.zeros_like(k1), np.zeros_like(k2), np.zeros_like(h)
    for t in range(steps - 1):
        for a in range(2):
            dk2[a] += h[:, t + a].T @ dout[:, t]
            dh[:, t + a] += dout[:, t] @ k2[a].T
    dz = dh / (1 + np.exp(-z))
    for t in range(steps):
        dk1 += np.einsum("nwc,no->wco", padded[:, 2 * t : 2 * t + 3], dz[:, t])
    return {"k1": dk1, "k2": dk2}


SIGNAL = Network(
    signal,
    signal_gradients,
    (draw(213, k1=(3, 2, 3), k2=(2, 3, 2)), *batch(214, (3, 7, 2), (3, 2))),
)


# Max pooling of windows of two that do not overlap, then of windows that do


def pooling(p, x, y):
    h = x @ p["w"]  # [pooling.h]
    n, length, width = h.shape
    m = jnp.max(h.reshape(n, length // 2, 2, width), axis=2)  # [pooling.m]
    a = (m[:, :-1] + m[:, 1:]) / 2  # [pooling.a]
    out = jnp.tanh(a) @ p["v"]  # [pooling.out]
    return jnp.sum((out - y) ** 2)  # [pooling.loss]


def pooling_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = x @ p["w"]
    n, length, width = h.shape
    windows = h.reshape(n, length // 2, 2, width)
    m = windows.max(2)
    a = (m[:, :-1] + m[:, 1:]) / 2
    t = np.tanh(a)
    dout = 2 * (t @ p["v"] - y)
    da = dout @ p["v"].T * (1 - t**2)
    dm = np.zeros_like(m)
    for i in range(a.shape[1]):
        dm[:, i] += da[:, i] / 2
        dm[:, i + 1] += da[:, i] / 2
    mask = windows == m[:, :, None]
    dh = (mask * dm[:, :, None]).reshape(h.shape)
    return {"w": np.einsum("nti,nto->io", x, dh), "v": np.einsum("ntf,nto->fo", t, dout)}


POOLING = Network(
    pooling,
    pooling_gradients,
    (draw(215, w=(3, 4), v=(4, 2)), *batch(216, (2, 8, 3), (2, 3, 2))),
)
