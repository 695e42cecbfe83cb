"""Functions of linear algebra and of probability: solve, cosines, chains."""

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.attention import softmax
from catalogue.networks.network import Network, as_numpy, batch, draw

# Ridge regression solved in closed form, validated on other data


def solved(p, x, y, x2, y2):
    h = jnp.tanh(x @ p["w"])  # [solved.h]
    a = h.T @ h + p["ridge"]  # [solved.a]
    beta = jnp.linalg.solve(a, h.T @ y)  # [solved.beta]
    out = x2 @ p["w"] @ beta  # [solved.out]
    return 0.5 * jnp.sum((out - y2) ** 2)  # [solved.loss]


def solved_gradients(p, x, y, x2, y2):
    p, x, y, x2, y2 = as_numpy((p, x, y, x2, y2))
    w = p["w"]
    h = np.tanh(x @ w)
    a = h.T @ h + p["ridge"]
    beta = np.linalg.solve(a, h.T @ y)
    dout = x2 @ w @ beta - y2
    dbeta = w.T @ x2.T @ dout
    dc = np.linalg.solve(a.T, dbeta)
    da = -dc @ beta.T
    dh = y @ dc.T
    dh += h @ (da + da.T)
    dw = x.T @ (dh * (1 - h**2))
    dw += x2.T @ dout @ beta.T
    return {"w": dw, "ridge": da}


SOLVED = Network(
    solved,
    solved_gradients,
    (
        draw(273, w=(3, 2)) | {"ridge": np.float32([[1.5, 0.3], [-0.2, 1.1]])},
        *batch(274, (5, 3), (5, 2), (4, 3), (4, 2)),
    ),
)


# Cosine similarity of two encoders


def cosine(p, x, y):
    u = x @ p["u"]  # [cosine.u]
    v = jnp.tanh(y @ p["v"])  # [cosine.v]
    dot = jnp.sum(u * v, axis=1)  # [cosine.dot]
    nu = jnp.sqrt(jnp.sum(u**2, axis=1))  # [cosine.nu]
    nv = jnp.sqrt(jnp.sum(v**2, axis=1))  # [cosine.nv]
    return jnp.mean(1 - dot / (nu * nv))  # [cosine.loss]


def cosine_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    u, v = x @ p["u"], np.tanh(y @ p["v"])
    nu = np.linalg.norm(u, axis=1, keepdims=True)
    nv = np.linalg.norm(v, axis=1, keepdims=True)
    cos = (u * v).sum(1, keepdims=True) / (nu * nv)
    g = -1 / len(u)
    du = g * (v / (nu * nv) - cos * u / nu**2)
    dv = g * (u / (nu * nv) - cos * v / nv**2)
    dz = dv * (1 - v**2)
    return {"u": x.T @ du, "v": y.T @ dz}


COSINE = Network(
    cosine, cosine_gradients, (draw(275, u=(3, 4), v=(2, 4)), *batch(276, (5, 3), (5, 2)))
)


# A chain of labels: the likelihood of a path under all paths, by the forward algorithm


def chain(p, x, path):
    unary = x @ p["w"]  # [chain.unary]
    alpha = unary[0]  # [chain.alpha]
    for row in unary[1:]:
        alpha = row + jax.nn.logsumexp(alpha[:, None] + p["transition"], axis=0)  # [chain.step]
    total = jax.nn.logsumexp(alpha)  # [chain.total]
    pairs = jnp.einsum("ti,tj->ij", path[:-1], path[1:])
    score = jnp.sum(path * unary) + jnp.sum(pairs * p["transition"])  # [chain.score]
    return total - score  # [chain.loss]


def chain_gradients(p, x, path):
    p, x, path = as_numpy((p, x, path))
    unary, transition = x @ p["w"], p["transition"]
    alphas = [unary[0]]
    for row in unary[1:]:
        s = alphas[-1][:, None] + transition
        alphas.append(row + np.log(np.exp(s).sum(0)))
    dunary, dtransition = np.zeros_like(unary), np.zeros_like(transition)
    dalpha = softmax(alphas[-1])
    for t in range(len(x) - 1, 0, -1):
        dunary[t] = dalpha
        s = alphas[t - 1][:, None] + transition
        weight = np.exp(s) / np.exp(s).sum(0)
        flow = weight * dalpha
        dtransition += flow
        dalpha = flow.sum(1)
    dunary[0] = dalpha
    dunary -= path
    dtransition -= path[:-1].T @ path[1:]
    return {"w": x.T @ dunary, "transition": dtransition}


CHAIN = Network(
    chain,
    chain_gradients,
    (
        draw(277, w=(2, 3), transition=(3, 3)),
        *batch(278, (4, 2)),
        np.eye(3, dtype=np.float32)[[0, 2, 2, 1]],
    ),
)
