"""The methods of one cell: each is built, shown to compute the same, and timed in turn with all."""

import statistics
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from benchmarks import truth
from benchmarks.measure.messages import Built, CallError, Task
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.worker import WARM_UP, Worker, settle
from benchmarks.peers import Method
from benchmarks.plan import OUT_OF_TIME, Profile, distinct_batches
from benchmarks.results import Absence, Reason, Setting
from benchmarks.truth import Reference, reference
from benchmarks.workloads import Floats, Parameters, network_of, sampled, workload_of

MIN_ROUNDS = 4  # of the first block: fewer give no interval worth the name
FAR_MORE = 5.0  # times what is usual in a cell

TURNS = 4  # of a pair, in a round
AWAKE = 0.005  # seconds of work before a turn that follows another: the threads have hardly slept


@dataclass
class Instance:
    """An instance of a method that is sampled in the rounds.

    Attributes:
        name: under which it was built.
        method: of which it is an instance.
        built: the result of its first steps.
        error: their deviation from float64 truth.
        passes: over the batches, that make a sample.
        turn: seconds that a sample takes, with the warm-up before it.
        instructions: of the processor, a step; None where they cannot be counted.
        times: seconds a step of a network, of each round.
    """

    name: str
    method: Method
    built: Built
    error: float
    passes: int = 0
    turn: float = 0.0
    instructions: float | None = None
    times: list[float] = field(default_factory=list)


class StartOverError(Exception):
    """A method is out, and took with it what the others had built."""


