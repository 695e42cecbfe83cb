"""Trains on files larger than the memory that a process may have, and predicts from them.

    python tests/limited_memory.py --limit 768

Writes a table of 256 features and a class as NPY, Parquet and CSV, whose float32 numbers take more
than the limit on a process's data (RLIMIT_DATA: what it allocates, in whatever way). Under that
limit `jaxpercep train` fails, `jaxpercep train --stream` and `jaxpercep predict` end; their peak
resident memory is printed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

CLASSES = 10
FEATURES = 256
ROWS = 2**13  # that are written at a time
EXCESS = 1.25  # the size of the table, in limits
LIMIT = 768  # MiB: a Parquet reader holds a page, 1 MiB, of each of the 257 columns
ROOT = Path(__file__).parents[1]
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
        environment = {
            **os.environ,
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        code = subprocess.run(command, stdout=said, stderr=said, env=environment).returncode
        said.seek(0)
        seconds = time.perf_counter() - start
        return Outcome(code, 1024 * int(peak.read() or 0), said.read(), seconds)


def prove(path: Path, limit: int) -> dict[str, Outcome]:
    """Trains on a table from memory and from disk, and predicts, under the limit."""
    out = path.with_suffix("")
    words = ("--hidden", 128, 128, "--batch-size", 1024, "--epochs", 1, "--learning-rate", 0.003)
    train = ("train", path, *words, "--out", out)
    return {
        "train": limited(limit, *train),
        "train --stream": limited(limit, *train, "--stream"),
        "predict": limited(limit, "predict", out, path, "--out", path.with_suffix(".out")),
    }


def main(limit: int, formats: list[str]) -> None:
    """Prints what each command does under the limit, in MiB."""
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--limit", type=int, default=LIMIT, metavar="MIB")
    parser.add_argument("--formats", nargs="*", default=["npy", "parquet", "csv"])
    words = parser.parse_args()
    main(words.limit, words.formats)
