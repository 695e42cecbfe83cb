"""A run from its first cell to its last: who gets how much time, and what is kept on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.costs import contest_cost, cost, goals_cost
from benchmarks.derived import break_even
from benchmarks.flops import step_bytes, step_flops
from benchmarks.goals import Pursuit
from benchmarks.laboratory import CommandError, Laboratory
from benchmarks.measuring import Bench
from benchmarks.peaks import Peaks
from benchmarks.peers import Method
from benchmarks.plan import OUT_OF_TIME, Profile, distinct_batches, goal_setting, refusal
from benchmarks.results import Absence, Cell, Results, Setting
from benchmarks.worker import Task
from benchmarks.workloads import WORKLOADS

BURST = 0.3  # seconds in which threads are counted
BURSTING = Setting("classification", (64, 512, 512, 10), 1024)  # large enough for every thread


class Display(Protocol):
    """Where a run shows how far it is, as `progress.Board`."""

    def show(self, now: str) -> None:
        """Shows what goes on."""
        ...

    def advance(self, cost: float, line: str) -> None:
        """Says that something is done that was estimated to take `cost` seconds."""
        ...


@dataclass
class Session:
    """A run that is under way.

    Attributes:
        results: what it has come to; added to cell by cell.
        profile: what it measures.
        methods: those that take part.
        laboratory: where they run.
        seconds: time limit.
        keep: saves the results; called after each cell.
    """

    results: Results
    profile: Profile
    methods: Sequence[Method]
    laboratory: Laboratory
    seconds: float
    keep: Callable[[], None]

    def conduct(self, display: Display) -> None:
        """Measures what is missing; whether that was all is in the results."""
        self._display, self._start = display, self.laboratory.clock()
        results, results.interrupted = self.results, None
        results.environment.pop("warnings", None)  # what they say is found out again
        self._survey()
        self._measure_cells()
        self._pursue_goals()
        results.complete = results.interrupted is None
        self.keep()

    def total(self) -> float:
        """What the whole run is estimated to take, in seconds."""
        return sum(map(self._cost, self._missing())) + self._cost_of_goals()

    def _missing(self) -> list[Setting]:
        done = {cell.setting.key for cell in self.results.cells}
        return [setting for setting in self.profile.settings if setting.key not in done]

    def _cost(self, setting: Setting) -> float:
        return cost(self.profile, setting, self.methods)

    def _cost_of_goals(self) -> float:
        return goals_cost(self.profile, self.methods)

    def _left(self) -> float:
        return self.seconds - (self.laboratory.clock() - self._start)

    def _survey(self) -> None:
        """Measures the machine's peaks, and counts the threads of each process at work."""
        results = self.results
        if not results.peak_gflops:  # a run that is gone on with keeps its yardstick
            self._display.show("this machine's peaks")
            results.peak_gflops, results.copy_bandwidth = self.laboratory.call("jax", "peaks")
        for process in dict.fromkeys(method.process for method in self.methods):
            self._display.show(f"threads of {process}")
            try:
                self._count_threads(process)
            except CommandError as failure:
                self._warn(f"threads of {process}: {failure.reason}")
        self.laboratory.drop()

    def _count_threads(self, process: str) -> None:
        environment, call = self.results.environment, self.laboratory.call
        method = next(method for method in self.methods if method.process == process)
        workload, steps = WORKLOADS["classification"], distinct_batches(BURSTING)
        task = Task(method, workload, BURSTING, steps, self.results.seed)
        call(process, "build", self.profile.patience, name="burst", task=task)
        pools = call(process, "pools", name="burst", seconds=BURST)
        environment.setdefault("libraries", {})[process] = call(process, "libraries")
        environment.setdefault("thread_pools", {})[process] = pools
        most = max(pools.values(), default=0)
        environment.setdefault("threads", {})[process] = most
        if most > environment["cores"]:
            self._warn(f"{process} works with {most} threads, allowed are {environment['cores']}")

    def _measure_cells(self) -> None:
        results, missing = self.results, self._missing()
        peaks = Peaks(results.peak_gflops, results.copy_bandwidth)
        bench = Bench(
            self.laboratory, self.profile, self.methods, peaks, results.seed, self._display.show
        )
        costs = [*map(self._cost, missing)]
        for number, setting in enumerate(missing):
            if self._left() < costs[number] / 2:
                self._add(self._skipped(setting), costs[number])
                continue
            rest = sum(costs[number:]) + self._cost_of_goals()
            share = self._left() * contest_cost(self.profile, setting, self.methods) / rest
            cell = bench.measure(setting, results.cells, share, self._start + self.seconds)
            self._add(cell, costs[number])

    def _skipped(self, setting: Setting) -> Cell:
        optimizer = WORKLOADS[setting.workload].optimizer
        absences = [Absence(method.name, "skipped", OUT_OF_TIME) for method in self.methods]
        return Cell(setting, step_flops(setting), step_bytes(setting, optimizer), [], absences)

    def _add(self, cell: Cell, estimate: float) -> None:
        results, planned = self.results, self.results.planned
        results.cells.append(cell)
        if is_skipped(cell):
            results.interrupted = "time limit"
        results.cells.sort(key=lambda cell: planned.index(cell.setting.key))
        results.break_even = break_even(results.cells, results.ours)
        self.keep()
        self._display.advance(estimate, f"{len(results.cells)}/{len(planned)} {_line(cell)}")

    def _pursue_goals(self) -> None:
        """The time to an accuracy, of the methods that have been found to be right."""
        results = self.results
        done = {(goal.method, goal.batch) for goal in results.goals}
        right = {m.method for cell in results.cells for m in cell.measurements}
        refused = {a.method for c in results.cells for a in c.absences if a.kind == "refused"}
        for batch, rate in self.profile.goals:
            pursuit = Pursuit(self.laboratory, batch, rate, results.seed, self.profile.patience)
            for method in self.methods:
                if method.name in right - refused and (method.name, batch) not in done:
                    self._pursue(pursuit, method)

    def _pursue(self, pursuit: Pursuit, method: Method) -> None:
        what = f"time to accuracy of {method.name}"
        if reason := refusal(self.profile, method, goal_setting(pursuit.batch)):
            self._warn(f"{what}: {reason}")
            return
        what += f", batch {pursuit.batch}"
        if self._left() <= 0:
            self.results.interrupted = "time limit"
            self._warn(f"time to accuracy: {OUT_OF_TIME}")
            return
        self._display.show(what)
        try:
            self.results.goals += pursuit.run(method)
        except CommandError as failure:
            self._warn(f"{what}: {failure.reason}")
        self.keep()

    def _warn(self, text: str) -> None:
        warnings = self.results.environment.setdefault("warnings", [])
        if text not in warnings:
            warnings.append(text)
            self._display.advance(0.0, f"warning: {text}")


def is_skipped(cell: Cell) -> bool:
    """Whether a cell is there to say that there was no time for it."""
    out_of_time = ("time limit" in absence.reason for absence in cell.absences)
    return not cell.measurements and any(out_of_time)


def _line(cell: Cell) -> str:
    """A cell in one line."""
    kinds = [absence.kind for absence in cell.absences]
    absent = [f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds)]
    best = min(cell.measurements, key=lambda m: m.seconds.median, default=None)
    fastest = f"{best.method} {best.seconds.median * 1e6:.3g} us a step" if best else "nothing"
    return f"{cell.setting.key}: {', '.join([fastest, f'{len(cell.measurements)} timed', *absent])}"
