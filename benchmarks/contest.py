"""The methods of one cell: each is built, shown to compute the same, and timed in turn with all."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks import truth
from benchmarks.laboratory import CommandError, Laboratory, LateError
from benchmarks.order import balanced_order
from benchmarks.peers import Method
from benchmarks.plan import OUT_OF_TIME, Profile, distinct_batches
from benchmarks.results import Absence, Setting
from benchmarks.worker import Built, Task, settle
from benchmarks.workloads import workload_of

MIN_ROUNDS = 6  # fewer give no interval worth the name
FAR_MORE = 5.0  # times what is usual in a cell


@dataclass
class Entry:
    """An instance of a method that takes part in the rounds.

    Attributes:
        name: under which it was built.
        method: what it is an instance of.
        built: what its first steps gave.
        error: their deviation from float64 truth.
        passes: over the batches, that make a sample.
        turn: seconds that a sample takes, with the warm-up before it.
        second: whether it is the second instance of its method.
        times: seconds a step, of each round.
    """

    name: str
    method: Method
    built: Built
    error: float
    second: bool = False
    passes: int = 0
    turn: float = 0.0
    times: list[float] = field(default_factory=list)


class StartAgainError(Exception):
    """A method is out of the contest, and took with it what the others had built."""


class Contest:
    """One setting and its methods; the first of jaxpercep's takes part twice.

    Attributes:
        absences: of the methods that are out of the contest.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        profile: Profile,
        setting: Setting,
        methods: list[Method],
        seed: int,
        deadline: float,
        show: Callable[[str], None],
    ) -> None:
        self.absences: list[Absence] = []
        self._start = laboratory.clock()
        self._laboratory, self._profile, self._setting = laboratory, profile, setting
        self._methods, self._seed, self._show = methods, seed, show
        self._deadline = deadline  # of the run, on the laboratory's clock
        self._workload = workload_of(setting)
        self._steps = distinct_batches(setting)
        self._initial = self._workload.initial(setting, seed)
        batches = self._workload.batches(setting, self._steps, seed)
        self._truth = truth.reference(self._workload, self._initial, *batches)
        settle()  # our own threads have worked

    def hold(self, seconds: float) -> list[Entry]:
        """Holds it in about that time; returns those who took part."""
        clock = self._laboratory.clock
        end = self._start + seconds
        while True:
            try:
                entries = self._build_all()
                # Building may have taken it all: some time is for the rounds whatever happened.
                left = max(end - clock(), seconds / 4)
                return self._time_all(entries, min(left, self._deadline - clock()))
            except StartAgainError:
                self._laboratory.drop()

    def task(self, method: Method) -> Task:
        """What a method of this cell trains."""
        return Task(method, self._workload, self._setting, self._steps, self._seed)

    def _build_all(self) -> list[Entry]:
        entries: list[Entry] = []
        for method in list(self._methods):
            if self._laboratory.clock() > self._deadline:
                self._remove(method, "skipped", OUT_OF_TIME)
            elif entry := self._build(method.name, method):
                entries.append(entry)
        twin = next((e for e in entries if e.method.ours), entries[0] if entries else None)
        if twin is not None and (second := self._build(f"{twin.name}, again", twin.method)):
            second.second = True
            entries.append(second)
        return entries

    def _build(self, name: str, method: Method) -> Entry | None:
        """Builds and checks an instance; None if the method is out, and the others are not hurt."""
        self._show(f"building {name}")
        call, patience = self._laboratory.call, self._profile.patience
        try:
            built = call(method.process, "build", patience, name=name, task=self.task(method))
        except CommandError as failure:
            self._fail(method, failure)
            if failure.ended:
                raise StartAgainError from failure
            return None
        result = self._initial, built.parameters, built.losses, self._truth
        if wrong := truth.check(*result):
            self._remove(method, "refused", wrong)
            call(method.process, "drop", patience, name=name)
            return None
        return Entry(name, method, built, truth.deviation(*result))

    def _time_all(self, entries: list[Entry], seconds: float) -> list[Entry]:
        for entry in entries:
            self._show(f"calibrating {entry.name}")
            entry.passes, entry.turn = self._ask(entry, "calibrate", target=self._profile.sample)
        entries, rounds = self._fit(entries, seconds)
        for number, order in enumerate(balanced_order(len(entries), rounds, self._seed)):
            self._show(f"round {number + 1} of {rounds}")
            for entry in (entries[i] for i in order):
                seconds = self._ask(entry, "sample", passes=entry.passes)
                entry.times.append(seconds / (entry.passes * self._steps))
        return entries

    def _fit(self, entries: list[Entry], seconds: float) -> tuple[list[Entry], int]:
        """Those who are timed, and in how many rounds.

        If `MIN_ROUNDS` do not fit into the time, those go who need far more of it than the others;
        what the rest takes too long is at the expense of the cells that follow.
        """
        while entries:
            turns = [entry.turn for entry in entries]
            rounds = int(seconds / sum(turns))
            if rounds >= MIN_ROUNDS:
                return entries, min(rounds, self._profile.rounds)
            left = self._deadline - self._laboratory.clock()
            if max(turns) < FAR_MORE * statistics.median(turns) and MIN_ROUNDS * sum(turns) < left:
                return entries, MIN_ROUNDS
            entries = self._without_slowest(entries)
        return [], 0

    def _without_slowest(self, entries: list[Entry]) -> list[Entry]:
        slowest = max(entries, key=lambda entry: entry.turn)
        reason = f"a sample of it takes {slowest.turn:.2g} s: {MIN_ROUNDS} rounds do not fit into "
        self._remove(slowest.method, "skipped", reason + "this cell's share of the time limit")
        return [entry for entry in entries if entry.method != slowest.method]

    def _ask(self, entry: Entry, command: str, **arguments: Any) -> Any:
        """What an instance answers; if it does not, its method is out."""
        try:
            return self._laboratory.call(
                entry.method.process,
                command,
                self._profile.patience,
                name=entry.name,
                **arguments,
            )
        except CommandError as failure:
            self._fail(entry.method, failure)
            raise StartAgainError from failure

    def _fail(self, method: Method, failure: CommandError) -> None:
        late = isinstance(failure, LateError)
        self._remove(method, "skipped" if late else "failed", failure.reason)

    def _remove(self, method: Method, kind: str, reason: str) -> None:
        self._methods = [other for other in self._methods if other != method]
        self.absences.append(Absence(method.name, kind, reason))
