"""What a run of the suite leaves behind: one `results.json`, and how to read and write it.

Times are seconds, memory is bytes, rates are per second, ratios are dimensionless. A number that
was not measured is None, and a note says why.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.decoding import decode

SCHEMA = 1
"""Version of the schema of `results.json`; a file of another version is refused."""


@dataclass(frozen=True)
class Interval:
    """A median with its bootstrap confidence interval, at 95 %."""

    median: float
    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Whether the value lies outside the interval."""
        return not self.low <= value <= self.high


@dataclass(frozen=True)
class Setting:
    """What is trained: the work of one cell.

    Attributes:
        workload: name in `workloads.WORKLOADS`: `"classification"`, `"classification-adam"`,
            `"regression"`, `"xor"`, ...
        sizes: features in, the hidden widths, features out.
        batch: samples a step.
        sweeps: the curves that it is a point of: `"batch"`, `"depth"`, `"width"`, `"grid"`; several
            where it is on several.
    """

    workload: str
    sizes: tuple[int, ...]
    batch: int
    sweeps: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """The number of hidden layers."""
        return len(self.sizes) - 2

    @property
    def width(self) -> int:
        """The features of a hidden layer."""
        return self.sizes[1]

    @property
    def key(self) -> str:
        """A name that is unique within a run, as `"classification 64-256-256-10 batch 128"`."""
        sizes = "-".join(map(str, self.sizes))
        if self.depth > 6:
            sizes = f"{self.sizes[0]}-{self.width}x{self.depth}-{self.sizes[-1]}"
        return f"{self.workload} {sizes} batch {self.batch}"


@dataclass
class Measurement:
    """One method in one cell.

    Attributes:
        method: its name, as `"jaxpercep manual"`.
        times: seconds a step at steady state, one for each round; rounds are shared by the methods
            of a cell, so that ratios are paired.
        passes: how many steps each of these samples consists of.
        seconds: the median of `times`, with its interval.
        trace: seconds to trace and lower; None where there is no compilation.
        compile: seconds to compile.
        first_call: seconds from a built model to the end of the first call, compilation included.
        dispatch: seconds a call takes beside the computation: that of a step on the smallest
            possible problem; None where not measured.
        samples_per_second: batch / seconds.
        gflops: 1e9 floating point operations a second, by `flops.step_flops`.
        peak_fraction: of the measured matrix-product peak of this machine.
        bandwidth_fraction: of its measured copy bandwidth, by `flops.step_bytes`.
        bound: `"compute"`, `"memory"` or `"overhead"`: what limits this cell, by the roofline.
        temporary_bytes: of the compiled step; XLA methods only.
        peak_rss: peak resident memory of a fresh process that trains this cell.
        error: largest deviation from float64 truth after the checked steps, relative to how far the
            parameters moved.
        ratio: seconds / seconds of the cell's `best_peer`, paired.
        notes: what else there is to say, as a remark that a number was not measured.
    """

    method: str
    times: list[float]
    passes: int
    seconds: Interval
    first_call: float
    samples_per_second: float
    gflops: float
    error: float
    trace: float | None = None
    compile: float | None = None
    dispatch: float | None = None
    peak_fraction: float | None = None
    bandwidth_fraction: float | None = None
    bound: str | None = None
    temporary_bytes: int | None = None
    peak_rss: int | None = None
    ratio: Interval | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Absence:
    """A method that was not timed in a cell, or in the whole run, and why.

    Attributes:
        method: its name.
        kind: `"skipped"` (not installed, too slow for the time limit, cannot do this cell),
            `"refused"` (its result is not that of float64 truth) or `"failed"` (it raised).
        reason: one line.
    """

    method: str
    kind: str
    reason: str


