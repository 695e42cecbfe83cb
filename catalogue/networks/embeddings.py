"""Networks with embeddings, whose rows are used several times, and losses that compare them."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.attention import softmax
from catalogue.networks.network import Network, as_numpy, batch, draw

# A bag of words, its embedding used as the output layer too, with labels in numbers


def words(p, ids, labels):
    e = p["table"][ids]  # [words.e]
    bag = jnp.mean(e, axis=1)  # [words.bag]
    h = jnp.tanh(bag @ p["w"])  # [words.h]
    logits = h @ p["table"].T  # [words.logits]
    log_p = jax.nn.log_softmax(logits)  # [words.log_p]
    picked = jnp.take_along_axis(log_p, labels[:, None], axis=1)  # [words.picked]
    return -jnp.mean(picked)  # [words.loss]


def words_gradients(p, ids, labels):
    p, ids, labels = as_numpy((p, ids, labels))
    table, w = p["table"], p["w"]
    n, length = ids.shape
    bag = table[ids].mean(1)
    h = np.tanh(bag @ w)
    dlogits = softmax(h @ table.T)
    dlogits[np.arange(n), labels] -= 1
    dlogits /= n
    dz = dlogits @ table * (1 - h**2)
    dbag = dz @ w.T
    de = np.repeat(dbag[:, None] / length, length, axis=1)
    dtable = dlogits.T @ h
    np.add.at(dtable, ids, de)
    return {"table": dtable, "w": bag.T @ dz}


WORDS = Network(
    words,
    words_gradients,
    (
        draw(241, table=(5, 3), w=(3, 3)),
        np.int32([[0, 1, 1], [2, 0, 3], [3, 3, 3], [4, 1, 0]]),
        np.int32([1, 4, 2, 0]),
    ),
)


# Pairs that belong together against all other pairs (InfoNCE), both ways


def contrast(p, x, y):
    a = x @ p["wx"]  # [contrast.a]
    b = y @ p["wy"]  # [contrast.b]
    na = a / jnp.sqrt(jnp.sum(a**2, axis=1, keepdims=True))  # [contrast.na]
    nb = b / jnp.sqrt(jnp.sum(b**2, axis=1, keepdims=True))  # [contrast.nb]
    sim = na @ nb.T / 0.5  # [contrast.sim]
    rows = jnp.trace(jax.nn.log_softmax(sim, axis=1))  # [contrast.rows]
    columns = jnp.trace(jax.nn.log_softmax(sim, axis=0))  # [contrast.columns]
    return -(rows + columns) / (2 * len(x))  # [contrast.loss]


def contrast_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    n = len(x)
    a, b = x @ p["wx"], y @ p["wy"]
    la = np.sqrt((a**2).sum(1, keepdims=True))
    lb = np.sqrt((b**2).sum(1, keepdims=True))
    na, nb = a / la, b / lb
    sim = na @ nb.T / 0.5
    eye = np.eye(n, dtype=sim.dtype)
    dsim = softmax(sim) - eye
    dsim += softmax(sim.T).T - eye
    dsim /= 2 * n
    dna = dsim @ nb / 0.5
    dnb = dsim.T @ na / 0.5
    da = (dna - na * (na * dna).sum(1, keepdims=True)) / la
    db = (dnb - nb * (nb * dnb).sum(1, keepdims=True)) / lb
    return {"wx": x.T @ da, "wy": y.T @ db}


CONTRAST = Network(
    contrast,
    contrast_gradients,
    (draw(244, wx=(4, 3), wy=(2, 3)), *batch(245, (5, 4), (5, 2))),
)


# Triplets: the negative has to be farther away than the positive by a margin


def triplets(p, anchor, positive, negative):
    a = jnp.tanh(anchor @ p["w"] + p["b"])  # [triplets.a]
    b = jnp.tanh(positive @ p["w"] + p["b"])  # [triplets.b]
    c = jnp.tanh(negative @ p["w"] + p["b"])  # [triplets.c]
    near = jnp.sqrt(jnp.sum((a - b) ** 2, axis=1))  # [triplets.near]
    far = jnp.sqrt(jnp.sum((a - c) ** 2, axis=1))  # [triplets.far]
    return jnp.mean(jax.nn.relu(near - far + 0.4))  # [triplets.loss]


def triplets_gradients(p, anchor, positive, negative):
    p, anchor, positive, negative = as_numpy((p, anchor, positive, negative))
    a, b, c = (np.tanh(x @ p["w"] + p["b"]) for x in (anchor, positive, negative))
    near = np.sqrt(((a - b) ** 2).sum(1, keepdims=True))
    far = np.sqrt(((a - c) ** 2).sum(1, keepdims=True))
    active = (near - far + 0.4 > 0) / len(a)
    active = active.astype(a.dtype)
    dnear = active * (a - b) / near
    dfar = active * (a - c) / far
    da = (dnear - dfar) * (1 - a**2)
    db = -dnear * (1 - b**2)
    dc = dfar * (1 - c**2)
    dw = anchor.T @ da
    dw += positive.T @ db
    dw += negative.T @ dc
    return {"w": dw, "b": da.sum(0) + db.sum(0) + dc.sum(0)}


TRIPLETS = Network(
    triplets,
    triplets_gradients,
    (draw(246, w=(3, 4), b=(4,)), *batch(247, (6, 3), (6, 3), (6, 3))),
)
