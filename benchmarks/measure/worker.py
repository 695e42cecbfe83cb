"""The process that trains: it builds methods, runs them, and reads the clock around them.

Frameworks keep pools of threads that would meet in one process, so each has a process of its own.
It takes `(function, args)` from a pipe, the function one of `Worker`'s, and answers `(True,
result)` or `(False, detail)`.
"""

import contextlib
import gc
import importlib
import math
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine, programs
from benchmarks.instructions import counted
from benchmarks.machine import without_paths
from benchmarks.measure.messages import Built, Task
from benchmarks.peaks import Peaks, measure_peaks
from benchmarks.peers import Trainer
from benchmarks.results import Program
from benchmarks.workloads import Floats, Parameters

WORKING = 0.2
"""A thread works if it uses at least this share of what the busiest one does."""

WARM_UP = 0.04
"""Seconds of work before a sample: threads that have slept are woken on one core, and the scheduler
takes as long to spread them."""

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds: how finely threads' time is counted


class Worker:
    """Builds methods under names of their own, and times them.

    Attributes:
        clock: seconds, that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self._ready: dict[str, tuple[Trainer, Any]] = {}
        self._programs: dict[tuple[str, str], Program | None] = {}

    def load(self, module: str) -> None:
        """Imports a module of a method, which may import a framework."""
        importlib.import_module(module)

    def build(self, name: str, task: Task) -> Built:
        """Builds a method and takes its first steps, one on each batch.

        The import of the framework and the placing of the data are not timed.
        """
        method, workload, setting, steps, seed = task
        known = programs.executables()
        trainer = method.build(workload, setting, workload.initial(setting, seed))
        batches = trainer.place(*workload.batches(setting, steps, seed))
        start = self.clock()
        preparation = trainer.prepare(batches)
        result = trainer.run(batches, 1)
        first_call = self.clock() - start
        program = self._program(task, known)
        self._ready[name] = trainer, batches
        gc.collect()
        gc.freeze()  # what stays need not be searched before each sample
        return Built(preparation, program, first_call, trainer.losses(result), trainer.parameters())

    def _program(self, task: Task, known: Sequence[Any]) -> Program | None:
        """Describes what is compiled that was not known; of a task before, what it was then."""
        key = task.method.name, task.setting.key
        if key not in self._programs:
            old = {id(one) for one in known}
            new = [one for one in programs.executables() if id(one) not in old]
            self._programs[key] = programs.largest(new)
        return self._programs[key]

    def calibrate(self, name: str, target: float) -> tuple[int, float, float | None]:
        """Doubles the passes until they take half of `target` seconds, and scales from there.

        Returns:
            `passes`, `turn` and `instructions` of a `sampler.Instance`, these for a pass.
        """
        trainer, batches = self._ready[name]
        passes, seconds = 1, self._timed(trainer, batches, 1)
        while seconds < target / 2:
            passes *= 2
            seconds = self._timed(trainer, batches, passes)
        scaled = max(1, round(passes * target / seconds))
        seconds *= scaled / passes
        turn = seconds * (math.ceil(WARM_UP / seconds) + 1)
        try:
            instructions = counted(partial(self._timed, trainer, batches, passes)) / passes
        except OSError:
            instructions = None  # the run says why
        return scaled, turn, instructions

    def sample(self, name: str, passes: int, warm_up: float) -> float:
        """Works for `warm_up` seconds and then for some passes, and returns what these took.

        Raises:
            ValueError: the training has diverged: arithmetic on NaN takes another time.
        """
        trainer, batches = self._ready[name]
        start = self.clock()
        while self.clock() - start < warm_up:
            trainer.run(batches, passes)
        return self._timed(trainer, batches, passes)

    def train(self, name: str, x: Floats, y: NDArray[Any]) -> tuple[float, Parameters]:
        """Trains on every batch of other data, of the same shapes; placing them is not timed.

        Returns:
            The seconds that it took, and the parameters after it.
        """
        trainer, _ = self._ready[name]
        seconds = self._timed(trainer, trainer.place(x, y), 1)
        return seconds, trainer.parameters()

    def _timed(self, trainer: Trainer, batches: Any, passes: int) -> float:
        gc.collect()
        gc.disable()
        try:
            start = self.clock()
            result = trainer.run(batches, passes)
            seconds = self.clock() - start
        finally:
            gc.enable()
        if not np.isfinite(trainer.losses(result)).all():
            raise ValueError("the training diverged while it was timed: lower the learning rate")
        return seconds

    def pools(self, name: str, seconds: float) -> dict[str, int]:
        """Counts the threads of each pool that work during a burst; a pool's share a name."""
        trainer, batches = self._ready[name]
        before, start = _thread_times(), time.perf_counter()
        while time.perf_counter() - start < seconds:
            trainer.run(batches, 1)
        used = {key: time - before.get(key, 0.0) for key, time in _thread_times().items()}
        least = max(TICK, WORKING * max(used.values()))
        return dict(Counter(pool for (_, pool), seconds in used.items() if seconds >= least))

    def environment(self) -> dict[str, Any]:
        """Describes where this process runs, and the folder of the jaxpercep that it imports."""
        jaxpercep = importlib.import_module("jaxpercep")
        return {"jaxpercep": str(Path(jaxpercep.__path__[0])), **machine.describe()}

    def libraries(self) -> list[str]:
        """Lists the numerical libraries that this process has loaded."""
        import threadpoolctl

        named = ("internal_api", "version", "architecture")
        loaded = threadpoolctl.threadpool_info()
        return sorted(" ".join(str(info[k]) for k in named if info.get(k)) for info in loaded)

    def peaks(self) -> Peaks:
        """Measures what the machine can do at best."""
        return measure_peaks()

    def peak_memory(self) -> int | None:
        """Returns the most bytes this process has had in memory; None if the system hides it."""
        status = Path("/proc/self/status")  # getrusage would count the process that forked this one
        if not status.exists():
            return None
        lines = status.read_text("utf-8").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

    def drop(self, name: str | None) -> None:
        """Forgets one method; all, if it is None."""
        if name is None:
            self._ready.clear()
        else:
            self._ready.pop(name, None)
        gc.unfreeze()
        gc.collect()
        gc.freeze()


