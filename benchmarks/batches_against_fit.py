"""Times `jp.fit_batches` from memory in turn with `jp.fit`, by hand, on 64-128-128-10.

    python -m benchmarks.batches_against_fit

Both train for one epoch of the same data: `fit` gathers shuffled rows of an array on the device,
the batches are slices of a NumPy array. The medians of the paired ratios of the wall clock's time
and of the processor's are printed with their quartiles.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxpercep as jp

MODEL, LOSS = jp.mlp([64, 128, 128, 10], jp.tanh), jp.SoftmaxCrossEntropy()
OPTIMIZER = optax.sgd(0.1)
STEPS = {64: 1000, 256: 400, 1024: 150}
ROUNDS = 21


def ways(size: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Returns what trains for one epoch of batches of this size, by `fit` and by `fit_batches`."""
    rng, n = np.random.default_rng(0), size * STEPS[size]
    x = rng.normal(size=(n, 64)).astype(np.float32)
    y = rng.integers(0, 10, n).astype(np.int32)
    batches = [(x[i : i + size], y[i : i + size]) for i in range(0, n, size)]
    start = MODEL, LOSS, OPTIMIZER, jp.init_state(MODEL, OPTIMIZER, jax.random.key(0))
    fit = partial(jp.fit, *start, jnp.array(x), jnp.array(y), epochs=1, batch_size=size)
    return (
        partial(fit, key=jax.random.key(1), method="manual"),
        partial(jp.fit_batches, *start, batches, method="manual"),
    )


def seconds(train: Callable[[], Any]) -> tuple[float, float]:
    """Returns how long a call takes, by the wall clock and by the processor's."""
    start = time.perf_counter(), time.process_time()
    train()
    return time.perf_counter() - start[0], time.process_time() - start[1]


if __name__ == "__main__":
    print(f"JAX {jax.__version__}")
    for size, steps in STEPS.items():
        trained = ways(size)
        times = np.array([[seconds(train) for train in trained] for _ in range(ROUNDS + 1)])[1:]
        for clock, (fit, ours) in zip(("wall", "processor"), times.T, strict=True):
            low, middle, high = np.quantile(ours / fit, [0.25, 0.5, 0.75])
            told = f"fit_batches takes {middle:.2f} ({low:.2f} to {high:.2f}) times as long as fit"
            print(f"batch {size}, {clock}: {told}'s {1e6 * np.median(fit) / steps:.0f} us a step")
