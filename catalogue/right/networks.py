"""Networks of blocks a = f(norm(h) w + b), some added to h, some used several times."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.right.functions import ACTIVATIONS, LOSSES, activations_by_hand, losses_by_hand

EPSILON = 1e-5  # of the layer norm


class Block(NamedTuple):
    inputs: int
    outputs: int
    activation: str
    normalized: bool = False
    residual: bool = False
    times: int = 1

    def __str__(self):
        words = [f"{self.inputs}x{self.outputs}", self.activation]
        words += ["layer norm"] * self.normalized + ["residual"] * self.residual
        return " ".join(words + [f"{self.times} times"] * (self.times > 1))


class Network(NamedTuple):
    blocks: tuple[Block, ...]
    loss: str
    penalty: float
    form: str

    def __str__(self):
        blocks = ", ".join(map(str, self.blocks))
        return f"{blocks}; {self.loss}, penalty {self.penalty}, in {self.form}"


class Style(NamedTuple):
    """A way of writing a gradient; `narrow` is its compute type if not that of its arguments."""

    xp: Any
    jitted: bool
    with_value: bool
    slopes: int
    narrow: str | None
    widened: bool

    def __str__(self):
        words = [self.xp.__name__] + ["jitted"] * self.jitted + ["with value"] * self.with_value
        words += [f"in {self.narrow}"] * (self.narrow is not None) + ["widened"] * self.widened
        return f"{' '.join(words)}, slopes {self.slopes}"


def flat(layers):
    return {f"{key}{i}": leaf for i, layer in enumerate(layers) for key, leaf in layer.items()}


def from_flat(params):
    layers = [{} for key in params if key.startswith("w")]
    for key, leaf in params.items():
        layers[int(key[-1])][key[:-1]] = leaf
    return layers


def tuples(layers):
    return tuple(tuple(layer.values()) for layer in layers)


def from_tuples(params):
    return [dict(zip(("w", "b", "gain", "shift"), layer, strict=False)) for layer in params]


FORMS = {"dicts": (list, list), "one dict": (flat, from_flat), "tuples": (tuples, from_tuples)}


def loss_of(network, narrow, params, x, y):
    """Returns the loss that autodiff differentiates, computed in the type `narrow` if given."""
    params, h, y = cast(jnp, (params, x, y), narrow)
    layers = FORMS[network.form][1](params)
    for block, p in zip(network.blocks, layers, strict=True):
        for _ in range(block.times):
            u = h
            if block.normalized:
                centred = h - jnp.mean(h, axis=-1, keepdims=True)
                u = centred * jax.lax.rsqrt(jnp.var(h, axis=-1, keepdims=True) + EPSILON)
                u = u * p["gain"] + p["shift"]
            a = ACTIVATIONS[block.activation](u @ p["w"] + p["b"])
            h = h + a if block.residual else a
    squares = sum(jnp.sum(p["w"] ** 2) for p in layers)
    return LOSSES[network.loss].fun(h, y) + 0.5 * network.penalty * squares


def normalize(xp, h, p):
    centred = h - xp.mean(h, axis=-1, keepdims=True)
    scale = 1 / xp.sqrt(xp.mean(centred**2, axis=-1, keepdims=True) + EPSILON)
    return centred * scale * p["gain"] + p["shift"], centred * scale, scale


def normalize_backward(xp, n, scale, dn):
    """Returns the gradient in h, from that in the normalized n."""
    through_mean = xp.mean(dn, axis=-1, keepdims=True)
    through_scale = n * xp.mean(dn * n, axis=-1, keepdims=True)
    return scale * (dn - through_mean - through_scale)


def forward(network, xp, layers, x):
    """Returns the network's output, and the residuals of each use of a block."""
    tape, h = [], x
    for i, (block, p) in enumerate(zip(network.blocks, layers, strict=True)):
        for _ in range(block.times):
            u, n, scale = normalize(xp, h, p) if block.normalized else (h, None, None)
            z = u @ p["w"] + p["b"]
            a = activations_by_hand(xp)[block.activation].value(z)
            tape.append((i, n, scale, u, z, a))
            h = h + a if block.residual else a
    return h, tape


def backward(network, xp, form_of_slopes, layers, tape, dh):
    """Returns the gradient in the parameters; it starts as that of the penalty on the weights."""
    grads = [
        {
            key: network.penalty * leaf if key == "w" else xp.zeros_like(leaf)
            for key, leaf in p.items()
        }
        for p in layers
    ]
    for i, n, scale, u, z, a in reversed(tape):
        block, p, g = network.blocks[i], layers[i], grads[i]
        dz = dh * activations_by_hand(xp)[block.activation].slope(form_of_slopes, z, a)
        g["w"], g["b"] = g["w"] + u.T @ dz, g["b"] + xp.sum(dz, axis=0)
        du = dz @ p["w"].T
        if block.normalized:
            g["gain"] = g["gain"] + xp.sum(du * n, axis=0)
            g["shift"] = g["shift"] + xp.sum(du, axis=0)
            du = normalize_backward(xp, n, scale, du * p["gain"])
        dh = dh + du if block.residual else du
    return grads


def by_hand(network, style, params, x, y):
    """Returns the loss and its gradient."""
    xp, (pack, unpack) = style.xp, FORMS[network.form]
    layers = unpack(params)
    h, tape = forward(network, xp, layers, x)
    value, dh = losses_by_hand(xp)[network.loss](h, y)
    value = value + 0.5 * network.penalty * sum(xp.sum(p["w"] ** 2) for p in layers)
    return value, pack(backward(network, xp, style.slopes, layers, tape, dh))


def gradient_of(network, style, params, x, y):
    with np.errstate(over="ignore", invalid="ignore"):
        narrowed = cast(style.xp, (params, x, y), style.narrow)
        value, grads = by_hand(network, style, *narrowed)
    if style.widened:
        given = style.xp.asarray(jax.tree.leaves(params)[0])
        value, grads = cast(style.xp, (value, grads), given.dtype)
    return (value, grads) if style.with_value else grads


def cast(xp, tree, dtype):
    """Converts to arrays of xp, floating ones in the dtype unless that is None."""

    def one(leaf):
        array = xp.asarray(leaf)
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(dtype) if dtype is not None and floating else array

    return jax.tree.map(one, tree)