@dataclass
class Cell:
    """One setting, and every method in it.

    Attributes:
        setting: what is trained.
        flops: floating point operations of a step, analytic.
        bytes: moved by a step at least, analytic.
        measurements: of the methods that were timed.
        absences: of the others.
        best_peer: the fastest method that is not jaxpercep's; None if none was timed.
        null: the A/A ratio: one method against a second instance of itself, paired.
        null_method: which method that was.
    """

    setting: Setting
    flops: float
    bytes: float
    measurements: list[Measurement]
    absences: list[Absence]
    best_peer: str | None = None
    null: Interval | None = None
    null_method: str | None = None

    @property
    def floor(self) -> float:
        """The noise floor: the largest |ratio - 1| that the A/A interval reaches."""
        if self.null is None:
            return 0.0
        return max(abs(self.null.low - 1), abs(self.null.high - 1))

    def of(self, method: str) -> Measurement | None:
        """The measurement of a method, or None."""
        return next((m for m in self.measurements if m.method == method), None)


@dataclass(frozen=True)
class BreakEven:
    """After how many steps a method has won its compile time back against a peer.

    Attributes:
        setting: key of the cell.
        method: of jaxpercep.
        peer: the other one.
        steps: None if never; 0 if it leads from the first call.
    """

    setting: str
    method: str
    peer: str
    steps: int | None


@dataclass(frozen=True)
class Goal:
    """Time to a given test accuracy on digits: it cannot be gamed by the batch size.

    Attributes:
        method: name.
        batch: samples a step.
        learning_rate: of the optimizer.
        target: `"test accuracy 0.95"` or `"train loss 0.1"`.
        steps: that it took; None if it did not get there.
        seconds: at steady state, evaluation of the target left out.
        with_compile: the same with the first call's compilation.
        reached: the accuracy, or the loss, when it stopped.
    """

    method: str
    batch: int
    learning_rate: float
    target: str
    steps: int | None
    seconds: float | None
    with_compile: float | None
    reached: float


@dataclass
class Results:
    """A whole run.

    Attributes:
        name: of the run, and of its folder.
        command: that made it.
        profile: `"quick"`, `"default"` or `"full"`.
        started: ISO 8601, UTC.
        seconds: that it took.
        complete: whether every planned cell was measured; otherwise `interrupted` says why not.
        interrupted: `"Ctrl-C"`, `"time limit"`, or None.
        planned: keys of the cells that were planned.
        seed: of the order, the data and the bootstrap.
        environment: CPU model and flags, cores, affinity, cgroup quota, governor, load before and
            after, thread counts by framework, versions, XLA flags, Python.
        peak_gflops: float32 matrix-product peak, measured here.
        copy_bandwidth: bytes a second, measured here.
        methods: method -> one line that says what it is, of all that are known to the suite.
        ours: the methods that are jaxpercep's.
        absences: methods that are missing from the whole run.
        cells: in the order of the plan.
        break_even: of jaxpercep's methods against each peer.
        goals: time to a given loss and accuracy.
        schema: version of this file's layout.
    """

    name: str
    command: str
    profile: str
    started: str
    seconds: float
    complete: bool
    interrupted: str | None
    planned: list[str]
    seed: int
    environment: dict[str, Any]
    peak_gflops: float
    copy_bandwidth: float
    methods: dict[str, str]
    ours: list[str]
    absences: list[Absence]
    cells: list[Cell]
    break_even: list[BreakEven] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    schema: int = SCHEMA

    @property
    def floor(self) -> float:
        """The run's noise floor: the median of the cells' floors."""
        floors = sorted(cell.floor for cell in self.cells if cell.null is not None)
        return floors[len(floors) // 2] if floors else 0.0


def save(results: Results, path: Path) -> None:
    """Writes the results; the file that was there stays whole until the new one is."""
    text = json.dumps(dataclasses.asdict(results), indent=1, allow_nan=False)
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text + "\n", "utf-8")
    unfinished.replace(path)


def load(path: Path) -> Results:
    """Reads the results of a run.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, is damaged, or is of another version of the schema.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
    if not isinstance(document, dict) or "schema" not in document:
        raise ValueError(f"{path} holds no benchmark results: it has no field 'schema'.")
    if document["schema"] != SCHEMA:
        raise ValueError(
            f"{path} has schema {document['schema']!r}, this version of the suite reads {SCHEMA}: "
            "repeat the run."
        )
    try:
        return decode(Results, document, "results")
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}.") from error
