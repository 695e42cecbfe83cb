"""A pool of workers without processes: methods that train, and take as long as they are told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import truth
from benchmarks.measure.messages import CallError, Task
from benchmarks.measure.pool import WorkerPool
from benchmarks.measure.worker import Worker, one_line
from benchmarks.peaks import Peaks
from benchmarks.peers import Method, Preparation
from benchmarks.results import Setting
from benchmarks.workloads import Floats, Parameters, Workload, network_of, sampled

MIB = 2**20


class Time:
    """Seconds that pass only where a trainer says so."""

    def __init__(self) -> None:
        self.restart(0)

    def restart(self, seed: int) -> None:
        self.now, self.seed, self.trainers = 0.0, seed, 0


TIME = Time()


class Trainer:
    """Trains rightly in its first steps; from then on it only takes time, unless it `learns`."""

    def __init__(
        self,
        workload: Workload,
        setting: Setting,
        initial: Parameters,
        call: float,
        sample: float,
        compiling: float,
        noise: float,
        gradient: float,
        fails: str,
        learns: bool,
        one_by_one: bool,
    ) -> None:
        self._workload, self._parameters = workload, initial
        self._alone, self._rows = setting.networks is None, sampled(setting.networks or 1)
        networks = len(self._rows) if one_by_one else setting.networks or 1
        self._step, self._compile = call + sample * setting.batch, compiling * setting.depth
        self._step *= networks
        self._noise, self._gradient, self._fails = noise, gradient, fails
        self._learns, self._first = learns, True
        TIME.trainers += 1
        self._rng = np.random.default_rng([TIME.seed, TIME.trainers])
        self._losses: Floats = np.empty(0)

    def place(self, x: Any, y: Any) -> Any:
        return x, y

    def prepare(self, batches: Any) -> Preparation:
        del batches
        if self._fails == "build":
            raise RuntimeError("the compiler gave up\nin line 3")
        TIME.now += self._compile
        return Preparation(self._compile / 4, self._compile * 3 / 4, 3 * MIB)

    def run(self, batches: Any, passes: int) -> Any:
        x, y = batches
        TIME.now += passes * len(x) * self._step * self._rng.lognormal(0, self._noise)
        if self._first or (self._learns and not self._fails):
            self._first, first = False, self._parameters
            if self._alone:
                self._losses, self._parameters = self._trained(first, x, y)
                return self._losses
            results = [self._trained(network_of(first, i), x, y) for i in self._rows]
            self._losses = np.stack([losses for losses, _ in results])
            layers = zip(*(parameters for _, parameters in results), strict=True)
            self._parameters = [
                (np.stack([w for w, _ in layer]), np.stack([b for _, b in layer]))
                for layer in layers
            ]
            return self._losses
        if self._fails == "sample":
            raise CallError("its process ended by SIGSEGV", ended=True)
        return self._losses * (np.nan if self._fails == "diverge" else 1)

    def _trained(self, first: Parameters, x: Any, y: Any) -> tuple[Floats, Parameters]:
        losses, trained = truth.train(self._workload, first, x, y)
        g = self._gradient
        return losses, [
            ((w + g * (v - w)).astype(np.float32), (b + g * (c - b)).astype(np.float32))
            for (w, b), (v, c) in zip(first, trained, strict=True)
        ]

    def losses(self, result: Any) -> Any:
        return result

    def parameters(self) -> Parameters:
        return self._parameters


def build(workload: Workload, setting: Setting, initial: Parameters, **options: Any) -> Trainer:
    return Trainer(workload, setting, initial, **options)


def method(
    name: str,
    call: float = 1e-4,
    sample: float = 1e-6,
    *,
    compiling: float = 0.1,
    noise: float = 0.02,
    gradient: float = 1.0,
    fails: str = "",
    learns: bool = False,
    process: str = "jax",
    ours: bool = False,
    workloads: tuple[str, ...] | None = None,
    least_depth: int = 0,
    slow_to_compile: bool = False,
    populations: bool = False,
    one_by_one: bool = False,
) -> Method:
    """Takes `call + sample * batch` seconds a step, and `compiling * depth` to compile."""
    options = {
        "call": call,
        "sample": sample,
        "compiling": compiling,
        "noise": noise,
        "gradient": gradient,
        "fails": fails,
        "learns": learns,
        "one_by_one": one_by_one,
    }
    return Method(
        name,
        f"{name}, simulated",
        __name__,
        process,
        (),
        tuple(options.items()),
        ours,
        workloads,
        least_depth,
        slow_to_compile,
        populations=populations,
        one_by_one=one_by_one,
    )


class Simulation(WorkerPool):
    """A pool whose clock is `TIME`, which it sets to 0.

    Attributes:
        calls: the calls made: process, function, name.
        interrupt_at: the number of the sample, or epoch, at which Ctrl-C is pressed.
        kept: where JAX keeps what it compiles, of each start of the processes.
    """

    def __init__(
        self, interrupt_at: int | None = None, pools: int = 2, noise_seed: int = 0
    ) -> None:
        super().__init__(cores=[0], patience=60)
        self.calls: list[tuple[str, str, str]] = []
        self.interrupt_at, self._pools = interrupt_at, pools
        self._workers: dict[str, Worker] = {}
        self.kept: list[Path | None] = []
        TIME.restart(noise_seed)

    def clock(self) -> float:
        return TIME.now

    def call(self, process: str, function: Any, *args: Any) -> Any:
        self.calls.append((process, function.__name__, args[0] if args else ""))
        if function is Worker.peaks:
            return Peaks(100.0, 1e10)
        if function is Worker.pools:
            return {"workers": self._pools}
        if function is Worker.libraries:
            return ["blas 1.0"]
        if function in (Worker.sample, Worker.train) and self.samples == self.interrupt_at:
            raise KeyboardInterrupt
        worker = self._workers.setdefault(process, Worker(self.clock))
        try:
            return function(worker, *args)
        except CallError:
            del self._workers[process]
            raise
        except Exception as error:
            raise CallError(one_line(error)) from error

    @property
    def samples(self) -> int:
        return sum(function in ("sample", "train") for _, function, _ in self.calls)

    def restart(self, programs: Path | None = None) -> None:
        self._workers.clear()
        self.kept.append(programs)

    def drop(self) -> None:
        self._workers.clear()

    def peak_memories(self, tasks: Sequence[Task]) -> list[int | CallError | None]:
        return [300 * MIB for _ in tasks]
