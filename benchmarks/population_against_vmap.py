"""Times `jp.train_population` in turn with `jax.vmap` of a gradient step in plain JAX.

    python -m benchmarks.population_against_vmap

The two are run in turn, and the median of the paired ratios is printed with its quartiles. Time is
that of the process, on one core: run it under `taskset -c 0` where there are several.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

import jaxpercep as jp
from benchmarks.fit_against import data

CELLS = {
    "1024 of 2-10-10-10-1": ((2, 10, 10, 10, 1), 1024, 256),
    "65536 of 2-2-1": ((2, 2, 1), 65536, 256),
}


def by_vmap(model: jp.Layer, keys: jax.Array, x: jax.Array, y: jax.Array) -> Callable[[int], Any]:
    """Trains by `jax.vmap` of a step of plain JAX, all steps in one compiled loop."""

    def objective(params: Any) -> jax.Array:
        h = x
        for w, b in params[:-1]:
            h = jax.numpy.tanh(h @ w + b)
        p = h @ params[-1][0] + params[-1][1]
        return optax.sigmoid_binary_cross_entropy(p, y).mean()

    def step(params: Any, _: None) -> Any:
        loss, grads = jax.vmap(jax.value_and_grad(objective))(params)
        return optax.apply_updates(params, optax.tree.scale(-0.1, grads)), loss

    params = [tuple(p) for p in jax.vmap(model.init)(keys) if p]

    @partial(jax.jit, static_argnums=1)
    def train(params: Any, steps: int) -> Any:
        return jax.lax.scan(step, params, length=steps)

    return lambda steps: jax.block_until_ready(train(params, steps))


def timed(run: Callable[[int], Any], steps: int) -> float:
    """Returns the processor time of a run."""
    start = time.process_time()
    run(steps)
    return time.process_time() - start


def compare(cell: str, rounds: int) -> str:
    """Times a cell, and describes how it compares."""
    sizes, networks, steps = CELLS[cell]
    x, y = data(sizes, 4)
    model, keys = jp.mlp(sizes, jp.tanh), jax.random.split(jax.random.key(0), networks)
    arguments = model, jp.BinaryCrossEntropy(), optax.sgd(0.1), keys, x, y

    def ours(steps: int) -> Any:
        return jp.train_population(*arguments, steps=steps)

    theirs = by_vmap(model, keys, x, y)
    for run in (ours, theirs):
        run(steps)  # compiles
    pairs = np.array([(timed(ours, steps), timed(theirs, steps)) for _ in range(rounds)])
    ratios = pairs[:, 1] / pairs[:, 0]
    each = 1e9 * np.median(pairs[:, 0]) / (networks * steps)
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    spread = f"{middle:.1f} ({low:.1f} to {high:.1f})"
    return f"{cell}: {each:.0f} ns a network and step; vmap takes {spread} times as long"


def main() -> None:
    """Prints a line for each cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print(f"JAX {jax.__version__}")
    for cell in CELLS:
        print(compare(cell, options.rounds), flush=True)


if __name__ == "__main__":
    main()
