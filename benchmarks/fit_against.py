"""Times `jp.fit` of this checkout in turn with that of another, and with plain optax.

    git worktree add ../before REV
    python -m benchmarks.fit_against ../before

Each checkout has a process of its own; they are asked in turn, sample by sample, and the medians of
the paired ratios are printed with their quartiles. Time is that of the process, whatever else runs.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

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
SECONDS = 0.3  # of a sample

Run = Callable[[int], Any]
"""Trains for a number of steps, and waits."""


def data(sizes: Sequence[int], batch: int) -> tuple[jax.Array, jax.Array]:
    """Draws inputs, and labels or, for one output, targets of 0 and 1."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, sizes[0]))
    y = rng.integers(0, max(2, sizes[-1]), (batch, 1) if sizes[-1] == 1 else batch)
    return jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32 if y.ndim == 2 else jnp.int32)


def by_fit(sizes: Sequence[int], batch: int, activation: str, method: Any) -> Run:
    """Trains by `jp.fit`, of whichever checkout has been imported."""
    import jaxpercep as jp  # not before: each process has its own

    loss = jp.BinaryCrossEntropy() if sizes[-1] == 1 else jp.SoftmaxCrossEntropy()
    model, optimizer = jp.mlp(sizes, getattr(jp, activation)), optax.sgd(0.01)
    x, y = data(sizes, batch)
    state = jp.init_state(model, optimizer, jax.random.key(0))
    fit = partial(jp.fit, model, loss, optimizer, state, x, y, method=method)
    return lambda steps: fit(steps=steps)


def by_optax(sizes: Sequence[int], batch: int, activation: str) -> Run:
    """Trains by plain jax.numpy and optax, all steps in one compiled loop that keeps the losses.

    The samples are arguments of the program, as they are in `fit`.
    """
    x, y = data(sizes, batch)
    optimizer, function = optax.sgd(0.01), getattr(jax.nn, activation)
    rng = np.random.default_rng(0)
    shapes = list(itertools.pairwise(sizes))
    params = [
        (jnp.asarray(rng.normal(size=s) / s[0], jnp.float32), jnp.zeros(s[1])) for s in shapes
    ]

    def objective(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        h = x
        for w, b in params[:-1]:
            h = function(h @ w + b)
        p = h @ params[-1][0] + params[-1][1]
        if sizes[-1] == 1:
            return optax.sigmoid_binary_cross_entropy(p, y).mean()
        return optax.softmax_cross_entropy_with_integer_labels(p, y).mean()

    @partial(jax.jit, static_argnums=3)
    def train(carry: Any, x: jax.Array, y: jax.Array, steps: int) -> Any:
        def step(carry: Any, _: None) -> Any:
            params, opt_state = carry
            loss, grads = jax.value_and_grad(objective)(params, x, y)
            updates, opt_state = optimizer.update(grads, opt_state)
            return (optax.apply_updates(params, updates), opt_state), loss

        return lax.scan(step, carry, length=steps)

    carry = params, optimizer.init(params)
    return lambda steps: jax.block_until_ready(train(carry, x, y, steps))


def serve() -> None:
    """Answers each line, `way, cell, steps`, with the seconds a step takes."""
    made: dict[tuple[str, str], Run] = {}
    for line in sys.stdin:
        way, cell, steps = line.rstrip("\n").split("; ")
        if (way, cell) not in made:
            made[way, cell] = (
                by_optax(*CELLS[cell]) if way == "optax" else by_fit(*CELLS[cell], way)
            )
            made[way, cell](int(steps))  # compiles
        start = time.process_time()
        made[way, cell](int(steps))
        print((time.process_time() - start) / int(steps), flush=True)


class Checkout:
    """A process that imports the jaxpercep of a folder."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )

    def seconds(self, way: str, cell: str, steps: int) -> float:
        """Returns the seconds that a step takes."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(way, cell, steps, sep="; ", file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())


def compare(cell: str, here: Checkout, before: Checkout, rounds: int) -> str:
    """Times a cell, and describes how it compares."""
    others = {"fit before": (before, "manual"), "optax": (here, "optax")}
    steps = 1000
    while steps * here.seconds("manual", cell, steps) < SECONDS:
        steps *= 2
    ratios: dict[str, list[float]] = {name: [] for name in (*others, "autodiff")}
    times = []
    for _ in range(rounds):
        times.append(here.seconds("manual", cell, steps))
        for name, (checkout, way) in {**others, "autodiff": (here, "autodiff")}.items():
            ratios[name].append(checkout.seconds(way, cell, steps) / times[-1])
    told = (
        f"{name} {np.median(r):.2f} ({np.quantile(r, 0.25):.2f} to {np.quantile(r, 0.75):.2f})"
        for name, r in ratios.items()
    )
    return f"{cell}: {1e9 * np.median(times):.0f} ns a step; times as long: {', '.join(told)}"


def main() -> None:
    """Prints a line for each cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path, nargs="?", help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve()
    here, before = Checkout(Path(__file__).parents[1]), Checkout(options.before)
    print(f"JAX {jax.__version__}")
    for cell in CELLS:
        print(compare(cell, here, before, options.rounds), flush=True)
    return None


if __name__ == "__main__":
    main()