class Sampler:
    """Samples the methods of one setting; the first of jaxpercep's takes part twice, unless told.

    Attributes:
        absences: of the methods that could not be sampled.
    """

    def __init__(
        self,
        pool: WorkerPool,
        profile: Profile,
        setting: Setting,
        methods: Sequence[Method],
        seed: int,
        deadline: float,
        show: Callable[[str], None],
        *,
        twice: bool = True,
    ) -> None:
        self.absences: list[Absence] = []
        self._start = pool.clock()
        self._pool, self._profile, self._setting = pool, profile, setting
        self._methods, self._seed, self._show = list(methods), seed, show
        self._deadline, self._twice = deadline, twice
        self._workload = workload_of(setting)
        self._steps = distinct_batches(setting)
        initial = self._workload.initial(setting, seed)
        batches = self._workload.batches(setting, self._steps, seed)
        alone, rows = setting.networks is None, sampled(setting.networks or 1)
        networks = [initial] if alone else [network_of(initial, i) for i in rows]
        self._truths = [(one, reference(self._workload, one, *batches)) for one in networks]
        settle()  # our own threads have worked

    def sample(self, seconds: float) -> list[Instance]:
        """Builds and times the methods in about that time; returns the instances with times."""
        end = self._start + seconds

        def time(instances: list[Instance]) -> list[Instance]:
            self._calibrate(instances)
            # Building may have taken it all: some time is for the rounds whatever happened.
            rest = max(end - self._pool.clock(), seconds / 4)
            instances, rounds = self._fit(instances, rest)
            self._time([[instance] for instance in instances], rounds)
            return instances

        return self._with_all(time)

    def calibrate(self) -> list[Instance]:
        """Builds the methods, and finds how many passes make a sample; times nothing."""
        return self._with_all(self._calibrate)

    def repeat(
        self, passes: Mapping[str, int], rounds: int, pairs: Sequence[tuple[str, str]] = ()
    ) -> list[Instance]:
        """Builds and times the methods again, with so many passes a sample of each.

        Those of a pair are sampled in alternation, ABBAABBA. The closer in time two samples are,
        the more alike is the machine that they meet: 10 ms apart, those of one method differ by
        half as much as a round apart. With pairs, what has no partner is not timed.
        """

        def time(instances: list[Instance]) -> list[Instance]:
            built = {instance.name: instance for instance in instances}
            for instance in instances:
                instance.passes = passes[instance.method.name]
            found = [[built[name] for name in pair] for pair in pairs if built.keys() >= {*pair}]
            self._time(found if pairs else [[instance] for instance in instances], rounds)
            return instances

        return self._with_all(time)

    def task(self, method: Method) -> Task:
        """Returns what a method of this cell trains."""
        return Task(method, self._workload, self._setting, self._steps, self._seed)

    def _with_all(self, function: Callable[[list[Instance]], list[Instance]]) -> list[Instance]:
        """Calls it with every instance; without a method, if that fails and ends the process."""
        while True:
            try:
                return function(self._build_all())
            except StartOverError:
                self._pool.drop()

    def _build_all(self) -> list[Instance]:
        found: list[Instance] = []
        for method in list(self._methods):
            # All are imported first: importing Flax makes JAX compile again what it has compiled.
            with self._out_if_it_fails(method):
                self._pool.call(method.process, Worker.load, method.module)
        for method in list(self._methods):
            if self._pool.clock() > self._deadline:
                self._remove(method, Reason.OUT_OF_TIME, OUT_OF_TIME)
            elif instance := self._build(method.name, method):
                found.append(instance)
        twin = next((e for e in found if e.method.ours), found[0] if found else None)
        second = self._build(again(twin.name), twin.method) if self._twice and twin else None
        return [*found, second] if second else found

    def _build(self, name: str, method: Method) -> Instance | None:
        """Builds and checks an instance; None if the method is out, and the others are not hurt."""
        self._show(f"building {name}")
        built = None
        with self._out_if_it_fails(method):
            built = self._pool.call(method.process, Worker.build, name, self.task(method))
        if built is None:
            return None
        results = self._results(built)
        if wrong := next(filter(None, (truth.check(*result) for result in results)), None):
            self._remove(method, Reason.WRONG, wrong)
            self._pool.call(method.process, Worker.drop, name)
            return None
        return Instance(name, method, built, max(truth.deviation(*one) for one in results))

    def _results(self, built: Built) -> list[tuple[Parameters, Parameters, Floats, Reference]]:
        """Returns the arguments of `truth.check`, for each network that is checked."""
        parameters, losses = built.parameters, built.losses
        if self._setting.networks is None:
            found = [(parameters, losses)]
        else:
            found = [(network_of(parameters, i), one) for i, one in enumerate(losses)]
        pairs = zip(self._truths, found, strict=True)
        return [(initial, *result, true) for (initial, true), result in pairs]

    def _calibrate(self, instances: list[Instance]) -> list[Instance]:
        for instance in instances:
            self._show(f"calibrating {instance.name}")
            method, target = instance.method, self._profile.sample * instance.method.longer
            with self._out_if_it_fails(method, alone=False):
                found = self._pool.call(method.process, Worker.calibrate, instance.name, target)
            instance.passes, instance.turn, counted = found
            instance.instructions = counted and counted / self._steps_of(instance)
        return instances

    def _time(self, groups: Sequence[list[Instance]], rounds: int) -> None:
        rounds = rounds if groups else 0
        for number, order in enumerate(balanced_order(len(groups), rounds, self._seed)):
            self._show(f"round {number + 1} of {rounds}")
            for group in (groups[i] for i in order):
                for turn in range(1 if len(group) == 1 else TURNS):
                    for instance in group[:: (-1) ** (number + turn)]:
                        self._sample(instance, AWAKE if turn else WARM_UP)

    def _sample(self, instance: Instance, warm_up: float) -> None:
        method, passes, call = instance.method, instance.passes, Worker.sample
        with self._out_if_it_fails(method, alone=False):
            seconds = self._pool.call(method.process, call, instance.name, passes, warm_up)
        instance.times.append(seconds / (passes * self._steps_of(instance)))

    def _steps_of(self, instance: Instance) -> int:
        """Counts the steps of a pass, of all networks together."""
        return self._steps * instance.method.networks(self._setting)

    def _fit(self, instances: list[Instance], seconds: float) -> tuple[list[Instance], int]:
        """Returns the instances that are timed, and in how many rounds.

        If `MIN_ROUNDS` do not fit into the time, those go that need far more of it than the others;
        the excess of the rest is at the expense of the cells that follow.
        """
        left = self._deadline - self._pool.clock()
        reason = Reason.OUT_OF_TIME if left < seconds else Reason.TOO_SLOW
        while instances:
            turns = [instance.turn for instance in instances]
            rounds = int(min(seconds, left) / sum(turns))
            if rounds >= MIN_ROUNDS:
                return instances, min(rounds, self._profile.rounds)
            alike = max(turns) < FAR_MORE * statistics.median(turns)
            if alike and 2 * MIN_ROUNDS * sum(turns) < left:  # the other blocks are to come
                return instances, MIN_ROUNDS
            instances = self._without_slowest(instances, reason)
        return [], 0

    def _without_slowest(self, instances: list[Instance], reason: Reason) -> list[Instance]:
        slowest = max(instances, key=lambda instance: instance.turn)
        share = "this cell's share of " if reason is Reason.TOO_SLOW else ""
        limit = f"{share}the run's time limit"
        detail = f"a sample takes {slowest.turn:.2g} s: {MIN_ROUNDS} rounds do not fit into {limit}"
        self._remove(slowest.method, reason, detail)
        return [instance for instance in instances if instance.method != slowest.method]

    @contextmanager
    def _out_if_it_fails(self, method: Method, *, alone: bool = True) -> Generator[None]:
        """Removes a method if a call to its worker fails, unless alone with what others built."""
        try:
            yield
        except CallError as failure:
            self._remove(method, failure.reason, failure.detail)
            if failure.ended or not alone:
                raise StartOverError from failure

    def _remove(self, method: Method, reason: Reason, detail: str) -> None:
        self._methods = [other for other in self._methods if other != method]
        self.absences.append(method.absent(reason, detail))


def again(name: str) -> str:
    """Returns the name of a second instance."""
    return f"{name}, again"


def balanced_order(entries: int, rounds: int, seed: int) -> list[list[int]]:
    """Draws random orders in which position and predecessor are balanced; one for each round.

    Within each block of n rounds (2n if n is odd) every entry takes every position equally often,
    and follows every other one equally often: caches and clocks, as a method leaves them, favour
    none. Rows come in random order, under random names.

    Source: Williams, "Experimental designs balanced for the estimation of residual effects of
    treatments", Australian Journal of Scientific Research A2 (1949).
    """
    rng = np.random.default_rng(seed)
    zigzag = [(k + 1) // 2 if k % 2 else -(k // 2) for k in range(entries)]  # 0, 1, -1, 2, -2, ...
    square = (np.arange(entries)[:, None] + zigzag) % entries
    if entries % 2:
        square = np.concatenate([square, square[:, ::-1]])
    found: list[list[int]] = []
    while len(found) < rounds:
        names = rng.permutation(entries)
        found.extend(names[row].tolist() for row in rng.permutation(square))
    return found[:rounds]
