"""Random networks in jnp, each with its gradient written by hand: all right, so all must match.

    python tests/right_candidates.py --seed 1 --count 1000

draws other ones with another seed, and ends with exit code 1 if one of them is accused.

What autodiff differentiates is made of `jax.nn`. The backward passes have formulas of their own,
written once for two array modules, NumPy and jnp: `xp` is the one that a candidate uses.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare import compare_gradients

DRAWS = 8  # candidates in a row that share an architecture, and so what JAX has compiled for it
WIDTHS = (1, 2, 3, 5, 8, 16)
BATCHES = (1, 1, 2, 5, 8)
DTYPES = ("float32", "float32", "float64", "bfloat16")
NARROW = ("float32", "bfloat16")
CLIP = 1e-6  # how far probabilities are kept away from 0 and 1
EPSILON = 1e-5  # of the layer norm


class Candidate(NamedTuple):
    """A loss `fun(params, x, y)`, and its gradient in params, or (loss, gradient), by hand."""

    name: str
    fun: Callable[..., jax.Array]
    grad_fun: Callable[..., Any]
    args: tuple[Any, ...]


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
        """u and u' of gelu(z) = z (1 + tanh u) / 2 = z sigmoid(2 u)."""
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


# Networks: blocks a = f(norm(h) w + b), some added to h, some used several times.


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
    """How a gradient is written; `narrow` is the type it computes in if not its arguments'."""

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
    """The loss as autodiff sees it, computed in the type `narrow` if there is one."""
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
    """The gradient in h, from that in the normalized n."""
    through_mean = xp.mean(dn, axis=-1, keepdims=True)
    through_scale = n * xp.mean(dn * n, axis=-1, keepdims=True)
    return scale * (dn - through_mean - through_scale)


def forward(network, xp, layers, x):
    """The network's output, and what each use of a block keeps for the way back."""
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
    """The gradient in the parameters; it starts as that of the penalty on the weights."""
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
    """The loss and its gradient."""
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
    """Arrays of xp, floating ones in the dtype unless that is None."""

    def one(leaf):
        array = xp.asarray(leaf)
        floating = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(dtype) if dtype is not None and floating else array

    return jax.tree.map(one, tree)


# Drawing


def draw_network(rng):
    loss = str(rng.choice(list(LOSSES)))
    depth = rng.integers(1, 7)
    widths = rng.choice(WIDTHS, depth + 1).tolist()
    if rng.random() < 0.5:
        widths[1:-1] = widths[1:2] * (depth - 1)
    if loss in ("cross_entropy", "squared_softmax"):
        widths[-1] = max(2, widths[-1])  # of one output softmax makes the constant 1
    blocks = []
    for inputs, outputs in pairwise(widths):
        same = inputs == outputs
        block = Block(inputs, outputs, str(rng.choice(list(ACTIVATIONS))), rng.random() < 0.2)
        residual, times = same and rng.random() < 0.4, int(same and rng.random() < 0.4) + 1
        blocks.append(block._replace(residual=residual, times=times))
    blocks[-1] = Block(*widths[-2:], str(rng.choice(LOSSES[loss].outputs)))
    penalty = float(rng.choice([0, 0, 1e-3, 0.1]))
    return Network(tuple(blocks), loss, penalty, str(rng.choice(list(FORMS))))


def draw_style(rng, xp):
    narrow = str(rng.choice(NARROW)) if rng.random() < 0.1 else None
    return Style(
        xp=xp,
        jitted=bool(xp is jnp and rng.random() < 0.5),
        with_value=bool(rng.random() < 0.5),
        slopes=int(rng.integers(6)),
        narrow=narrow,
        widened=bool(narrow is not None and rng.random() < 0.5),
    )


def draw_args(rng, network, batch, dtype, scale):
    no_bias, no_input = rng.random() < 0.3, rng.random() < 0.1
    layers = []
    for block in network.blocks:
        layer = {"w": scale * rng.normal(size=(block.inputs, block.outputs))}
        layer["b"] = scale * rng.normal(size=block.outputs) * (not no_bias)
        if block.normalized:
            layer["gain"] = 1 + 0.1 * rng.normal(size=block.inputs)
            layer["shift"] = 0.1 * rng.normal(size=block.inputs) * (not no_bias)
        layers.append(layer)
    x = rng.normal(size=(batch, network.blocks[0].inputs)) * (not no_input)
    y = LOSSES[network.loss].targets(rng, batch, network.blocks[-1].outputs)
    args = cast(np, (FORMS[network.form][0](layers), x, y), dtype)
    return args if dtype == "float64" or rng.random() < 0.5 else jax.tree.map(jnp.asarray, args)


def candidates(seed: int, count: int) -> Iterator[Candidate]:
    """Yields right candidates, alternately in NumPy and in jnp; the same ones for the same seed."""
    for start in range(0, count, DRAWS):
        rng = np.random.default_rng([seed, start])
        network, dtype = draw_network(rng), str(rng.choice(DTYPES))
        batch = int(rng.choice(BATCHES))
        narrow = str(rng.choice(NARROW)) if rng.random() < 0.05 else None
        fun = partial(loss_of, network, narrow)
        fun = jax.jit(fun) if rng.random() < 0.3 else fun
        style = draw_style(rng, jnp)
        in_jax = style, gradient_in(network, style)
        for index in range(start, min(start + DRAWS, count)):
            style = draw_style(rng, np)
            style, grad_fun = in_jax if index % 2 else (style, gradient_in(network, style))
            scale, args = draw_finite(rng, fun, network, batch, dtype)
            name = f"{index}: {dtype}, batch {batch}, weights of {scale:.0e}; {network}; {style}"
            name += f"; loss in {narrow}" if narrow else ""
            yield Candidate(name, fun, grad_fun, args)


def gradient_in(network, style):
    grad_fun = partial(gradient_of, network, style)
    return jax.jit(grad_fun) if style.jitted else grad_fun


def draw_finite(rng, fun, network, batch, dtype):
    """A scale of weights, and arguments at which the loss does not overflow."""
    while True:
        scale = 10 ** rng.uniform(-3, 2)
        args = draw_args(rng, network, batch, dtype, scale)
        if np.isfinite(fun(*args)):
            return scale, args


def main() -> int:
    parser = argparse.ArgumentParser(description="Compares random right gradients with autodiff.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    options = parser.parse_args()
    started, matches = time.monotonic(), 0
    for done, candidate in enumerate(candidates(options.seed, options.count), start=1):
        report = compare_gradients(candidate.fun, candidate.grad_fun, *candidate.args)
        matches += report.verdict == "match"
        if report.verdict != "match":
            print(f"\n{candidate.name}\n{report}\n")
        if done % 40 == 0 or done == options.count:
            print(f"{matches} of {done} match, {time.monotonic() - started:.0f} s", flush=True)
            jax.clear_caches()  # compiled programs would fill the memory
    return int(matches < options.count)


if __name__ == "__main__":
    raise SystemExit(main())
