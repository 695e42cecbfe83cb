"""Kills a training process at random moments, and compares what it ends in with an unkilled run.

    python tests/kill.py --kills 100 --seed 0

A child trains with checkpoints, and is killed (SIGKILL) while it starts, trains or writes one. It
is started again until it ends; state and history must be those of a run without checkpoints, bit
for bit. A child says on standard output where it is: `b` it has begun to train, `(` it begins to
write a checkpoint, `)` that one is complete.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
CASES = ("full batch", "batches", "early stopping", "noise", "generator", "Grain")
AIMS = ("start", "training", "training", "saving", "saving")
SECONDS_OF_A_START = 3.0
SECONDS_OF_A_CHILD = 1.0  # of training, before a kill that is not aimed at a save
KILLS_OF_A_RUN = 12  # at most, then it may end
KEEP = 2
KEPT_PROGRAMS = {  # or compiling takes most of the time
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir(), "jaxpercep-kill-programs")),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # as in `keep_programs`
}


# The child


def options_of(case: str, x: Any, y: Any) -> dict[str, Any]:
    """Returns arguments of `fit`, or of `fit_batches` if there are batches among them."""
    import jax
    import optax

    import jaxpercep as jp

    data = {"x": jax.numpy.asarray(x), "y": jax.numpy.asarray(y)}
    validation = {"validation": (x[:8] + 1, y[:8] ** 2), "validate_every": 1000}
    batches = {"batch_size": 8, "key": jax.random.key(7)}
    noise = optax.add_noise(0.01, 0.5, key=jax.random.key(3))
    never, soon = jp.EarlyStopping(10**6), jp.EarlyStopping(50)
    return {
        "full batch": {"optimizer": optax.sgd(0.01, momentum=0.5), "steps": 60_000, **data},
        "batches": {"optimizer": optax.adam(0.001), "steps": 60_007, **data, **batches}
        | {**validation, "early_stopping": never, "method": "manual"},
        "early stopping": {"optimizer": optax.adam(0.001), "steps": 10**8, **data, **batches}
        | {"validation": (x, -y), "validate_every": 1000, "early_stopping": soon},
        "noise": {"optimizer": optax.chain(noise, optax.sgd(0.01)), "steps": 60_000, **data}
        | validation,
        "generator": {"optimizer": optax.adam(0.001), "batches": drawn(x, y)},
        "Grain": {"optimizer": optax.chain(noise, optax.sgd(0.01)), "method": "manual"}
        | {"batches": read_by_grain(x, y) if case == "Grain" else None},
    }[case]


def drawn(x: Any, y: Any) -> Iterator[tuple[Any, Any]]:
    """Gives 30,000 batches of 8, one among 100 of 5."""
    rng = np.random.default_rng(3)
    for number in range(30_000):
        rows = rng.integers(len(x), size=8 if number % 100 else 5)
        yield x[rows], y[rows]


def read_by_grain(x: Any, y: Any) -> Any:
    """Gives 3 batches of 8 and one of 6 in each of 1,000 epochs, shuffled."""
    import grain

    rows = grain.MapDataset.range(len(x)).shuffle(seed=3).batch(8).repeat(1000)
    read = grain.ReadOptions(num_threads=2, prefetch_buffer_size=16)
    return rows.map(lambda rows: (x[rows], y[rows])).to_iter_dataset(read)


def train(case: str, folder: str, result: str) -> None:
    """Trains, and writes everything that is returned; without a folder it keeps nothing."""
    import jax

    import jaxpercep as jp
    from jaxpercep import batches, loop
    from jaxpercep._files.series import Series
    from jaxpercep._identity import raw

    loop.SECONDS_PER_CALL = batches.SECONDS_PER_CALL = 0.02
    write = Series.write

    def announced(*arguments: Any) -> None:
        os.write(1, b"(")
        write(*arguments)
        os.write(1, b")")

    Series.write = announced
    x = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    y = np.sin(x.sum(-1, keepdims=True))
    options = options_of(case, x, y)
    model, optimizer = jp.mlp([4, 8, 8, 1], jp.tanh), options.pop("optimizer")
    fit = jp.fit_batches if "batches" in options else jp.fit
    state, history = fit(
        model,
        jp.SquaredError(),
        optimizer,
        jp.init_state(model, optimizer, jax.random.key(1)),
        **options,
        callback=lambda *_: os.write(1, b"b") and None,
        checkpoints=jp.Checkpoints(folder, every_seconds=0.05, keep=KEEP) if folder else None,
    )
    found = {f"state {i}": raw(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
    found |= {name: np.array(str(value)) for name, value in vars(history).items()}
    arrays = {"loss": history.loss, "validation": history.validation}
    np.savez(result, **found | arrays | {"validated": history.validated})


# The parent


def start(case: str, folder: Path | str, result: Path) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    words = ["--child", case, str(folder), str(result)]
    return subprocess.Popen(
        [sys.executable, "-W", "error::RuntimeWarning", __file__, *words],
        env={**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", **KEPT_PROGRAMS},
        stdout=subprocess.PIPE,
    )


def outcome(result: Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Reads what a child returned, in bits."""
    with np.load(result) as arrays:
        return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in arrays.items()}


