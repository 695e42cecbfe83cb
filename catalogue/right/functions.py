"""Activations and losses, as autodiff differentiates them and by hand.

Autodiff sees those of `jax.nn`. Backward passes have formulas of their own, written once for two
array modules: `xp` is NumPy or jnp.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

CLIP = 1e-6  # the least distance of probabilities from 0 and 1

# What autodiff differentiates: activations, then losses of the network's output h.


def identity(z):
    return z


ACTIVATIONS = {
    "identity": identity,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "gelu": jax.nn.gelu,
}


def mean_square(h, y):
    return jnp.mean((h - y) ** 2)


def half_sum_of_squares(h, y):
    return 0.5 * jnp.sum((h - y) ** 2)


def batch_mean_of_squares(h, y):
    return jnp.sum((h - y) ** 2) / len(h)


def bce_on_logits(h, y):
    return jnp.mean(jax.nn.softplus(h) - h * y)


def bce_on_probabilities(h, y):
    p = jnp.clip(h, CLIP, 1 - CLIP)
    return -jnp.mean(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))


def cross_entropy(h, y):
    return -jnp.sum(jax.nn.one_hot(y, h.shape[1], dtype=h.dtype) * jax.nn.log_softmax(h)) / len(h)


def squared_softmax(h, y):
    return jnp.mean((jax.nn.softmax(h) - y) ** 2)


def hinge(h, y):
    return jnp.mean(jax.nn.relu(1 - y * h))


def numbers(rng, batch, width):
    return rng.normal(size=(batch, width))


def zeros_and_ones(rng, batch, width):
    return rng.integers(0, 2, (batch, width)).astype(float)


def signs(rng, batch, width):
    return 2 * zeros_and_ones(rng, batch, width) - 1


def labels(rng, batch, width):
    return rng.integers(0, width, batch, dtype=np.int32)


class Loss(NamedTuple):
    fun: Callable[..., jax.Array]
    outputs: tuple[str, ...]
    targets: Callable[..., Any]


LOSSES = {
    "mean_square": Loss(mean_square, tuple(ACTIVATIONS), numbers),
    "half_sum_of_squares": Loss(half_sum_of_squares, tuple(ACTIVATIONS), numbers),
    "batch_mean_of_squares": Loss(batch_mean_of_squares, tuple(ACTIVATIONS), numbers),
    "bce_on_logits": Loss(bce_on_logits, ("identity",), zeros_and_ones),
    "bce_on_probabilities": Loss(bce_on_probabilities, ("sigmoid",), zeros_and_ones),
    "cross_entropy": Loss(cross_entropy, ("identity",), labels),
    "squared_softmax": Loss(squared_softmax, ("identity",), numbers),
    "hinge": Loss(hinge, ("identity", "tanh"), signs),
}


# By hand: a = f(z), and f' in the forms in which it is written, from z and from a.


class Rule(NamedTuple):
    value: Callable[[Any], Any]
    slopes_of_z: tuple[Callable[[Any], Any], ...] = ()
    slopes_of_a: tuple[Callable[[Any], Any], ...] = ()

    def slope(self, form, z, a):
        forms = [(f, z) for f in self.slopes_of_z] + [(f, a) for f in self.slopes_of_a]
        f, of = forms[form % len(forms)]
        return f(of)


@cache
def activations_by_hand(xp):
    def sigmoid(z):
        e = xp.exp(-xp.abs(z))
        return xp.where(z >= 0, 1 / (1 + e), e / (1 + e))

    def sigmoid_slope(z):
        e = xp.exp(-xp.abs(z))
        return e / (1 + e) ** 2

    def tanh_slope(z):
        return 4 * sigmoid_slope(2 * z)

    def step(z):
        return xp.where(z > 0, xp.ones_like(z), 0)

    def leaky_slope(z):
        return xp.where(z >= 0, xp.ones_like(z), 0.01)

    def elu(z):
        return xp.where(z > 0, z, xp.expm1(xp.minimum(z, 0)))

    def elu_slope(z):
        return xp.exp(xp.minimum(z, 0))

    def softplus(z):
        return xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))

    def silu_slope(z):
        s = sigmoid(z)
        return s * (1 + z * (1 - s))

    def gelu_angle(z):
        """Returns u and u' of gelu(z) = z (1 + tanh u) / 2 = z sigmoid(2 u)."""
        c = (2 / np.pi) ** 0.5
        return c * (z + 0.044715 * z**3), c * (1 + 3 * 0.044715 * z**2)

    def gelu(z):
        return 0.5 * z * (1 + xp.tanh(gelu_angle(z)[0]))

    def gelu_slope(z):
        u, du = gelu_angle(z)
        t = xp.tanh(u)
        return 0.5 * (1 + t) + 0.5 * z * (1 - t**2) * du

    def gelu_slope_by_sigmoid(z):
        u, du = gelu_angle(z)
        return sigmoid(2 * u) + 2 * z * sigmoid_slope(2 * u) * du

    return {
        "identity": Rule(identity, (xp.ones_like,)),
        "sigmoid": Rule(sigmoid, (sigmoid_slope,), (lambda a: a * (1 - a),)),
        "tanh": Rule(xp.tanh, (tanh_slope,), (lambda a: 1 - a**2, lambda a: (1 + a) * (1 - a))),
        "relu": Rule(lambda z: xp.maximum(z, 0), (step,), (step,)),
        "leaky_relu": Rule(lambda z: z * leaky_slope(z), (leaky_slope,)),
        "elu": Rule(elu, (elu_slope,), (lambda a: xp.where(a > 0, xp.ones_like(a), a + 1),)),
        "softplus": Rule(softplus, (sigmoid,), (lambda a: -xp.expm1(-a),)),
        "silu": Rule(lambda z: z * sigmoid(z), (silu_slope,)),
        "gelu": Rule(gelu, (gelu_slope, gelu_slope_by_sigmoid)),
    }


