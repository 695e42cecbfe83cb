"""The record of a run: its folder, what `results.json` there holds, and how that is written.

Times are seconds, memory is bytes, rates are per second, ratios are dimensionless. A number that
was not measured is None, and a note says why.
"""

import json
import math
from collections.abc import Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

SCHEMA = 4
"""Version of the schema of `results.json`; a file of another version is refused."""

DIGITS = 5  # significant ones in the file: a sample varies in its third

RESULTS = "results.json"
CONTENT = {RESULTS, "report.html", "report.md", "pictures"}  # of the folder


# What jaxpercep gives is imported in functions: an older one, which a process of `compare` imports
# beside this file, may lack it.


class Record(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the file: fields with their default value are left out, unknown ones refused."""


# Checked when a file is read. The bounds are far beyond any measurement: ratios stay finite.
Positive: TypeAlias = Annotated[float, Meta(ge=1e-30, le=1e30)]
Size: TypeAlias = Annotated[int, Meta(ge=1)]
Blocks: TypeAlias = list[list[Positive]]


class Interval(Record, frozen=True):
    """A median or a mean with its confidence interval, at 95 %."""

    median: Positive
    low: Positive
    high: Positive

    def excludes(self, value: float) -> bool:
        """Returns whether the value lies outside the interval."""
        return not self.low <= value <= self.high


def distance(ratio: float) -> float:
    """Returns how far a ratio is from 1, either way: that of 2, or of 1/2, is 1."""
    return max(ratio, 1 / ratio) - 1


class Setting(Record, frozen=True):
    """The network that a cell trains, and on how many samples a step.

    Attributes:
        workload: name in `workloads.WORKLOADS`: `"classification"`, `"classification-adam"`,
            `"regression"`, `"xor"`, ...
        sizes: features in, the hidden widths, features out.
        batch: samples a step.
        sweeps: the curves that it is a point of: `"batch"`, `"depth"`, `"width"`, `"grid"`; several
            where it is on several.
        networks: size of the population, whose networks share the batch; None for a network alone.
    """

    workload: str
    sizes: Annotated[tuple[Size, ...], Meta(min_length=2)]
    batch: Size
    sweeps: tuple[str, ...] = ()
    networks: Size | None = None

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
        population = f", {self.networks} networks" if self.networks else ""
        return f"{self.workload} {sizes} batch {self.batch}{population}"


class Program(Record, frozen=True):
    """The largest program that a method compiles, by XLA's own account: counts, without noise.

    Attributes:
        operations: kernels, calls and loops that a call of it dispatches, beside those of loops.
        looped: those that an iteration dispatches, of all its loops together.
        flops: floating point operations.
        bytes: that its operations read and write.
    """

    operations: int
    looped: int
    flops: int
    bytes: int


class Measurement(Record):
    """One method in one cell; in a population, a step is a step of one of its networks.

    Attributes:
        method: its name, as `"jaxpercep manual"`.
        times: of each block, seconds a step at steady state, one for each round; rounds are shared
            by the methods of a cell, so that ratios are paired. Empty in blocks without it.
        passes: how often each of these samples goes over the batches of the cell.
        seconds: the median of `times`, with its interval.
        trace: seconds to trace and lower; None where there is no compilation.
        compile: seconds to compile.
        first_call: seconds from a built model to the end of the first call, compilation included.
        dispatch: seconds of a step on the smallest network of this depth: the cost of a call by
            itself.
        samples_per_second: batch / seconds.
        gflops: 1e9 floating point operations a second, by `flops.step_flops`.
        peak_fraction: of the measured matrix-product peak of this machine.
        bandwidth_fraction: of its measured copy bandwidth, by `flops.step_bytes`.
        bound: `"compute"`, `"memory"` or `"overhead"`: the limit of this cell by the roofline.
        temporary_bytes: of the compiled step; XLA methods only.
        program: what was compiled; XLA methods only.
        instructions: of the processor, a step; None where the system does not let us count.
        peak_rss: peak resident memory of a fresh process that trains this cell.
        error: largest deviation from float64 truth after the checked steps, relative to how far the
            parameters moved.
        ratio: seconds / seconds of the cell's `best_peer`, paired.
        to_limit: seconds / seconds of the same step in C++, paired.
        notes: remarks, such as why a number was not measured.
    """

    method: str
    times: Blocks
    passes: Size
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
    program: Program | None = None
    instructions: float | None = None
    peak_rss: int | None = None
    ratio: Interval | None = None
    to_limit: Interval | None = None
    notes: list[str] = msgspec.field(default_factory=list)


class Reason(Enum):
    """Why a method was not timed: the first six are planned, the rest came up in the run."""

    NOT_INSTALLED = "not installed"
    NOT_SELECTED = "not selected"  # by --methods
    UNSUITABLE = "unsuitable"  # the method cannot train such a network, or is not for it
    OTHER_KIND = "other kind"  # it is for populations, or for networks alone: no record has it
    SLOW_TO_COMPILE = "slow to compile"  # the profile leaves it to other cells
    LONG_FIRST_CALL = "long first call"  # expected from shallower networks
    OUT_OF_TIME = "out of time"  # the run's time limit
    TOO_SLOW = "too slow"  # for the cell's share of it
    NO_ANSWER = "no answer"  # within the patience of the profile
    WRONG = "wrong"  # its result is not that of float64 truth
    FAILED = "failed"  # it raised, or its process ended

    @property
    def planned(self) -> bool:
        """Whether it was known before the run."""
        return self in list(Reason)[:6]


class Absence(Record, frozen=True):
    """A method that was not timed in a cell, or in the whole run, and why.

    Attributes:
        method: its name.
        reason: why not.
        detail: the same for the reader, in one line; no code depends on it.
    """

    method: str
    reason: Reason
    detail: str

    @property
    def kind(self) -> Literal["skipped", "refused", "failed"]:
        """In a word: it was not tried to the end, its result was wrong, or it broke."""
        if self.reason is Reason.WRONG:
            return "refused"
        return "failed" if self.reason is Reason.FAILED else "skipped"


class Cell(Record):
    """One setting, and every method in it.

    Attributes:
        setting: the network and the batch.
        flops: floating point operations of a step, analytic.
        bytes: moved by a step at least, analytic.
        measurements: of the methods that were timed.
        absences: of the others.
        best_peer: the fastest framework that is not jaxpercep's; None if none was timed.
        blocks: how often it was measured, each time in new processes.
        again: the times of a second instance of one method, as in `Measurement.times`.
        null: the A/A ratio: that instance against the first, paired.
        null_method: the name of that method.
        notes: numbers that were measured for no method here, and why not.
    """

    setting: Setting
    flops: int
    bytes: int
    measurements: list[Measurement]
    absences: list[Absence]
    best_peer: str | None = None
    blocks: int = 1
    again: Blocks = msgspec.field(default_factory=list)
    null: Interval | None = None
    null_method: str | None = None
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def floor(self) -> float:
        """The noise floor: how far from 1 the A/A interval reaches."""
        return 0.0 if self.null is None else max(map(distance, (self.null.low, self.null.high)))

    @property
    def out_of_time(self) -> bool:
        """True if nothing was timed because the run's time limit was over."""
        limited = any(absence.reason is Reason.OUT_OF_TIME for absence in self.absences)
        return limited and not self.measurements

    def of(self, method: str) -> Measurement | None:
        """Returns the measurement of a method, or None."""
        return next((m for m in self.measurements if m.method == method), None)


class Goal(Record, frozen=True):
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


class Results(Record):
    """A whole run; the table in `RESULTS.md` says what each field holds."""

    schema: int
    name: str
    command: str
    profile: str
    started: str
    seconds: float
    complete: bool
    interrupted: Literal["Ctrl-C", "time limit"] | None
    planned: list[str]
    seed: Annotated[int, Meta(ge=0, lt=2**32)]
    environment: dict[str, Any]
    warnings: list[str]
    peak_gflops: Positive
    copy_bandwidth: Positive
    methods: dict[str, str]
    ours: list[str]
    limits: list[str]
    absences: list[Absence]
    cells: list[Cell]
    goals: list[Goal]

    @property
    def floor(self) -> float:
        """The run's noise floor: the median of the cells' floors."""
        floors = sorted(cell.floor for cell in self.cells if cell.null is not None)
        return floors[len(floors) // 2] if floors else 0.0


def unfinished(folder: Path) -> Path:
    """Returns where a run is kept, beside its folder, until every planned cell is measured."""
    return folder.with_name(folder.name + ".unfinished")


def check_replaceable(folder: Path) -> None:
    """Raises a `ValueError` unless a run's results may be written to `folder`.

    They may where nothing is there, an empty folder, or the results of a run with no other files
    beside them; in a folder that can be written to.
    """
    from jaxpercep._files import writing

    writing.check_replaceable(folder, "benchmark run", RESULTS, CONTENT)
    if (folder / RESULTS).exists():
        load(folder / RESULTS)


def save(results: Results, path: Path) -> None:
    """Writes the results, to `DIGITS` digits; the file that was there stays whole until then."""
    from jaxpercep._files.writing import write_whole

    exact = json.dumps(msgspec.to_builtins(results))
    fields = json.loads(exact, parse_float=_rounded, parse_constant=_rounded)
    write_whole(path, "{\n" + ",\n".join(_lines(fields)) + "\n}\n")


def load(path: Path) -> Results:
    """Reads the results of a run.

    Raises:
        OSError: The file cannot be read.
        ValueError: It holds something else, is damaged, or has another version of the schema.
    """
    from jaxpercep._files.json import decode_json

    content = path.read_bytes()
    try:
        schema = decode_json(content, _Version).schema
        if schema == SCHEMA:
            return decode_json(content, Results)
    except msgspec.ValidationError as error:
        raise ValueError(
            f"{path} is not a benchmark run: {error}. Name its results.json."
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}. Repeat the run.") from error
    raise ValueError(
        f"{path} has schema {schema}, this version of the suite reads {SCHEMA}: repeat the run."
    )


class _Version(msgspec.Struct):
    """The one field that every version of the file has."""

    schema: int


def _rounded(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"a result is {value}: expected a finite number.")
    return float(f"{value:.{DIGITS}g}")


def _lines(fields: dict[str, Any]) -> Iterator[str]:
    """Yields a field a line, and a line for each object in a list: two versions can be compared."""
    for name, value in fields.items():
        write = partial(json.dumps, separators=(",", ":"), ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f'"{name}": [\n' + ",\n".join(map(write, value)) + "\n]"
        else:
            yield f'"{name}": {write(value)}'
