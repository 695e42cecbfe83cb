"""Random networks in jnp, each with its gradient written by hand."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from catalogue.right.functions import ACTIVATIONS, LOSSES
from catalogue.right.networks import FORMS, Block, Network, Style, cast, gradient_of, loss_of

DRAWS = 8  # successive candidates that share an architecture, and so its compiled programs
WIDTHS = (1, 2, 3, 5, 8, 16)
BATCHES = (1, 1, 2, 5, 8)
DTYPES = ("float32", "float32", "float64", "bfloat16")
NARROW = ("float32", "bfloat16")


class Candidate(NamedTuple):
    """A loss `fun(params, x, y)`, and its gradient in params, or (loss, gradient), by hand."""

    name: str
    fun: Callable[..., jax.Array]
    grad_fun: Callable[..., Any]
    args: tuple[Any, ...]


def draw_network(rng):
    loss = str(rng.choice(list(LOSSES)))
    depth = rng.integers(1, 7)
    widths = rng.choice(WIDTHS, depth + 1).tolist()
    if rng.random() < 0.5:
        widths[1:-1] = widths[1:2] * (depth - 1)
    if loss in ("cross_entropy", "squared_softmax"):
        widths[-1] = max(2, widths[-1])  # the softmax of one output is the constant 1
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
    """Draws a scale of weights, and arguments at which the loss does not overflow."""
    while True:
        scale = 10 ** rng.uniform(-3, 2)
        args = draw_args(rng, network, batch, dtype, scale)
        if np.isfinite(fun(*args)):
            return scale, args
