"""Trains on files larger than the memory that a process may have, and times it beside memory.

    python -m benchmarks.larger_than_memory

Writes a table of 256 features and a class as NPY, Parquet and CSV, whose float32 numbers take more
than the limit on a process's data (RLIMIT_DATA: what it allocates, in whatever way). Under that
limit `jaxpercep train` fails, `jaxpercep train --stream` and `jaxpercep predict` end; their peak
resident memory is printed.

Then epochs from disk are timed in turn with epochs of `jp.fit` from memory, on a smaller table, and
the paired ratios printed with their quartiles. The files are in the page cache by then: this is
what reading and shuffling cost, not what a disk does.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

CLASSES = 10
FEATURES, TIMED_FEATURES = 256, 64
ROWS = 2**13  # that are written at a time
EXCESS = 1.25  # the size of the table, in limits
HIDDEN = ("128", "128")
LIMITED = """
import atexit, pathlib, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv.pop(1)),) * 2)
status, peak = pathlib.Path("/proc/self/status"), pathlib.Path(sys.argv.pop(1))
atexit.register(lambda: peak.write_text(status.read_text().split("VmHWM:")[1].split()[0]))
from jaxpercep.__main__ import main
sys.exit(main())
"""  # the peak that the system gives to a parent is not below that of the parent itself


# Files.


def rows_beyond(limit: int) -> int:
    """Returns how many rows take more than so many bytes as float32."""
    return int(EXCESS * limit / (4 * FEATURES))


def chunks(rows: int, features: int) -> Iterator[NDArray[np.float32]]:
    """Yields rows of features, and of a class that they decide."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(features, CLASSES))
    for first in range(0, rows, ROWS):
        x = rng.normal(size=(min(ROWS, rows - first), features)).round(2)
        yield np.column_stack([x, (x @ weights).argmax(axis=1)]).astype(np.float32)


def write_npy(path: Path, rows: int, features: int) -> None:
    """Writes a matrix."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (rows, features + 1)}
    with path.open("wb") as file:
        npy.write_array_header_1_0(file, header)
        for chunk in chunks(rows, features):
            chunk.tofile(file)


def write_by_arrow(path: Path, rows: int, features: int, opened: Callable[..., Any]) -> None:
    """Writes columns with names, by a writer of pyarrow."""
    import pyarrow as pa

    names = [*(f"x{i}" for i in range(features)), "y"]
    schema = pa.schema([(name, pa.float32()) for name in names[:-1]] + [("y", pa.int8())])
    with opened(path, schema) as writer:
        for chunk in chunks(rows, features):
            columns = [*chunk.T[:-1], chunk[:, -1].astype(np.int8)]
            writer.write_batch(pa.record_batch(list(map(pa.array, columns)), schema=schema))


def write(path: Path, rows: int, features: int = FEATURES) -> None:
    """Writes the table in the format that the end of the name says."""
    if path.suffix == ".npy":
        write_npy(path, rows, features)
        return
    from pyarrow import csv, parquet

    opened = {".csv": csv.CSVWriter, ".parquet": parquet.ParquetWriter}[path.suffix]
    write_by_arrow(path, rows, features, opened)


# Under the limit.


class Outcome(NamedTuple):
    """How a command ended: its exit code, its peak resident memory in bytes, what it said."""

    code: int
    peak: int
    said: str
    seconds: float


def limited(limit: int, *words: object) -> Outcome:
    """Runs `jaxpercep` with a limit on its data, in bytes."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said, tempfile.NamedTemporaryFile("r") as peak:
        command = [sys.executable, "-c", LIMITED, str(limit), peak.name, *map(str, words)]
        # Arrow's own pool reserves more than it uses, which counts as data.
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "ARROW_DEFAULT_MEMORY_POOL": "system"}
        code = subprocess.run(command, stdout=said, stderr=said, env=environment).returncode
        said.seek(0)
        seconds = time.perf_counter() - start
        return Outcome(code, 1024 * int(peak.read() or 0), said.read(), seconds)


