"""Trainings of multi-layer perceptrons by `jp.fit` and in plain optax, for the scripts to time."""

import itertools
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

CELLS = {
    "2-2-1 of sigmoid, XOR": ((2, 2, 1), 4, "sigmoid"),
    "2-2-1 of tanh, XOR": ((2, 2, 1), 4, "tanh"),
    "2-10-10-10-1 of sigmoid, batch 4": ((2, 10, 10, 10, 1), 4, "sigmoid"),
    "2-10-10-10-1 of tanh, batch 4": ((2, 10, 10, 10, 1), 4, "tanh"),
    "64-16-10 of tanh, batch 8": ((64, 16, 10), 8, "tanh"),
    "24-8-2 of tanh, batch 200": ((24, 8, 2), 200, "tanh"),
    "4-32-16-4 of tanh, batch 64": ((4, 32, 16, 4), 64, "tanh"),
    "64-32-32-10 of tanh, batch 64": ((64, 32, 32, 10), 64, "tanh"),
    "64-128-128-10 of tanh, batch 64": ((64, 128, 128, 10), 64, "tanh"),
}

Run: TypeAlias = Callable[[int], Any]
"""Trains for a number of steps, and waits."""


def data(sizes: Sequence[int], batch: int) -> tuple[jax.Array, jax.Array]:
    """Draws inputs, and labels or, for one output, targets of 0 and 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0]))
    y = rng.integers(0, max(2, sizes[-1]), (batch, 1) if sizes[-1] == 1 else batch)
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32 if y.ndim == 2 else jnp.int32)


def by_fit(sizes: Sequence[int], batch: int, activation: str, method: Any) -> Run:
    """Trains by `jp.fit`, of whichever checkout has been imported."""
    import jaxpercep as jp  # not above: that of the process that trains

    loss = jp.BinaryCrossEntropy() if sizes[-1] == 1 else jp.SoftmaxCrossEntropy()
    model, optimizer = jp.mlp(sizes, getattr(jp, activation)), optax.sgd(0.01)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    fit = partial(jp.fit, model, loss, optimizer, state, *data(sizes, batch), method=method)
    return lambda steps: fit(steps=steps)


def optax_step(sizes: Sequence[int], activation: str) -> tuple[Callable[..., Any], Any]:
    """Returns a step, (carry, x, y) -> (carry, loss), in plain jax.numpy and optax, and a carry."""
    optimizer, function = optax.sgd(0.01), getattr(jax.nn, activation)
    rng = np.random.default_rng(0)
    params = [
        (jnp.asarray(rng.normal(size=s) / s[0], jnp.float32), jnp.zeros(s[1]))
        for s in itertools.pairwise(sizes)
    ]

    def objective(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        *hidden, (w, b) = params
        for v, c in hidden:
            x = function(x @ v + c)
        p = x @ w + b
        if sizes[-1] == 1:
            return optax.sigmoid_binary_cross_entropy(p, y).mean()
        return optax.softmax_cross_entropy_with_integer_labels(p, y).mean()

    def step(carry: Any, x: jax.Array, y: jax.Array) -> Any:
        params, opt_state = carry
        loss, grads = jax.value_and_grad(objective)(params, x, y)
        updates, opt_state = optimizer.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), loss

    return step, (params, optimizer.init(params))


def by_optax(sizes: Sequence[int], batch: int, activation: str) -> Run:
    """Trains in plain optax, all steps in one compiled loop that keeps the losses.

    The samples are arguments of the program, as they are in `fit`.
    """
    step, start = optax_step(sizes, activation)
    x, y = data(sizes, batch)

    @partial(jax.jit, static_argnums=3)
    def train(carry: Any, x: jax.Array, y: jax.Array, steps: int) -> Any:
        def on_data(carry: Any, _: None) -> Any:
            return step(carry, x, y)

        return lax.scan(on_data, carry, length=steps)

    return lambda steps: jax.block_until_ready(train(start, x, y, steps))


@cache
def training(way: str, cell: str) -> Run:
    """Returns the training of one of `CELLS` in plain optax, or by a method of `fit`."""
    return by_optax(*CELLS[cell]) if way == "optax" else by_fit(*CELLS[cell], way)


def seconds(_: object, way: str, cell: str, steps: int) -> float:
    """Returns the processor's seconds for a step, called in a worker process."""
    start = time.process_time()
    training(way, cell)(steps)
    return (time.process_time() - start) / steps