class Hunt:
    """Kills children, and counts where.

    Attributes:
        kills: how many, in all and by where they hit.
        saving: the seconds that the last save took.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.saving = 0.05

    def kill(self, process: subprocess.Popen[bytes], folder: Path) -> bool:
        """Kills a child at a random moment, unless it ends before; returns True if it killed."""
        aim, seen = self.rng.choice(AIMS), b""
        if aim == "start":
            time.sleep(self.rng.uniform(0, SECONDS_OF_A_START))
        elif aim == "training":
            seen = self.wait(process, b"b", 1)
            time.sleep(self.rng.uniform(0, SECONDS_OF_A_CHILD))
        else:
            seen = self.wait(process, b"(", self.rng.randint(1, 4))
            time.sleep(self.rng.uniform(0, 1.1 * self.saving))
        process.kill()
        seen += process.stdout.read()
        process.wait()
        if process.returncode != -signal.SIGKILL:
            return False
        self.kills["all"] += 1
        self.kills["while starting"] += not seen
        self.kills["while saving"] += seen.count(b"(") > seen.count(b")")
        self.kills["half-written"] += any(folder.glob("*.orbax-checkpoint-tmp*"))
        return True

    def wait(self, process: subprocess.Popen[bytes], mark: bytes, times: int) -> bytes:
        """Reads until the child has said this so often, or has ended."""
        seen, began = b"", 0.0
        while seen.count(mark) < times and (said := os.read(process.stdout.fileno(), 1)):
            seen += said
            if said == b"(":
                began = time.perf_counter()
            if said == b")":
                self.saving = time.perf_counter() - began
        return seen


def run(hunt: Hunt, case: str, folder: Path, kills: int, expected: dict[str, Any]) -> None:
    """Trains to the end, through so many kills at most, and compares the result."""
    result = folder.with_suffix(".npz")
    for attempt in range(kills + 1):
        with start(case, folder, result) as process:
            if attempt == kills or not hunt.kill(process, folder):
                process.communicate()
                break
    if process.returncode:
        raise SystemExit(f"{case}: the child failed with {process.returncode}")
    found = outcome(result)
    differs = [name for name in expected if found[name] != expected[name]]
    if differs:
        raise SystemExit(f"{case}: differs from the unkilled run in {', '.join(differs)}")
    names = sorted(path.name for path in folder.iterdir())
    if not (names[0] == ".lock" and len(names) <= KEEP + 1 and all(map(str.isdecimal, names[1:]))):
        raise SystemExit(f"{case}: the folder holds {names}")


def main(kills: int, seed: int, cases: Sequence[str] = CASES) -> Counter[str]:
    """Kills so many children; returns how many were killed where, and how many runs ended."""
    hunt, runs, expected = Hunt(seed), Counter(), {}
    with tempfile.TemporaryDirectory() as name:
        while hunt.kills["all"] < kills:
            case = cases[runs.total() % len(cases)]
            if case not in expected:
                result = Path(name, "expected.npz")
                with start(case, "", result) as process:
                    process.communicate()
                expected[case] = outcome(result)
            most = min(KILLS_OF_A_RUN, kills - hunt.kills["all"])
            run(hunt, case, Path(name, f"run{runs.total()}"), most, expected[case])
            runs[case] += 1
            print(f"{case}: as the unkilled run; so far {dict(hunt.kills)}", flush=True)
    return hunt.kills + Counter(runs=runs.total())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        train(*words.child)
    else:
        counts = main(words.kills, words.seed, words.cases)
        print(", ".join(f"{name}: {count}" for name, count in counts.items()))