def prove(path: Path, limit: int) -> dict[str, Outcome]:
    """Trains on a table from memory and from disk, and predicts, under the limit."""
    out = path.with_suffix("")
    words = ("--hidden", *HIDDEN, "--batch-size", 1024, "--epochs", 1, "--learning-rate", 0.003)
    train = ("train", path, *words, "--out", out)
    return {
        "train": limited(limit, *train),
        "train --stream": limited(limit, *train, "--stream"),
        "predict": limited(limit, "predict", out, path, "--out", path.with_suffix(".out")),
    }


# Speed.


def ways(path: Path, size: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Returns what trains for an epoch from memory, and from disk, on batches of this size."""
    import jax
    import jax.numpy as jnp
    import optax

    import jaxpercep as jp
    from jaxpercep.commands import samples, stored
    from jaxpercep.commands.arguments import Train
    from jaxpercep.commands.batches import ShuffledBatches

    arguments = Train(str(path), test_fraction=0.0)
    x, y = map(jnp.asarray, samples.prepare(arguments).parts["train"])
    folder = path.with_name(f"scratch{size}")
    folder.mkdir()
    part = stored.prepare(arguments, folder).parts["train"]
    sizes = (TIMED_FEATURES, *map(int, HIDDEN), CLASSES)
    model, optimizer = jp.mlp(sizes, jp.relu), optax.adam(0.001)
    start = model, jp.SoftmaxCrossEntropy(), optimizer
    state = jp.init_state(model, optimizer, jax.random.key(0))

    def from_disk() -> None:
        with ShuffledBatches(part, size, 1, 0) as batches:
            jp.fit_batches(*start, state, batches)

    key = jax.random.key(1)
    return partial(jp.fit, *start, state, x, y, epochs=1, batch_size=size, key=key), from_disk


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """Returns how long a call takes, by the wall clock and by the processor's."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def compare(
    folder: Path, rows: int, rounds: int, sizes: tuple[int, ...] = (256, 1024, 4096)
) -> None:
    """Times epochs from disk in turn with epochs from memory."""
    path = folder / "timed.npy"
    write(path, rows, TIMED_FEATURES)
    for size in sizes:
        both = ways(path, size)
        times = np.array([[seconds(way) for way in both] for _ in range(rounds + 1)])[1:]
        for clock, (memory, disk) in zip(("wall", "processor"), times.T, strict=True):
            low, middle, high = np.quantile(disk / memory, [0.25, 0.5, 0.75])
            step = 1e6 * np.median(memory) / (rows // size)
            print(
                f"batch {size}, {clock}: an epoch from disk takes {middle:.2f} ({low:.2f} to "
                f"{high:.2f}) times as long as one from memory, which takes {step:.0f} us a step",
                flush=True,
            )


def main(limit: int, formats: list[str], rounds: int) -> None:
    """Prints what each command does under the limit, in MiB, and how long epochs take."""
    with tempfile.TemporaryDirectory() as name:
        rows = rows_beyond(limit * 2**20)
        print(f"{rows:,} rows, {4 * rows * FEATURES / 2**20:.0f} MiB as float32; limit {limit} MiB")
        for suffix in formats:
            path = Path(name, f"table.{suffix}")
            write(path, rows)
            print(f"{suffix}, {path.stat().st_size / 2**20:.0f} MiB")
            for command, outcome in prove(path, limit * 2**20).items():
                last = outcome.said.strip().splitlines()[-1] if outcome.said.strip() else ""
                print(
                    f"  {command}: exit code {outcome.code}, peak {outcome.peak / 2**20:.0f} MiB, "
                    f"{outcome.seconds:.0f} s: {last.replace(name, '.')[:150]}",
                    flush=True,
                )
            path.unlink()
        if rounds:
            compare(Path(name), 2**18, rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=int, default=640, metavar="MIB")
    parser.add_argument("--formats", nargs="*", default=["npy", "parquet", "csv"])
    parser.add_argument("--rounds", type=int, default=15, help="0 times nothing")
    words = parser.parse_args()
    main(words.limit, words.formats, words.rounds)
