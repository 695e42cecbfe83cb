"""Contractions of several axes: a bilinear layer, and attention whose heads share their keys."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.attention import softmax
from catalogue.networks.network import Network, as_numpy, batch, draw

# A bilinear layer of two inputs


def bilinear(p, x, z, y):
    a = jnp.tanh(x @ p["a"])  # [bilinear.a]
    c = jnp.tanh(z @ p["c"])  # [bilinear.c]
    out = jnp.einsum("ni,ijk,nj->nk", a, p["t"], c)  # [bilinear.out]
    return 0.5 * jnp.mean((out - y) ** 2)  # [bilinear.loss]


def bilinear_gradients(p, x, z, y):
    p, x, z, y = as_numpy((p, x, z, y))
    a, c, t = np.tanh(x @ p["a"]), np.tanh(z @ p["c"]), p["t"]
    dout = (np.einsum("ni,ijk,nj->nk", a, t, c) - y) / y.size
    dt = np.einsum("ni,nj,nk->ijk", a, c, dout)
    da = np.einsum("nk,ijk,nj->ni", dout, t, c)
    dc = np.einsum("nk,ijk,ni->nj", dout, t, a)
    return {"a": x.T @ (da * (1 - a**2)), "c": z.T @ (dc * (1 - c**2)), "t": dt}


BILINEAR = Network(
    bilinear,
    bilinear_gradients,
    (draw(321, a=(2, 3), c=(2, 3), t=(3, 3, 2)), *batch(322, (5, 2), (5, 2), (5, 2))),
)


# Grouped-query attention: four heads, of which each two share their keys and values


def shared_keys(p, x, y):
    q = jnp.einsum("ti,hik->htk", x, p["wq"])  # [shared_keys.q]
    k = jnp.einsum("ti,gik->gtk", x, p["wk"])  # [shared_keys.k]
    keys = jnp.repeat(k, 2, axis=0)  # [shared_keys.keys]
    score = jnp.einsum("htk,hsk->hts", q, keys)  # [shared_keys.score]
    prob = jax.nn.softmax(score)  # [shared_keys.prob]
    out = jnp.einsum("hts,hsk->htk", prob, keys)  # [shared_keys.out]
    return jnp.mean((out - y) ** 2)  # [shared_keys.loss]


def shared_keys_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    q = np.einsum("ti,hik->htk", x, p["wq"])
    k = np.einsum("ti,gik->gtk", x, p["wk"])
    keys = np.repeat(k, 2, axis=0)
    prob = softmax(np.einsum("htk,hsk->hts", q, keys))
    dout = 2 * (np.einsum("hts,hsk->htk", prob, keys) - y) / y.size
    dprob = np.einsum("htk,hsk->hts", dout, keys)
    dscore = prob * (dprob - (prob * dprob).sum(-1, keepdims=True))
    dq = np.einsum("hts,hsk->htk", dscore, keys)
    dkeys = np.einsum("hts,htk->hsk", dscore, q)
    dkeys += np.einsum("hts,htk->hsk", prob, dout)
    dk = dkeys.reshape(2, 2, *k.shape[1:]).sum(1)
    return {"wq": np.einsum("ti,htk->hik", x, dq), "wk": np.einsum("ti,gtk->gik", x, dk)}


SHARED_KEYS = Network(
    shared_keys,
    shared_keys_gradients,
    (draw(323, wq=(4, 3, 2), wk=(2, 3, 2)), *batch(324, (5, 3), (4, 5, 2))),
)
