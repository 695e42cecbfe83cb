"""From one setting to its cell: the contest, and what is measured beside it."""

import statistics
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.contest import Contest, Entry
from benchmarks.derived import add_limits, add_ratios
from benchmarks.expectations import expected_first_call, known_dispatch
from benchmarks.flops import step_bytes, step_flops
from benchmarks.laboratory import CommandError, Laboratory
from benchmarks.peaks import Peaks
from benchmarks.peers import Method
from benchmarks.plan import OUT_OF_TIME, Profile, refusal, smallest
from benchmarks.results import Absence, Cell, Measurement, Setting
from benchmarks.statistics import median_interval, paired_ratio
from benchmarks.worker import Task
from benchmarks.workloads import WORKLOADS

DISPATCH_STEPS = 4
DISPATCH_SAMPLES = 5


@dataclass(frozen=True)
class Bench:
    """What all cells of a run have in common.

    Attributes:
        laboratory: where methods run.
        profile: how carefully.
        methods: all that take part.
        peaks: of the machine.
        seed: of the run.
        show: is told what goes on.
    """

    laboratory: Laboratory
    profile: Profile
    methods: Sequence[Method]
    peaks: Peaks
    seed: int
    show: Callable[[str], None]

    def measure(
        self, setting: Setting, earlier: Sequence[Cell], seconds: float, deadline: float
    ) -> Cell:
        """Measures a cell.

        Args:
            setting: what is trained.
            earlier: the cells that are done: what took too long there is not tried again deeper.
            seconds: for building, checking and timing: its share of the time limit.
            deadline: when that is over, on the laboratory's clock.
        """
        optimizer = WORKLOADS[setting.workload].optimizer
        cell = Cell(setting, step_flops(setting), step_bytes(setting, optimizer), [], [])
        seed = zlib.crc32(f"{self.seed} {setting.key}".encode())  # whatever was measured before
        admitted = [method for method in self.methods if self._admits(method, cell, earlier)]
        contest = Contest(
            self.laboratory, self.profile, setting, admitted, seed, deadline, self.show
        )
        entries = contest.hold(seconds)
        cell.absences += contest.absences
        cell.measurements += [_measurement(cell, e, seed) for e in entries if not e.second]
        _add_null(cell, entries, seed)
        tasks = {entry.name: contest.task(entry.method) for entry in entries}
        self._add_dispatch(cell, tasks, earlier, deadline)
        self.laboratory.drop()
        self._add_memory(cell, tasks, deadline)
        for measurement in cell.measurements:
            add_limits(cell, measurement, self.peaks)
        add_ratios(cell, [method.name for method in self.methods if method.ours], seed)
        return cell

    def _admits(self, method: Method, cell: Cell, earlier: Sequence[Cell]) -> bool:
        """Whether a method has a place in this cell; otherwise the cell says why not."""
        reason = refusal(self.profile, method, cell.setting)
        limit = self.profile.first_call
        expected = expected_first_call(earlier, method.name, cell.setting)
        if reason is None and expected > limit:
            reason = (
                f"by those at smaller depths, its first call would take about {expected:.0f} s; a "
                f"{self.profile.name} run allows {limit:g} s"
            )
        if reason is not None:
            cell.absences.append(Absence(method.name, "skipped", reason))
        return reason is None

    def _add_dispatch(
        self, cell: Cell, tasks: dict[str, Task], earlier: Sequence[Cell], deadline: float
    ) -> None:
        """What a call costs beside the computation: a step of the smallest such network."""
        setting, profile = cell.setting, self.profile
        if (setting.workload, setting.depth) not in profile.dispatch:
            _note_all(cell, f"dispatch: a {profile.name} run measures it at other depths")
            return
        for measurement in cell.measurements:
            name = measurement.method
            measurement.dispatch = known_dispatch(earlier, name, setting)
            if measurement.dispatch is None:
                self.show(f"dispatch of {name}")
                try:
                    measurement.dispatch = self._dispatch(tasks[name], deadline)
                except CommandError as failure:
                    measurement.notes.append(f"dispatch: {failure.reason}")

    def _dispatch(self, task: Task, deadline: float) -> float:
        if self.laboratory.clock() > deadline:
            raise CommandError(OUT_OF_TIME)
        task = task._replace(setting=smallest(task.setting), steps=DISPATCH_STEPS)
        name = f"dispatch of {task.method.name}"

        def ask(command: str, **arguments: Any) -> Any:
            process, patience = task.method.process, self.profile.patience
            return self.laboratory.call(process, command, patience, name=name, **arguments)

        ask("build", task=task)
        passes, _ = ask("calibrate", target=self.profile.sample / 2)
        seconds = statistics.median(ask("sample", passes=passes) for _ in range(DISPATCH_SAMPLES))
        return seconds / (passes * DISPATCH_STEPS)

    def _add_memory(self, cell: Cell, tasks: dict[str, Task], deadline: float) -> None:
        """The peak memory of each method, in a process that has done nothing else."""
        if cell.setting.key not in self.profile.memory:
            _note_all(
                cell, f"peak memory: a {self.profile.name} run does not measure it in this cell"
            )
            return
        if self.laboratory.clock() > deadline:
            _note_all(cell, f"peak memory: {OUT_OF_TIME}")
            return
        self.show("peak memory")
        fresh = [tasks[measurement.method] for measurement in cell.measurements]
        found = self.laboratory.peak_memories(fresh, self.profile.patience)
        for measurement, answer in zip(cell.measurements, found, strict=True):
            if isinstance(answer, int):
                measurement.peak_rss = answer
            else:
                why = answer.reason if answer else "this system does not say"
                measurement.notes.append(f"peak memory: {why}")


def _measurement(cell: Cell, entry: Entry, seed: int) -> Measurement:
    """What the contest tells of a method."""
    preparation, seconds = entry.built.preparation, median_interval(entry.times, seed)
    return Measurement(
        method=entry.name,
        times=entry.times,
        passes=entry.passes,
        seconds=seconds,
        first_call=entry.built.first_call,
        samples_per_second=cell.setting.batch / seconds.median,
        gflops=cell.flops / seconds.median / 1e9,
        error=entry.error,
        trace=preparation.trace,
        compile=preparation.compile,
        temporary_bytes=preparation.temporary_bytes,
    )


def _add_null(cell: Cell, entries: Sequence[Entry], seed: int) -> None:
    """The second instance of a method against the first one: 1, but for the noise."""
    by_name = {entry.name: entry for entry in entries}
    for second in (entry for entry in entries if entry.second):
        first = by_name[second.method.name]
        cell.null, cell.null_method = paired_ratio(second.times, first.times, seed), first.name


def _note_all(cell: Cell, note: str) -> None:
    for measurement in cell.measurements:
        measurement.notes.append(note)
