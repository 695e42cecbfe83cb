"""Times epochs of `jp.fit_batches`, from memory and from disk, in turn with epochs of `jp.fit`.

    python -m benchmarks.batches_against_fit

All train 64-128-128-10 on the same data. `fit` gathers shuffled rows of an array on the device; the
batches from memory are slices of a NumPy array, by hand; those from disk are read and shuffled as
`jaxpercep train --stream` does. The file is in the page cache: this is what reading and shuffling
cost, not what a disk does. The medians of the paired ratios of the wall clock's time and of the
processor's are printed with their quartiles.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from numpy.typing import NDArray

import jaxpercep as jp
from benchmarks.in_turn import in_turn, quartiles, wall_and_processor
from jaxpercep.commands import stored
from jaxpercep.commands.arguments import Train
from jaxpercep.commands.batches import ShuffledBatches

SIZES, LOSS = (64, 128, 128, 10), jp.SoftmaxCrossEntropy()
IN_MEMORY = {64: 1000, 256: 400, 1024: 150}  # batch size -> steps of an epoch
ON_DISK = {256: 1024, 1024: 256, 4096: 64}

Pair: TypeAlias = tuple[Callable[[], Any], Callable[[], Any]]
"""Trainings of an epoch: by `fit`, and by `fit_batches`."""


def drawn(rows: int) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Draws features and labels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, SIZES[0])).astype(np.float32)
    return x, rng.integers(0, SIZES[-1], rows).astype(np.int32)


def from_memory(size: int) -> Pair:
    """Trains on batches of this size, by hand and by gradient descent."""
    x, y = drawn(size * IN_MEMORY[size])
    batches = [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]
    model, optimizer = jp.mlp(SIZES, jp.tanh), optax.sgd(0.1)
    start = model, LOSS, optimizer, jp.init_state(model, optimizer, jax.random.key(0))
    fit = partial(jp.fit, *start, jnp.array(x), jnp.array(y), epochs=1, batch_size=size)
    return (
        partial(fit, key=jax.random.key(1), method="manual"),
        partial(jp.fit_batches, *start, batches, method="manual"),
    )


def from_disk(size: int, folder: Path) -> Pair:
    """Trains on batches of this size as the command line does, and writes their table."""
    x, y = drawn(size * ON_DISK[size])
    np.save(folder / "table.npy", np.column_stack([x, y.astype(np.float32)]))
    arguments = Train(str(folder / "table.npy"), test_fraction=0.0)
    part = stored.prepare(arguments, folder).parts["train"]
    model, optimizer = jp.mlp(SIZES, jp.relu), optax.adam(0.001)
    start = model, LOSS, optimizer, jp.init_state(model, optimizer, jax.random.key(0))

    def fit_batches() -> None:
        with ShuffledBatches(part, size, 1, 0) as batches:
            jp.fit_batches(*start, batches)

    fit = partial(jp.fit, *start, jnp.array(x), jnp.array(y), epochs=1, batch_size=size)
    return partial(fit, key=jax.random.key(1)), fit_batches


def compare(what: str, size: int, pair: Pair, steps: int, rounds: int) -> None:
    """Times both in turn, and prints what each of the clocks says."""
    times = in_turn([partial(wall_and_processor, train) for train in pair], rounds)
    for clock, (fit, batches) in zip(("wall", "processor"), np.moveaxis(times, 2, 0), strict=True):
        step = 1e6 * np.median(fit) / steps
        said = f"{quartiles(batches / fit)} times as long as fit's {step:.0f} us a step"
        print(f"batch {size}, {clock}: {what} takes {said}", flush=True)


def main(rounds: int = 21) -> None:
    """Prints a line for each size of the batches, from memory and from disk, and each clock."""
    print(f"JAX {jax.__version__}")
    for size, steps in IN_MEMORY.items():
        compare("fit_batches", size, from_memory(size), steps, rounds)
    for size, steps in ON_DISK.items():
        with tempfile.TemporaryDirectory() as folder:
            pair = from_disk(size, Path(folder))
            compare("fit_batches from disk", size, pair, steps, rounds)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