# By hand: each loss, and its gradient in h.


@cache
def losses_by_hand(xp):
    def along_rows(reduce, h):
        return reduce(h, axis=-1, keepdims=True)

    def squared(scale, h, y):
        return scale * xp.sum((h - y) ** 2), 2 * scale * (h - y)

    def mean_square(h, y):
        return squared(1 / h.size, h, y)

    def half_sum_of_squares(h, y):
        return squared(0.5, h, y)

    def batch_mean_of_squares(h, y):
        return squared(1 / len(h), h, y)

    def bce_on_logits(h, y):
        rules = activations_by_hand(xp)
        value = xp.mean(rules["softplus"].value(h) - h * y)
        return value, (rules["sigmoid"].value(h) - y) / h.size

    def bce_on_probabilities(h, y):
        p = xp.clip(h, CLIP, 1 - CLIP)
        value = -xp.mean(y * xp.log(p) + (1 - y) * xp.log(1 - p))
        return value, xp.where(p == h, (p - y) / (p * (1 - p)), 0) / h.size

    def softmax(h):
        e = xp.exp(h - along_rows(xp.max, h))
        return e / along_rows(xp.sum, e)

    def cross_entropy(h, y):
        wanted = xp.eye(h.shape[1], dtype=h.dtype)[y]
        shifted = h - along_rows(xp.max, h)
        log_p = shifted - xp.log(along_rows(xp.sum, xp.exp(shifted)))
        return -xp.sum(wanted * log_p) / len(h), (softmax(h) - wanted) / len(h)

    def squared_softmax(h, y):
        p = softmax(h)
        value, dp = mean_square(p, y)
        return value, p * (dp - along_rows(xp.sum, dp * p))

    def hinge(h, y):
        margin = 1 - y * h
        return xp.mean(xp.maximum(margin, 0)), xp.where(margin > 0, -y, 0) / h.size

    rules = mean_square, half_sum_of_squares, batch_mean_of_squares, bce_on_logits
    rules += bce_on_probabilities, cross_entropy, squared_softmax, hinge
    return {rule.__name__: rule for rule in rules}
