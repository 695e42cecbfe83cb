"""Networks as people write them, each with its right backward pass: `mistakes.py` spoils them.

Forward passes are `jnp` and are differentiated by autodiff. Backward passes are NumPy or `jnp`,
and keep the dtype of their arguments. Each forward operation stands on a line of its own that ends
in a tag, by which a mistake names its place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Network(NamedTuple):
    """A loss `fun(params, *batch)`, its gradient (or SGD step) by hand, and arguments for both."""

    fun: Callable[..., Any]
    right: Callable[..., Any]
    args: tuple[Any, ...]


def line_of(tag: str) -> str:
    """Where the tagged line stands: `"mistaken_networks.py:12"`."""
    path = Path(__file__)
    lines = enumerate(path.read_text().splitlines(), start=1)
    (number,) = [number for number, line in lines if line.endswith(f"# [{tag}]")]
    return f"{path.name}:{number}"


def draw(seed: int, **shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Parameters: small normals. Seeds are such that nothing saturates or sits close to a kink."""
    rng = np.random.default_rng(seed)
    return {name: 0.6 * rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}


def batch(seed: int, *shapes: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Inputs and targets: standard normals."""
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)


def one_hot(seed: int, samples: int, classes: int) -> np.ndarray:
    labels = np.random.default_rng(seed).integers(classes, size=samples)
    return np.eye(classes, dtype=np.float32)[labels]


def as_numpy(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


def logistic(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


# Two layers, tanh, mean squared error


def regressor(p, x, y):
    z1 = x @ p["w1"] + p["b1"]  # [regressor.z1]
    h1 = jnp.tanh(z1)  # [regressor.h1]
    out = h1 @ p["w2"] + p["b2"]  # [regressor.out]
    return jnp.mean((out - y) ** 2)  # [regressor.loss]


def regressor_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    z1 = x @ p["w1"] + p["b1"]
    h1 = np.tanh(z1)
    out = h1 @ p["w2"] + p["b2"]
    d2 = 2 * (out - y) / y.size
    dh1 = d2 @ p["w2"].T
    d1 = dh1 * (1 - h1**2)
    return {
        "w1": x.T @ d1,
        "b1": d1.sum(0),
        "w2": h1.T @ d2,
        "b2": d2.sum(0),
    }


REGRESSOR = Network(
    regressor,
    regressor_gradients,
    (draw(1, w1=(4, 5), b1=(5,), w2=(5, 3), b2=(3,)), *batch(2, (6, 4), (6, 3))),
)


# Three layers, relu, softmax cross entropy on logits; the second layer is square


class Classifier(NamedTuple):
    w1: Any
    b1: Any
    w2: Any
    b2: Any
    w3: Any
    b3: Any


def classifier(p, x, y):
    z1 = x @ p.w1 + p.b1  # [classifier.z1]
    h1 = jax.nn.relu(z1)  # [classifier.h1]
    z2 = h1 @ p.w2 + p.b2  # [classifier.z2]
    h2 = jax.nn.relu(z2)  # [classifier.h2]
    logits = h2 @ p.w3 + p.b3  # [classifier.logits]
    log_p = jax.nn.log_softmax(logits)  # [classifier.log_p]
    return -jnp.mean(jnp.sum(y * log_p, axis=-1))  # [classifier.loss]


def classifier_gradients(p, x, y):
    z1 = x @ p.w1 + p.b1
    h1 = jax.nn.relu(z1)
    z2 = h1 @ p.w2 + p.b2
    h2 = jax.nn.relu(z2)
    prob = jax.nn.softmax(h2 @ p.w3 + p.b3)
    delta3 = (prob - y) / len(x)
    delta2 = jnp.where(z2 > 0, delta3 @ p.w3.T, 0.0)
    delta1 = jnp.where(z1 > 0, delta2 @ p.w2.T, 0.0)
    return Classifier(
        w1=x.T @ delta1,
        b1=delta1.sum(0),
        w2=h1.T @ delta2,
        b2=delta2.sum(0),
        w3=h2.T @ delta3,
        b3=delta3.sum(0),
    )


CLASSIFIER = Network(
    classifier,
    classifier_gradients,
    (
        Classifier(**draw(131, w1=(4, 5), b1=(5,), w2=(5, 5), b2=(5,), w3=(5, 3), b3=(3,))),
        *batch(4, (8, 4)),
        one_hot(5, 8, 3),
    ),
)


# Encoder and decoder share their weights; sigmoid


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tied:
    w: Any
    hidden: Any
    visible: Any


def autoencoder(p, x):
    a = x @ p.w + p.hidden  # [autoencoder.a]
    code = jax.nn.sigmoid(a)  # [autoencoder.code]
    back = code @ p.w.T + p.visible  # [autoencoder.back]
    return jnp.sum((back - x) ** 2) / len(x)  # [autoencoder.loss]


def autoencoder_gradients(p, x):
    p, x = as_numpy((p, x))
    code = logistic(x @ p.w + p.hidden)
    back = code @ p.w.T + p.visible
    dback = 2 * (back - x) / len(x)
    dcode = dback @ p.w
    da = dcode * code * (1 - code)
    dw = x.T @ da
    dw += dback.T @ code
    return Tied(dw, da.sum(0), dback.sum(0))


AUTOENCODER = Network(
    autoencoder,
    autoencoder_gradients,
    (Tied(**draw(6, w=(5, 3), hidden=(3,), visible=(5,))), *batch(7, (7, 5))),
)


# Two residual blocks with a scaled branch; silu


def silu_slope(z):
    s = jax.nn.sigmoid(z)
    return s + z * s * (1 - s)


def residual(p, x, y):
    h0 = x @ p["stem"]["w"] + p["stem"]["b"]  # [residual.h0]
    z1 = h0 @ p["block1"]["w"] + p["block1"]["b"]  # [residual.z1]
    f1 = jax.nn.silu(z1)  # [residual.f1]
    h1 = h0 + 0.5 * f1  # [residual.h1]
    z2 = h1 @ p["block2"]["w"] + p["block2"]["b"]  # [residual.z2]
    f2 = jax.nn.silu(z2)  # [residual.f2]
    h2 = h1 + 0.5 * f2  # [residual.h2]
    out = h2 @ p["head"]["w"] + p["head"]["b"]  # [residual.out]
    return 0.5 * jnp.mean(jnp.sum((out - y) ** 2, axis=-1))  # [residual.loss]


def residual_gradients(p, x, y):
    w = {name: layer["w"] for name, layer in p.items()}
    b = {name: layer["b"] for name, layer in p.items()}
    h0 = x @ w["stem"] + b["stem"]
    z1 = h0 @ w["block1"] + b["block1"]
    f1 = jax.nn.silu(z1)
    h1 = h0 + 0.5 * f1
    z2 = h1 @ w["block2"] + b["block2"]
    f2 = jax.nn.silu(z2)
    h2 = h1 + 0.5 * f2
    out = h2 @ w["head"] + b["head"]

    dout = (out - y) / len(x)
    dh2 = dout @ w["head"].T
    df2 = 0.5 * dh2
    dz2 = df2 * silu_slope(z2)
    dh1 = dh2 + dz2 @ w["block2"].T
    df1 = 0.5 * dh1
    dz1 = df1 * silu_slope(z1)
    dh0 = dh1 + dz1 @ w["block1"].T
    return {
        "stem": {"w": x.T @ dh0, "b": dh0.sum(0)},
        "block1": {"w": h0.T @ dz1, "b": dz1.sum(0)},
        "block2": {"w": h1.T @ dz2, "b": dz2.sum(0)},
        "head": {"w": h2.T @ dout, "b": dout.sum(0)},
    }


RESIDUAL = Network(
    residual,
    residual_gradients,
    (
        {
            "stem": draw(8, w=(4, 5), b=(5,)),
            "block1": draw(9, w=(5, 5), b=(5,)),
            "block2": draw(10, w=(5, 5), b=(5,)),
            "head": draw(11, w=(5, 3), b=(3,)),
        },
        *batch(12, (6, 4), (6, 3)),
    ),
)


# Layer norm between two linear layers


def normed(p, x, y):
    h = x @ p["w"] + p["b"]  # [normed.h]
    mean = jnp.mean(h, axis=-1, keepdims=True)  # [normed.mean]
    c = h - mean  # [normed.c]
    var = jnp.mean(h * h, axis=-1, keepdims=True) - mean * mean  # [normed.var]
    sd = jnp.sqrt(var + 1e-3)  # [normed.sd]
    n = c / sd  # [normed.n]
    affine = n * p["gain"] + p["shift"]  # [normed.affine]
    out = affine @ p["v"]  # [normed.out]
    return jnp.mean((out - y) ** 2)  # [normed.loss]


def normed_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = x @ p["w"] + p["b"]
    width = h.shape[-1]
    c = h - h.mean(-1, keepdims=True)
    sd = np.sqrt(h.var(-1, keepdims=True) + 1e-3)
    n = c / sd
    affine = n * p["gain"] + p["shift"]
    out = affine @ p["v"]

    dout = 2 * (out - y) / y.size
    daffine = dout @ p["v"].T
    dn = daffine * p["gain"]
    dsd = -(dn * c).sum(-1, keepdims=True) / sd**2
    dvar = dsd / (2 * sd)
    dc = dn / sd
    dh = dc - dc.mean(-1, keepdims=True)
    dh += dvar * 2 * c / width
    return {
        "w": x.T @ dh,
        "b": dh.sum(0),
        "gain": (daffine * n).sum(0),
        "shift": daffine.sum(0),
        "v": affine.T @ dout,
    }


NORMED = Network(
    normed,
    normed_gradients,
    (
        draw(13, w=(4, 5), b=(5,), gain=(5,), shift=(5,), v=(5, 3)),
        *batch(14, (6, 4), (6, 3)),
    ),
)


# Quadratic units, sigmoid outputs, binary cross entropy


def binary(p, x, y):
    z1 = x @ p["w1"] + p["b1"]  # [binary.z1]
    q = z1**2  # [binary.q]
    z2 = q @ p["w2"] + p["b2"]  # [binary.z2]
    prob = jax.nn.sigmoid(z2)  # [binary.prob]
    return -jnp.mean(y * jnp.log(prob) + (1 - y) * jnp.log(1 - prob))  # [binary.loss]


def binary_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    z1 = x @ p["w1"] + p["b1"]
    q = z1**2
    prob = logistic(q @ p["w2"] + p["b2"])
    dprob = (prob - y) / (prob * (1 - prob)) / y.size
    dz2 = dprob * prob * (1 - prob)
    dz1 = dz2 @ p["w2"].T * 2 * z1
    return {"w1": x.T @ dz1, "b1": dz1.sum(0), "w2": q.T @ dz2, "b2": dz2.sum(0)}


BINARY = Network(
    binary,
    binary_gradients,
    (
        draw(98, w1=(4, 5), b1=(5,), w2=(5, 3), b2=(3,)),
        *batch(16, (6, 4)),
        one_hot(17, 6, 3),
    ),
)


# Poisson regression: gelu inside, softplus rates


def gelu_slope(z):
    c, k = (2 / np.pi) ** 0.5, 0.044715
    t = jnp.tanh(c * (z + k * z**3))
    return 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * c * (1 + 3 * k * z**2)


def counts(p, x, y):
    (w1, b1), (w2, b2) = p
    z1 = x @ w1 + b1  # [counts.z1]
    h1 = jax.nn.gelu(z1)  # [counts.h1]
    z2 = h1 @ w2 + b2  # [counts.z2]
    rate = jax.nn.softplus(z2)  # [counts.rate]
    log_rate = jnp.log(rate)  # [counts.log_rate]
    return jnp.mean(rate - y * log_rate)  # [counts.loss]


def counts_gradients(p, x, y):
    (w1, b1), (w2, b2) = p
    z1 = x @ w1 + b1
    h1 = jax.nn.gelu(z1)
    z2 = h1 @ w2 + b2
    rate = jax.nn.softplus(z2)
    drate = (1 - y / rate) / y.size
    delta2 = drate * jax.nn.sigmoid(z2)
    delta1 = delta2 @ w2.T * gelu_slope(z1)
    return (x.T @ delta1, delta1.sum(0)), (h1.T @ delta2, delta2.sum(0))


COUNTS = Network(
    counts,
    counts_gradients,
    (
        (
            tuple(draw(18, w=(4, 5), b=(5,)).values()),
            tuple(draw(19, w=(5, 3), b=(3,)).values()),
        ),
        *batch(20, (6, 4)),
        np.random.default_rng(21).poisson(2.0, (6, 3)).astype(np.float32),
    ),
)


# A mean and a log variance from one trunk; elu


def gaussian(p, x, y):
    z = x @ p["w"] + p["b"]  # [gaussian.z]
    h = jax.nn.elu(z)  # [gaussian.h]
    mu = h @ p["w_mu"] + p["b_mu"]  # [gaussian.mu]
    s = h @ p["w_s"] + p["b_s"]  # [gaussian.s]
    precision = jnp.exp(-s)  # [gaussian.precision]
    error = y - mu  # [gaussian.error]
    return 0.5 * jnp.mean(s + precision * error**2)  # [gaussian.loss]


def gaussian_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    z = x @ p["w"] + p["b"]
    h = np.where(z > 0, z, np.expm1(z))
    mu = h @ p["w_mu"] + p["b_mu"]
    s = h @ p["w_s"] + p["b_s"]
    precision = np.exp(-s)
    error = y - mu

    dmu = -precision * error / y.size
    dprecision = 0.5 * error**2 / y.size
    ds = 0.5 / y.size - dprecision * precision
    dh = dmu @ p["w_mu"].T
    dh += ds @ p["w_s"].T
    dz = dh * np.where(z > 0, 1, np.exp(z))
    return {
        "w": x.T @ dz,
        "b": dz.sum(0),
        "w_mu": h.T @ dmu,
        "b_mu": dmu.sum(0),
        "w_s": h.T @ ds,
        "b_s": ds.sum(0),
    }


GAUSSIAN = Network(
    gaussian,
    gaussian_gradients,
    (
        draw(170, w=(4, 5), b=(5,), w_mu=(5, 3), b_mu=(3,), w_s=(5, 3), b_s=(3,)),
        *batch(23, (6, 4), (6, 3)),
    ),
)


# Leaky relu, softmax outputs, squared error


def votes(p, x, y):
    z1 = x @ p["w1"] + p["b1"]  # [votes.z1]
    h1 = jax.nn.leaky_relu(z1, 0.01)  # [votes.h1]
    z2 = h1 @ p["w2"] + p["b2"]  # [votes.z2]
    prob = jax.nn.softmax(z2)  # [votes.prob]
    return jnp.sum((prob - y) ** 2) / len(x)  # [votes.loss]


def votes_gradients(p, x, y):
    z1 = x @ p["w1"] + p["b1"]
    h1 = jax.nn.leaky_relu(z1, 0.01)
    prob = jax.nn.softmax(h1 @ p["w2"] + p["b2"])
    dprob = 2 * (prob - y) / len(x)
    dz2 = prob * (dprob - jnp.sum(prob * dprob, axis=-1, keepdims=True))
    dh1 = dz2 @ p["w2"].T
    dz1 = jnp.where(z1 > 0, dh1, 0.01 * dh1)
    return {"w1": x.T @ dz1, "b1": dz1.sum(0), "w2": h1.T @ dz2, "b2": dz2.sum(0)}


VOTES = Network(
    votes,
    votes_gradients,
    (
        draw(105, w1=(4, 5), b1=(5,), w2=(5, 3), b2=(3,)),
        *batch(25, (6, 4)),
        one_hot(26, 6, 3),
    ),
)


# One linear layer, hinge loss, L2 penalty on the weights


def svm(p, x, y):
    score = x @ p["w"] + p["b"]  # [svm.score]
    hinge = jnp.maximum(0.0, 1 - y * score)  # [svm.hinge]
    penalty = 0.05 * jnp.sum(p["w"] ** 2)  # [svm.penalty]
    return jnp.mean(hinge) + penalty  # [svm.loss]


def svm_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    score = x @ p["w"] + p["b"]
    dscore = np.where(y * score < 1, -y, 0) / y.size
    dw = x.T @ dscore
    dw += 0.1 * p["w"]
    db = dscore.sum(0)
    return {"w": dw, "b": db}


SVM = Network(
    svm,
    svm_gradients,
    (draw(680, w=(4, 3), b=(3,)), *batch(28, (6, 4)), 2 * one_hot(29, 6, 3) - 1),
)


# L1 penalty on both layers


def lasso(p, x, y):
    h = jnp.tanh(x @ p["w1"])  # [lasso.h]
    out = h @ p["w2"]  # [lasso.out]
    data = jnp.sum((out - y) ** 2)  # [lasso.data]
    penalty = 0.02 * (jnp.sum(jnp.abs(p["w1"])) + jnp.sum(jnp.abs(p["w2"])))  # [lasso.penalty]
    return data + penalty  # [lasso.loss]


def lasso_gradients(p, x, y):
    p, x, y = as_numpy((p, x, y))
    h = np.tanh(x @ p["w1"])
    delta = 2 * (h @ p["w2"] - y)
    g = {
        "w1": x.T @ (delta @ p["w2"].T * (1 - h**2)),
        "w2": h.T @ delta,
    }
    return {
        "w1": g["w1"] + 0.02 * np.sign(p["w1"]),
        "w2": g["w2"] + 0.02 * np.sign(p["w2"]),
    }


LASSO = Network(
    lasso, lasso_gradients, (draw(73, w1=(4, 5), w2=(5, 3)), *batch(31, (6, 4), (6, 3)))
)


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


# An activation with a rule of its own


@jax.custom_jvp
def squareplus(z):
    return 0.5 * (z + jnp.sqrt(z**2 + 4))


@squareplus.defjvp
def squareplus_jvp(primals, tangents):
    (z,), (dz,) = primals, tangents
    return squareplus(z), squareplus_slope(z) * dz


def squareplus_slope(z):
    return 0.5 * (1 + z / jnp.sqrt(z**2 + 4))


def custom(p, x, y):
    z = x @ p["w"] + p["b"]  # [custom.z]
    h = squareplus(z)  # [custom.h]
    out = h @ p["v"] + p["c"]  # [custom.out]
    return jnp.mean((out - y) ** 2)  # [custom.loss]


def custom_gradients(p, x, y):
    z = x @ p["w"] + p["b"]
    h = squareplus(z)
    dout = 2 * (h @ p["v"] + p["c"] - y) / y.size
    dh = dout @ p["v"].T
    dz = dh * squareplus_slope(z)
    return {"w": x.T @ dz, "b": dz.sum(0), "v": h.T @ dout, "c": dout.sum(0)}


CUSTOM = Network(
    custom,
    custom_gradients,
    (draw(55, w=(4, 5), b=(5,), v=(5, 3), c=(3,)), *batch(56, (6, 4), (6, 3))),
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


# Squared relu


def rectified(p, x, y):
    z = x @ p["w"] + p["b"]  # [rectified.z]
    h = jax.nn.relu(z)  # [rectified.h]
    q = h**2  # [rectified.q]
    out = q @ p["v"]  # [rectified.out]
    return jnp.mean((out - y) ** 2)  # [rectified.loss]


def rectified_gradients(p, x, y):
    z = x @ p["w"] + p["b"]
    h = jax.nn.relu(z)
    q = h**2
    dout = 2 * (q @ p["v"] - y) / y.size
    dq = dout @ p["v"].T
    dh = dq * 2 * h
    dz = jnp.where(z > 0, dh, 0.0)
    return {"w": x.T @ dz, "b": dz.sum(0), "v": q.T @ dout}


RECTIFIED = Network(
    rectified,
    rectified_gradients,
    (draw(68, w=(4, 5), b=(5,), v=(5, 3)), *batch(63, (6, 4), (6, 3))),
)


# Whole SGD steps, of two layers and of three, updated from the last layer down


def two_layers(p, x, y):
    h = jnp.tanh(x @ p["w1"] + p["b1"])  # [two_layers.h]
    out = h @ p["w2"] + p["b2"]  # [two_layers.out]
    return jnp.mean((out - y) ** 2)  # [two_layers.loss]


def two_layers_step(p, x, y):
    p, x, y = as_numpy((p, x, y))
    w1, b1, w2, b2 = p["w1"], p["b1"], p["w2"], p["b2"]
    h = np.tanh(x @ w1 + b1)
    d2 = 2 * (h @ w2 + b2 - y) / y.size
    d1 = d2 @ w2.T * (1 - h**2)
    w2, b2 = w2 - 0.5 * h.T @ d2, b2 - 0.5 * d2.sum(0)
    w1, b1 = w1 - 0.5 * x.T @ d1, b1 - 0.5 * d1.sum(0)
    return {"w1": w1, "b1": b1, "w2": w2, "b2": b2}


TWO_LAYERS = Network(
    two_layers,
    two_layers_step,
    (draw(64, w1=(4, 5), b1=(5,), w2=(5, 3), b2=(3,)), *batch(65, (6, 4), (6, 3))),
)


def three_layers(p, x, y):
    h1 = jax.nn.sigmoid(x @ p[0])  # [three_layers.h1]
    h2 = jax.nn.sigmoid(h1 @ p[1])  # [three_layers.h2]
    out = h2 @ p[2]  # [three_layers.out]
    return 0.5 * jnp.sum((out - y) ** 2)  # [three_layers.loss]


def three_layers_step(p, x, y):
    w1, w2, w3 = p
    h1 = jax.nn.sigmoid(x @ w1)
    h2 = jax.nn.sigmoid(h1 @ w2)
    d3 = h2 @ w3 - y
    dh2 = d3 @ w3.T
    d2 = dh2 * h2 * (1 - h2)
    dh1 = d2 @ w2.T
    d1 = dh1 * h1 * (1 - h1)
    w3 = w3 - 0.1 * h2.T @ d3
    w2 = w2 - 0.1 * h1.T @ d2
    w1 = w1 - 0.1 * x.T @ d1
    return w1, w2, w3


THREE_LAYERS = Network(
    three_layers,
    three_layers_step,
    (
        tuple(draw(66, w1=(4, 6), w2=(6, 5), w3=(5, 3)).values()),
        *batch(67, (6, 4), (6, 3)),
    ),
)
