"""Splits the time of `jaxpercep train xor`, in a fresh process, into import, trace, compile, run.

    python -m benchmarks.start_up

Without kept programs and with them, in turn; medians, and the quartiles of the whole.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROUNDS = 7
COMMAND = ("train", "xor", "--out", "model")
PHASES = {
    "trace": ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration"),
    "compile": ("backend_compile_duration", "cache_retrieval_time_sec"),
}
PARTS = "import", *PHASES, "run"


def timed() -> None:
    """Runs the command in this process, and prints the seconds of each phase as JSON."""
    start = time.perf_counter()
    from jaxpercep import cli

    if "--no-cache" not in sys.argv:
        cli.keep_programs()
    import jax

    import jaxpercep.commands.actions  # noqa: F401  # what the command imports

    found: dict[str, float] = defaultdict(float)
    found["import"] = time.perf_counter() - start

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        for phase, names in PHASES.items():
            found[phase] += duration_secs * event.endswith(names)

    jax.monitoring.register_event_duration_secs_listener(listen)
    code = cli.main([*COMMAND, *sys.argv[2:]])
    found["run"] = time.perf_counter() - start - sum(found.values())
    print(json.dumps(found))
    sys.exit(code)


def sample(environment: dict[str, str], folder: str, *words: str) -> list[float]:
    """Returns the seconds that a fresh process takes, and those of each of its `PARTS`."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.start_up", "--timed", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    seconds, found = time.perf_counter() - start, json.loads(done.stdout.splitlines()[-1])
    return [seconds, *(found[part] for part in PARTS)]


def main() -> None:
    """Prints a line for a run without kept programs, and one with them."""
    import numpy as np  # not above: what the timed process imports is timed

    from benchmarks.in_turn import in_turn, quartiles

    ways = {"without kept programs": "--no-cache", "with kept programs": ""}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder, "PYTHONPATH": str(ROOT)}
        samplers = [partial(sample, environment, folder, *word.split()) for word in ways.values()]
        found = in_turn(samplers, ROUNDS)  # the warm-up keeps the programs
    for name, runs in zip(ways, found, strict=True):
        whole, *parts = runs.T
        told = [f"{part} {np.median(s):.2f}" for part, s in zip(PARTS, parts, strict=True)]
        print(f"{name}: {quartiles(whole, ' s')}: {', '.join(told)}")


if __name__ == "__main__":
    timed() if "--timed" in sys.argv else main()
