"""Times `jp.fit` of this checkout in turn with that of another, and with plain optax.

    python -m benchmarks.fit_against ../before

The other is the folder of a checkout, a commit of this one, or a Python environment. Each has a
process of its own; they are asked in turn, sample by sample, and the medians of the paired ratios
are printed with their quartiles. Time is that of the process, whatever else runs.
"""

import tempfile
from functools import partial
from pathlib import Path

import jax
import numpy as np
import tyro

from benchmarks import machine
from benchmarks.in_turn import in_turn, quartiles
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.sides import NEW, OLD, prepare
from benchmarks.small_networks import CELLS, seconds

SECONDS = 0.3  # of a sample
PATIENCE = 600.0  # seconds for one

WAYS = {
    "fit": (NEW, "manual"),
    "fit before": (OLD, "manual"),
    "optax": (NEW, "optax"),
    "autodiff": (NEW, "autodiff"),
}
"""The side that trains, and how."""


def compare(cell: str, pool: WorkerPool, rounds: int) -> str:
    """Times a cell, and describes how it compares."""
    sample = partial(pool.call, NEW, seconds, "manual", cell)
    steps, _ = 1000, sample(1000)  # compiles
    while steps * sample(steps) < SECONDS:
        steps *= 2
    sides = [partial(pool.call, side, seconds, way, cell, steps) for side, way in WAYS.values()]
    ours, *others = in_turn(sides, rounds)
    told = [f"{name} {quartiles(a / ours)}" for name, a in zip([*WAYS][1:], others, strict=True)]
    return f"{cell}: {1e9 * np.median(ours):.0f} ns a step; times as long: {', '.join(told)}"


def main(before: tyro.conf.Positional[str], rounds: int = 9) -> None:
    """Prints a line for each cell."""
    print(f"JAX {jax.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        homes = prepare(before, Path(folder))
        with WorkerPool(machine.cores(), PATIENCE, homes) as pool:
            for cell in CELLS:
                print(compare(cell, pool, rounds), flush=True)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
