"""A run from its first cell to its last: the division of time, and what is kept on the way."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure.cells import CellMeasurer, empty_cell
from benchmarks.measure.estimates import cost, goals_cost, sampling_cost
from benchmarks.measure.goals import train_to_goals
from benchmarks.measure.messages import CallError, Task
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.progress import ProgressBar
from benchmarks.measure.worker import Worker
from benchmarks.peaks import Peaks
from benchmarks.peers import Method
from benchmarks.plan import OUT_OF_TIME, Profile, distinct_batches, goal_setting
from benchmarks.results import Cell, Reason, Results, Setting
from benchmarks.workloads import WORKLOADS

BURST = 0.3  # seconds in which threads are counted
BURSTING = Setting("classification", (64, 512, 512, 10), 1024)  # large enough for every thread


@dataclass
class Runner:
    """A run that is under way.

    Attributes:
        results: of the run so far; added to cell by cell.
        profile: what it measures.
        methods: those that take part.
        pool: the workers.
        seconds: time limit.
        programs: an empty folder, where what JAX compiles is kept for the blocks to come. Compile
            times are those of the first one; to write the programs takes no time that is seen.
        keep: saves the results; called after each cell.
    """

    results: Results
    profile: Profile
    methods: Sequence[Method]
    pool: WorkerPool
    seconds: float
    programs: Path
    keep: Callable[[], None]

    def run(self, progress: ProgressBar) -> None:
        """Measures what is missing; the results say whether there was time for everything."""
        self._progress, self._start = progress, self.pool.clock()
        results, results.interrupted = self.results, None
        results.warnings.clear()  # they are found out again
        self.pool.restart(self.programs)
        self._survey()
        self._measure_cells()
        self._train_to_goals()
        results.complete = results.interrupted is None
        self.keep()

    def total(self) -> float:
        """Estimates the seconds that the whole run takes."""
        return sum(self._costs()) + goals_cost(self.profile, self.methods)

    def _missing(self) -> list[tuple[int, Setting]]:
        """Lists what is not measured yet: all cells of the first block, then those of the next."""
        done = {cell.setting.key: cell.blocks for cell in self.results.cells}
        settings, blocks = self.profile.settings, self.profile.blocks
        return [(n, s) for n in range(blocks) for s in settings if done.get(s.key, 0) <= n]

    def _costs(self) -> list[float]:
        return [cost(self.profile, one, self.methods, block) for block, one in self._missing()]

    def _left(self) -> float:
        return self.seconds - (self.pool.clock() - self._start)

    def _survey(self) -> None:
        """Measures the machine's peaks, and counts the threads of each process at work."""
        results = self.results
        if not results.peak_gflops:  # a resumed run keeps its yardstick
            self._progress.show("this machine's peaks")
            results.peak_gflops, results.copy_bandwidth = self.pool.call("jax", Worker.peaks)
        processes: dict[str, Method] = {}
        for method in self.methods:
            if method.unsuitable(BURSTING) is None:
                processes.setdefault(method.process, method)
        for process, method in processes.items():
            self._progress.show(f"threads of {process}")
            try:
                self._count_threads(process, method)
            except CallError as failure:
                self._warn(f"threads of {process}: {failure.detail}")
        self.pool.drop()

    def _count_threads(self, process: str, method: Method) -> None:
        environment, call = self.results.environment, self.pool.call
        workload, steps = WORKLOADS["classification"], distinct_batches(BURSTING)
        task = Task(method, workload, BURSTING, steps, self.results.seed)
        call(process, Worker.build, "burst", task)
        pools = call(process, Worker.pools, "burst", BURST)
        environment.setdefault("libraries", {})[process] = call(process, Worker.libraries)
        environment.setdefault("thread_pools", {})[process] = pools
        most = max(pools.values(), default=0)
        environment.setdefault("threads", {})[process] = most
        if most > environment["cores"]:
            self._warn(f"{process} works with {most} threads, allowed are {environment['cores']}")

    def _measure_cells(self) -> None:
        results, missing = self.results, self._missing()
        peaks = Peaks(results.peak_gflops, results.copy_bandwidth)
        show = self._progress.show
        measurer = CellMeasurer(self.pool, self.profile, self.methods, peaks, results.seed, show)
        costs, goals, present = self._costs(), goals_cost(self.profile, self.methods), 0
        for number, (block, setting) in enumerate(missing):
            if block != present:
                present = block
                self.pool.restart(self.programs)
            after = goals if block else 0.0  # a time to an accuracy is worth more than a repeat
            enough = self._left() - after >= costs[number] / 2
            if block:
                self._repeat(measurer, setting, block, costs[number], enough)
            elif not enough:
                cell = empty_cell(setting)
                for method in self.profile.planned(setting, self.methods):
                    cell.absences.append(method.absent(Reason.OUT_OF_TIME, OUT_OF_TIME))
                self._add(cell, costs[number])
            else:
                rest = sum(costs[number:]) + goals
                share = self._left() * sampling_cost(self.profile, setting, self.methods) / rest
                end = self._start + self.seconds
                self._add(measurer.measure(setting, results.cells, share, end), costs[number])

    def _repeat(
        self, measurer: CellMeasurer, setting: Setting, block: int, cost: float, enough: bool
    ) -> None:
        """Measures a cell again, if there is anything to measure and time for it."""
        cells = self.results.cells
        number = next(n for n, cell in enumerate(cells) if cell.setting.key == setting.key)
        cell = copy.deepcopy(cells[number])  # until it is whole, Ctrl-C leaves the old one
        if cell.measurements and enough:
            measurer.repeat(cell, self._start + self.seconds)
            cells[number] = cell
        elif cell.measurements:
            self.results.interrupted = "time limit"
        self.keep()
        done = f"block {block + 1} of {self.profile.blocks}, {number + 1}/{len(cells)}"
        self._progress.advance(cost, f"{done} {setting.key}")

    def _add(self, cell: Cell, estimate: float) -> None:
        results, planned = self.results, self.results.planned
        results.cells.append(cell)
        if cell.out_of_time:
            results.interrupted = "time limit"
        results.cells.sort(key=lambda cell: planned.index(cell.setting.key))
        self.keep()
        self._progress.advance(estimate, f"{len(results.cells)}/{len(planned)} {_line(cell)}")

    def _train_to_goals(self) -> None:
        """Measures the time to an accuracy, of the methods that have been found to be right."""
        self.pool.restart()  # without kept programs, for compiling counts
        results = self.results
        done = {(goal.method, goal.batch) for goal in results.goals}
        right = {m.method for cell in results.cells for m in cell.measurements}
        wrong = {a.method for c in results.cells for a in c.absences if a.reason is Reason.WRONG}
        for batch, rate in self.profile.goals:
            for method in self.profile.planned(goal_setting(batch), self.methods):
                if method.name in right - wrong and (method.name, batch) not in done:
                    self._train_to_goal(method, batch, rate)

    def _train_to_goal(self, method: Method, batch: int, rate: float) -> None:
        what = f"time to accuracy of {method.name}, batch {batch}"
        if self._left() <= 0:
            self.results.interrupted = "time limit"
            self._warn(f"time to accuracy: {OUT_OF_TIME}")
            return
        self._progress.show(what)
        try:
            self.results.goals += train_to_goals(self.pool, method, batch, rate, self.results.seed)
        except CallError as failure:
            self._warn(f"{what}: {failure.detail}")
        self.keep()

    def _warn(self, text: str) -> None:
        if text not in self.results.warnings:
            self.results.warnings.append(text)
            self._progress.advance(0.0, f"warning: {text}")


def _line(cell: Cell) -> str:
    """Describes a cell in one line."""
    kinds = [absence.kind for absence in cell.absences]
    absent = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    best = min(cell.measurements, key=lambda m: m.seconds.median, default=None)
    fastest = f"{best.method} {best.seconds.median * 1e6:.3g} us a step" if best else "nothing"
    return f"{cell.setting.key}: {', '.join([fastest, f'{len(cell.measurements)} timed', *absent])}"
