"""Networks of dense layers: plain, with tied weights, with residual blocks, with a layer norm."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.networks.network import Network, as_numpy, batch, draw, logistic, one_hot

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
