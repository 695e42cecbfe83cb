"""Trainings of multi-layer perceptrons by `jp.fit` and in plain optax, for the scripts to time."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jax import lax

from benchmarks.peers import optax_plain
from benchmarks.results import Setting
from benchmarks.workloads import WORKLOADS

XOR, DEEPER_XOR = Setting("xor", (2, 2, 1), 4), Setting("xor", (2, 10, 10, 10, 1), 4)
CELLS = {
    "2-2-1 of sigmoid, XOR": (XOR, "sigmoid"),
    "2-2-1 of tanh, XOR": (XOR, "tanh"),
    "2-10-10-10-1 of sigmoid, batch 4": (DEEPER_XOR, "sigmoid"),
    "2-10-10-10-1 of tanh, batch 4": (DEEPER_XOR, "tanh"),
    "64-16-10 of tanh, batch 8": (Setting("classification", (64, 16, 10), 8), "tanh"),
    "24-8-2 of tanh, batch 200": (Setting("classification", (24, 8, 2), 200), "tanh"),
    "4-32-16-4 of tanh, batch 64": (Setting("classification", (4, 32, 16, 4), 64), "tanh"),
    "64-32-32-10 of tanh, batch 64": (Setting("classification", (64, 32, 32, 10), 64), "tanh"),
    "64-128-128-10 of tanh, batch 64": (Setting("classification", (64, 128, 128, 10), 64), "tanh"),
}

Run: TypeAlias = Callable[[int], Any]
"""Trains for a number of steps, and waits."""


def data(setting: Setting) -> tuple[jax.Array, jax.Array]:
    """Draws the inputs of one batch, and its labels or targets."""
    x, y = WORKLOADS[setting.workload].batches(setting, 1, seed=0)
    return jnp.asarray(x[0]), jnp.asarray(y[0])


def by_fit(setting: Setting, activation: str, method: Any) -> Run:
    """Trains by `jp.fit`, of whichever checkout has been imported."""
    import jaxpercep as jp  # not above: that of the process that trains

    loss = jp.BinaryCrossEntropy() if setting.workload == "xor" else jp.SoftmaxCrossEntropy()
    model, optimizer = jp.mlp(setting.sizes, getattr(jp, activation)), optax.sgd(0.01)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    fit = partial(jp.fit, model, loss, optimizer, state, *data(setting), method=method)
    return lambda steps: fit(steps=steps)


def optax_step(setting: Setting, activation: Any) -> tuple[Callable[..., Any], Any]:
    """Returns a step, (state, x, y) -> (state, loss), in plain optax, and its first state."""
    workload = replace(WORKLOADS[setting.workload], activation=activation, learning_rate=0.01)
    trainer = optax_plain.build(workload, setting, workload.initial(setting, seed=0))
    return trainer.step, trainer.state


def by_optax(setting: Setting, activation: str) -> Run:
    """Trains in plain optax, all steps in one compiled loop that keeps the losses.

    The samples are arguments of the program, as they are in `fit`.
    """
    step, start = optax_step(setting, activation)
    x, y = data(setting)

    @partial(jax.jit, static_argnums=3)
    def train(state: Any, x: jax.Array, y: jax.Array, steps: int) -> Any:
        def on_data(state: Any, _: None) -> Any:
            return step(state, x, y)

        return lax.scan(on_data, state, length=steps)

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
