"""Measures a cell: its samples, and the dispatch and memory beside them."""

import statistics
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.derived import add_limits, add_ratios, speed
from benchmarks.flops import step_bytes, step_flops
from benchmarks.measure.estimates import expected_first_call
from benchmarks.measure.messages import CallError, Task
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.sampler import Instance, Sampler, again
from benchmarks.measure.worker import WARM_UP, Worker
from benchmarks.peaks import Peaks
from benchmarks.peers import Method
from benchmarks.plan import OUT_OF_TIME, REPEATS, Profile, left_out, repeated, smallest
from benchmarks.results import Absence, Cell, Measurement, Reason, Setting
from benchmarks.workloads import WORKLOADS

DISPATCH_STEPS = 4
DISPATCH_SAMPLES = 5


def empty_cell(setting: Setting) -> Cell:
    """Returns a cell in which nothing is measured yet."""
    optimizer = WORKLOADS[setting.workload].optimizer
    return Cell(setting, step_flops(setting), step_bytes(setting, optimizer), [], [])


@dataclass(frozen=True)
class CellMeasurer:
    """Measures cells, one after the other.

    Attributes:
        pool: the workers.
        profile: its limits.
        methods: all that take part.
        peaks: of the machine.
        seed: of the run.
        show: shows the present activity.
    """

    pool: WorkerPool
    profile: Profile
    methods: Sequence[Method]
    peaks: Peaks
    seed: int
    show: Callable[[str], None]

    def measure(
        self, setting: Setting, earlier: Sequence[Cell], seconds: float, deadline: float
    ) -> Cell:
        """Measures a cell for the first time.

        Args:
            setting: the network and the batch.
            earlier: the cells that are done; methods that compiled too long are not tried deeper.
            seconds: for building, checking and timing: the cell's share of the time limit.
            deadline: the end of the time limit, on the pool's clock.
        """
        cell = empty_cell(setting)
        sampler = self._sampler(cell, self._admitted(cell, earlier), 0, deadline)
        instances = sampler.sample(seconds)
        cell.absences += sampler.absences
        for instance in instances:
            if instance.name == again(instance.method.name):
                cell.again, cell.null_method = [instance.times], instance.method.name
            else:
                cell.measurements.append(_measurement(cell, instance, self._seed(cell)))
        tasks = {instance.name: sampler.task(instance.method) for instance in instances}
        self._add_dispatch(cell, tasks, earlier, deadline)
        self.pool.drop()
        self._add_memory(cell, tasks, deadline)
        self._derive(cell)
        return cell

    def repeat(self, cell: Cell, deadline: float) -> None:
        """Measures jaxpercep's methods once more, and those that they are compared with."""
        timed = [method for method in self.methods if cell.of(method.name)]
        methods = [method for method in timed if repeated(method, cell.best_peer)]
        sampler = self._sampler(cell, methods, cell.blocks, deadline)
        passes = {m.method: m.passes for m in cell.measurements}
        found = {instance.name: instance for instance in sampler.repeat(passes, REPEATS)}
        self.pool.drop()
        whys = {absence.method: absence.detail for absence in sampler.absences}
        cell.blocks += 1
        for measurement in cell.measurements:
            instance = found.get(measurement.method)
            measurement.times.append(instance.times if instance else [])
            if why := whys.get(measurement.method):
                measurement.notes.append(f"block {cell.blocks}: {why}")
        twin = found.get(again(cell.null_method or ""))
        cell.again.append(twin.times if twin else [])
        self._derive(cell)

    def _sampler(
        self, cell: Cell, methods: Sequence[Method], block: int, deadline: float
    ) -> Sampler:
        seed = self._seed(cell) + block
        setting, show = cell.setting, self.show
        return Sampler(self.pool, self.profile, setting, methods, seed, deadline, show)

    def _seed(self, cell: Cell) -> int:
        """Returns the same seed for the same cell, whatever was measured before."""
        return zlib.crc32(f"{self.seed} {cell.setting.key}".encode())

    def _derive(self, cell: Cell) -> None:
        """Fills in the numbers that follow from the times of all blocks."""
        seed = self._seed(cell)
        for measurement in cell.measurements:
            found = speed(cell, measurement.times, seed)
            measurement.seconds, measurement.samples_per_second, measurement.gflops = found
            add_limits(cell, measurement, self.peaks)
        ours = [method.name for method in self.methods if method.ours]
        limits = [method.name for method in self.methods if method.limit]
        add_ratios(cell, ours, limits, seed)

    def _admitted(self, cell: Cell, earlier: Sequence[Cell]) -> list[Method]:
        """Returns the methods that have a place in this cell, which says why others have none."""
        found = []
        for method in self.methods:
            absence = left_out(self.profile, method, cell.setting)
            absence = absence or self._long_first_call(method, cell.setting, earlier)
            if absence is None:
                found.append(method)
            elif absence.reason is not Reason.OTHER_KIND:
                cell.absences.append(absence)
        return found

    def _long_first_call(
        self, method: Method, setting: Setting, earlier: Sequence[Cell]
    ) -> Absence | None:
        limit = self.profile.first_call
        expected = expected_first_call(earlier, method.name, setting)
        if expected <= limit:
            return None
        detail = (
            f"judging by smaller depths, its first call would take about {expected:.0f} s; a "
            f"{self.profile.name} run allows {limit:g} s"
        )
        return method.absent(Reason.LONG_FIRST_CALL, detail)

    def _add_dispatch(
        self, cell: Cell, tasks: dict[str, Task], earlier: Sequence[Cell], deadline: float
    ) -> None:
        """Adds the cost of a call beside the computation: a step of the smallest such network."""
        setting, profile = cell.setting, self.profile
        if not profile.has_dispatch(setting):
            cell.notes.append(f"dispatch: a {profile.name} run does not measure it in this cell")
            return
        kind = setting.workload, setting.depth
        alike = (c for c in earlier if (c.setting.workload, c.setting.depth) == kind)
        known = {m.method: m.dispatch for c in alike for m in c.measurements if m.dispatch}
        for measurement in cell.measurements:
            name = measurement.method
            if name in known:
                measurement.dispatch = known[name]
                continue
            self.show(f"dispatch of {name}")
            try:
                measurement.dispatch = self._dispatch(tasks[name], deadline)
            except CallError as failure:
                measurement.notes.append(f"dispatch: {failure.detail}")

    def _dispatch(self, task: Task, deadline: float) -> float:
        if self.pool.clock() > deadline:
            raise CallError(OUT_OF_TIME)
        task = task._replace(setting=smallest(task.setting), steps=DISPATCH_STEPS)
        process, name, call = task.method.process, f"dispatch of {task.method.name}", self.pool.call
        call(process, Worker.build, name, task)
        passes, *_ = call(process, Worker.calibrate, name, self.profile.sample / 2)
        words = process, Worker.sample, name, passes, WARM_UP
        samples = [call(*words) for _ in range(DISPATCH_SAMPLES)]
        return statistics.median(samples) / (passes * DISPATCH_STEPS)

    def _add_memory(self, cell: Cell, tasks: dict[str, Task], deadline: float) -> None:
        """Adds the peak memory of each method, in a process that has done nothing else."""
        if cell.setting.key not in self.profile.memory:
            name = self.profile.name
            cell.notes.append(f"peak memory: a {name} run does not measure it in this cell")
            return
        if self.pool.clock() > deadline:
            cell.notes.append(f"peak memory: {OUT_OF_TIME}")
            return
        self.show("peak memory")
        found = self.pool.peak_memories([tasks[m.method] for m in cell.measurements])
        for measurement, answer in zip(cell.measurements, found, strict=True):
            if isinstance(answer, int):
                measurement.peak_rss = answer
            else:
                why = answer.detail if answer else "this system does not report it"
                measurement.notes.append(f"peak memory: {why}")


def _measurement(cell: Cell, instance: Instance, seed: int) -> Measurement:
    """Records a method after its first block."""
    preparation = instance.built.preparation
    count, of = instance.method.networks(cell.setting), cell.setting.networks or 1
    seconds, rate, gflops = speed(cell, [instance.times], seed)
    return Measurement(
        method=instance.name,
        times=[instance.times],
        passes=instance.passes,
        seconds=seconds,
        first_call=instance.built.first_call,
        samples_per_second=rate,
        gflops=gflops,
        error=instance.error,
        trace=preparation.trace,
        compile=preparation.compile,
        temporary_bytes=preparation.temporary_bytes,
        program=instance.built.program,
        instructions=instance.instructions,
        notes=[f"timed on {count} of {of} networks, and scaled"] if count < of else [],
    )
