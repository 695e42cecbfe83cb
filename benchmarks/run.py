"""`python -m benchmarks`: from the arguments to the folder of results."""

import datetime
import sys
import time
from pathlib import Path

from rich.console import Console

from benchmarks import machine, report
from benchmarks.arguments import PROGRAM, Run, UsageError
from benchmarks.folder import RESULTS, publish, unfinished
from benchmarks.machine import Usage
from benchmarks.peers import METHODS, Method
from benchmarks.plan import PROFILES, Profile
from benchmarks.processes import opened
from benchmarks.progress import board
from benchmarks.results import Absence, Results, load, save
from benchmarks.session import Session, is_skipped


def main(command: Run) -> int:
    """Measures, reports, and returns the exit code.

    Raises:
        UsageError: a run to go on with that was another one, or of another machine.
        OSError: a file cannot be written.
    """
    profile = PROFILES[command.profile]()
    results = started(command, profile)
    folder = unfinished(command.folder)
    if command.resume:
        results = resumed(load(folder / RESULTS), results)
    folder.mkdir(parents=True, exist_ok=True)
    before = Usage.now()
    try:
        _conduct(command, profile, results, folder)
    except KeyboardInterrupt:
        results.interrupted = "Ctrl-C"
    return _finish(command, results, folder, before)


def started(command: Run, profile: Profile) -> Results:
    """The results of a run that has none yet."""
    present = {method.name for method in participants(command)}
    return Results(
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
        peak_gflops=0.0,
        copy_bandwidth=0.0,
        methods={method.name: method.summary for method in METHODS},
        ours=[method.name for method in METHODS if method.ours],
        absences=[_absence(method) for method in METHODS if method.name not in present],
        cells=[],
    )


def resumed(old: Results, new: Results) -> Results:
    """The results to go on with, if a run with `new` arguments, here and now, is the same one.

    Raises:
        UsageError: it is another one.
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
    old.cells = [cell for cell in old.cells if not is_skipped(cell)]
    return old


def participants(command: Run) -> list[Method]:
    """The methods that are installed and asked for."""
    asked = command.methods or tuple(method.name for method in METHODS)
    return [method for method in METHODS if method.name in asked and not method.missing()]


def _absence(method: Method) -> Absence:
    if missing := method.missing():
        return Absence(method.name, "skipped", f"not installed: {', '.join(missing)}")
    return Absence(method.name, "skipped", "not among --methods")


def _conduct(command: Run, profile: Profile, results: Results, folder: Path) -> None:
    earlier, start = results.seconds, time.monotonic()

    def keep() -> None:
        results.seconds = round(earlier + time.monotonic() - start, 1)
        save(results, folder / RESULTS)

    with opened(machine.cores()) as processes:
        seconds = command.time_limit or profile.seconds
        session = Session(results, profile, participants(command), processes, seconds, keep)
        with board(session.total(), seconds) as display:
            session.conduct(display)


def _finish(command: Run, results: Results, folder: Path, before: Usage) -> int:
    """Writes what there is, puts it in its place if it is whole, and prints the table."""
    interrupted = results.interrupted == "Ctrl-C"
    if not results.cells:
        if not any(folder.iterdir()):
            folder.rmdir()
        print(f"{PROGRAM}: interrupted before the first cell: nothing to keep", file=sys.stderr)
        return 130
    results.environment["load_after"] = machine.load()
    results.environment["background"] = machine.background(before, Usage.now())
    save(results, folder / RESULTS)
    report.write(results, folder)
    Console().print(report.table(results))
    if results.complete:
        publish(command.folder)
        print(f"saved: {command.folder}")
    else:
        reached = sum(not is_skipped(cell) for cell in results.cells)
        print(
            f"saved: {folder}; ended by {results.interrupted} after {reached} of "
            f"{len(results.planned)} cells. Go on by: {results.command} --resume"
        )
    return 130 if interrupted else 0