def settle(limit: float = 1.0) -> None:
    """Waits until this process rests, or for `limit` seconds.

    The threads of a pool keep asking for work when it is done (those of OpenBLAS for 0.1 s), which
    would slow down the next method that is timed.
    """
    deadline, busy = time.monotonic() + limit, True
    while busy and time.monotonic() < deadline:
        before = time.process_time()
        time.sleep(0.002)
        busy = time.process_time() - before > 0.0004


def serve(connection: Connection, worker: Worker) -> None:
    """Calls functions of `Worker`, as they are asked for, until the other side hangs up."""
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        try:
            answer = True, function(worker, *args)
        except Exception as error:
            answer = False, one_line(error)
        settle()
        connection.send(answer)


def one_line(error: BaseException) -> str:
    """Describes an error in one line, without paths of this machine."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = without_paths(": ".join([type(error).__name__, *lines[:1]]))
    return text if len(text) <= 200 else text[:199] + "\u2026"


def _thread_times() -> dict[tuple[str, str], float]:
    """Returns the processor time of this process's threads in seconds, by number and name."""
    found = {}
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it has ended since it was listed
            name, _, rest = (task / "stat").read_text("utf-8").partition("(")[2].rpartition(")")
            user, system = rest.split()[11:13]
            found[task.name, name] = (int(user) + int(system)) * TICK
    return found


def main(pipe: int, cores: Sequence[int]) -> None:
    """Serves at the other end of a pipe, on these cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    serve(Connection(pipe), Worker())
