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
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).parents[1]
ROUNDS = 7
COMMAND = ("train", "xor", "--out", "model")
PHASES = {
    "trace": ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration"),
    "compile": ("backend_compile_duration", "cache_retrieval_time_sec"),
}


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
    found["all"] = time.perf_counter() - start
    found["run"] = found["all"] - sum(found[phase] for phase in ("import", *PHASES))
    print(json.dumps(found))
    sys.exit(code)


def sample(environment: dict[str, str], folder: str, *words: str) -> dict[str, float]:
    """Returns the seconds of each phase, in a fresh process; `process` is all it took."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.start_up", "--timed", *words]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    seconds = time.perf_counter() - start
    return {"process": seconds, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    """Prints a line for a run without kept programs, and one with them."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "XDG_CACHE_HOME": folder, "PYTHONPATH": str(ROOT)}
        sample(environment, folder)  # keeps the programs
        for _ in range(ROUNDS):
            found["without kept programs"].append(sample(environment, folder, "--no-cache"))
            found["with kept programs"].append(sample(environment, folder))
    for name, runs in found.items():
        low, _, high = quantiles((run["process"] for run in runs), n=4)
        phases = ("import", "trace", "compile", "run")
        parts = ", ".join(f"{phase} {median(r[phase] for r in runs):.2f}" for phase in phases)
        whole = median(run["process"] for run in runs)
        print(f"{name}: {whole:.2f} s ({low:.2f} to {high:.2f}): {parts}")


if __name__ == "__main__":
    timed() if "--timed" in sys.argv else main()
