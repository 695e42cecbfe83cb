"""`python -m benchmarks`: from the arguments to the folder of results."""

import datetime
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks import machine, report
from benchmarks.arguments import PROGRAM, Run, UsageError
from benchmarks.machine import Usage
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.progress import progress_bar
from benchmarks.measure.runner import Runner
from benchmarks.peers import METHODS, Method
from benchmarks.plan import PROFILES, Profile
from benchmarks.results import RESULTS, SCHEMA, Absence, Reason, Results, load, save, unfinished
from jaxpercep._files.writing import replace_folder


def main(command: Run) -> int:
    """Measures, reports, and returns the exit code.

    Raises:
        UsageError: The run to resume was another one, or of another machine.
        OSError: A file cannot be written.
    """
    profile = PROFILES[command.profile]().with_methods(participants(command))
    results = started(command, profile)
    folder = unfinished(command.folder)
    if command.resume:
        results = resumed(load(folder / RESULTS), results)
    folder.mkdir(parents=True, exist_ok=True)
    environment = results.environment
    print(f"measuring on Python {environment['python']}, JAX {environment['versions']['jax']}")
    before = Usage.now()
    try:
        _measure(command, profile, results, folder)
    except KeyboardInterrupt:
        results.interrupted = "Ctrl-C"
    return _finish(command, results, folder, before)


def started(command: Run, profile: Profile) -> Results:
    """Returns the results of a run that has none yet."""
    return Results(
        schema=SCHEMA,
        name=command.folder.name,
        command=command.words(),
        profile=profile.name,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        complete=False,
        interrupted=None,
        planned=[setting.key for setting in profile.settings],
        seed=command.seed,
        environment=machine.describe(),
        warnings=[],
        peak_gflops=0.0,
        copy_bandwidth=0.0,
        methods={method.name: method.summary for method in METHODS},
        ours=[method.name for method in METHODS if method.ours],
        limits=[method.name for method in METHODS if method.limit],
        absences=[absence for method in METHODS if (absence := _absence(command, method))],
        cells=[],
        goals=[],
    )


def resumed(old: Results, new: Results) -> Results:
    """Returns the results to continue, if a run with `new` arguments on this machine is the same.

    Raises:
        UsageError: It is another one.
    """
    differences = machine.differences(old.environment, new.environment)
    for name in ("profile", "seed", "planned", "absences", "methods"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            short = isinstance(was, str | int)
            differences.append(f"{name} was {was}, now {now}" if short else f"other {name}")
    if differences:
        raise UsageError(
            f"--resume: the run that was interrupted was another one ({'; '.join(differences)}). "
            "Its times do not belong beside those of now: repeat it from the start."
        )
    old.cells = [cell for cell in old.cells if not cell.out_of_time]
    return old


def participants(command: Run) -> list[Method]:
    """Returns the methods that are installed and selected."""
    return [method for method in METHODS if _absence(command, method) is None]


def _absence(command: Run, method: Method) -> Absence | None:
    if command.methods and method.name not in command.methods:
        return method.absent(Reason.NOT_SELECTED, "not among --methods")
    return method.not_installed()


def _measure(command: Run, profile: Profile, results: Results, folder: Path) -> None:
    earlier, start = results.seconds, time.monotonic()

    def keep() -> None:
        results.seconds = round(earlier + time.monotonic() - start, 1)
        save(results, folder / RESULTS)

    cores, patience = machine.cores(), profile.patience
    with tempfile.TemporaryDirectory() as programs, WorkerPool(cores, patience) as pool:
        seconds = command.time_limit or profile.seconds
        methods = participants(command)
        runner = Runner(results, profile, methods, pool, seconds, Path(programs), keep)
        with progress_bar(runner.total(), seconds) as progress:
            runner.run(progress)


def _finish(command: Run, results: Results, folder: Path, before: Usage) -> int:
    """Writes the results, puts them in their place if they are complete, and prints the table."""
    if not results.cells:
        if not any(folder.iterdir()):
            folder.rmdir()
        print(f"{PROGRAM}: interrupted before the first cell: nothing to keep", file=sys.stderr)
        return 130
    results.environment["load_after"] = machine.load()
    results.environment["background"] = machine.background(before, Usage.now())
    save(results, folder / RESULTS)
    results = load(folder / RESULTS)  # the report is that of the digits that are kept
    report.write(results, folder)
    Console().print(report.table(results))
    if results.complete:
        replace_folder(folder, command.folder)  # the old one stays whole until then
        print(f"saved: {command.folder}")
    else:
        reached = sum(not cell.out_of_time for cell in results.cells)
        print(
            f"saved: {folder}; ended by {results.interrupted} after {reached} of "
            f"{len(results.planned)} cells. To continue: {results.command} --resume"
        )
    return 130 if results.interrupted == "Ctrl-C" else 0
