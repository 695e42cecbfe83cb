"""A laboratory without processes: methods that train, and take as long as they are told to."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import truth
from benchmarks.laboratory import CommandError
from benchmarks.peaks import Peaks
from benchmarks.peers import Method, Preparation
from benchmarks.results import Setting
from benchmarks.worker import Station, Task, reason
from benchmarks.workloads import Floats, Parameters, Workload

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
    ) -> None:
        self._workload, self._parameters = workload, initial
        self._step, self._compile = call + sample * setting.batch, compiling * setting.depth
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
            self._first, first, g = False, self._parameters, self._gradient
            self._losses, trained = truth.train(self._workload, first, x, y)
            self._parameters = [
                ((w + g * (v - w)).astype(np.float32), (b + g * (c - b)).astype(np.float32))
                for (w, b), (v, c) in zip(first, trained, strict=True)
            ]
            return self._losses
        if self._fails == "sample":
            raise CommandError("its process ended by SIGSEGV", ended=True)
        return self._losses * (np.nan if self._fails == "diverge" else 1)

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
    )


class Simulation:
    """A laboratory whose clock is `TIME`, which it sets to 0.

    Attributes:
        calls: what was asked of it: process, command, name.
        interrupt_at: the number of the sample, or epoch, at which Ctrl-C is pressed.
    """

    def __init__(
        self, interrupt_at: int | None = None, pools: int = 2, noise_seed: int = 0
    ) -> None:
        self.calls: list[tuple[str, str, str]] = []
        self.interrupt_at, self._pools = interrupt_at, pools
        self._stations: dict[str, Station] = {}
        TIME.restart(noise_seed)

    def clock(self) -> float:
        return TIME.now

    def call(
        self, process: str, command: str, patience: float | None = None, **arguments: Any
    ) -> Any:
        del patience
        self.calls.append((process, command, arguments.get("name", "")))
        if command == "peaks":
            return Peaks(100.0, 1e10)
        if command in ("pools", "libraries"):
            return {"workers": self._pools} if command == "pools" else ["blas 1.0"]
        if command in ("sample", "train") and self.samples == self.interrupt_at:
            raise KeyboardInterrupt
        station = self._stations.setdefault(process, Station(self.clock))
        try:
            return getattr(station, command)(**arguments)
        except CommandError:
            del self._stations[process]
            raise
        except Exception as error:
            raise CommandError(reason(error)) from error

    @property
    def samples(self) -> int:
        return sum(command in ("sample", "train") for _, command, _ in self.calls)

    def drop(self) -> None:
        self._stations.clear()

    def peak_memories(
        self, tasks: Sequence[Task], patience: float
    ) -> list[int | CommandError | None]:
        del patience
        return [300 * MIB for _ in tasks]
