"""The peak rates of this machine: float32 matrix products, and copying memory; by JAX."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

ORDERS = (256, 512, 1024, 2048)
REPEATS = 8
COPIED = 2**27  # bytes: far more than the caches hold


class Peaks(NamedTuple):
    """Best rates.

    Attributes:
        gflops: 1e9 floating point operations a second, in products of square float32 matrices.
        copy_bandwidth: bytes a second, reads and writes together.
    """

    gflops: float
    copy_bandwidth: float


def measure_peaks() -> Peaks:
    """Measures both: the best of several repeats, and for products of several orders."""
    import jax
    import jax.numpy as jnp

    product = jax.jit(jnp.matmul)

    def multiply(a: jax.Array) -> None:
        product(a, a).block_until_ready()

    rates = [2 * n**3 / _best(partial(multiply, jnp.ones((n, n)))) for n in ORDERS]

    # In place, for fresh memory would measure the kernel that provides its pages.
    add = jax.jit(_add_one, donate_argnums=0)
    held = [jnp.zeros(COPIED // 4)]

    def copy() -> None:
        held[0] = add(held[0]).block_until_ready()

    return Peaks(max(rates) / 1e9, 2 * COPIED / _best(copy))


def _add_one(a: float) -> float:
    return a + 1


def _best(run: Callable[[], None]) -> float:
    """Returns the fewest seconds of several runs, after one to warm up."""
    run()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)
