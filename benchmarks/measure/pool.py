"""The processes in which methods run: one for each framework, all with the same cores."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any, Self, TypeVar, TypeVarTuple

from benchmarks.machine import without_paths
from benchmarks.measure.messages import CallError, Task
from benchmarks.measure.worker import Worker
from benchmarks.results import Reason

R = TypeVar("R")
Args = TypeVarTuple("Args")

POOL_SIZES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC")
"""The variables that limit the threads of OpenMP, OpenBLAS, MKL and XLA."""


@dataclass(frozen=True)
class Home:
    """The Python that a process runs, and where it looks for modules first; by default ours."""

    python: str = sys.executable
    path: Sequence[str] = field(default_factory=lambda: [p or str(Path.cwd()) for p in sys.path])


class WorkerProcess:
    """One process that runs `benchmarks.measure.worker`."""

    def __init__(self, cores: Sequence[int], home: Home, programs: Path | None) -> None:
        self._connection, theirs = Pipe()
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        with theirs:
            main = f"worker.main({theirs.fileno()}, {list(cores)})"
            self._process = subprocess.Popen(
                # -P: else the folder where we were started would come before those of the home.
                [home.python, "-P", "-c", f"from benchmarks.measure import worker; {main}"],
                pass_fds=[theirs.fileno()],
                env=environment(len(cores), home.path, programs),
                stdin=subprocess.DEVNULL,
                stdout=self._output,  # of libraries: theirs to say, and not part of ours
                stderr=self._output,
                process_group=0,  # out of reach of a terminal's Ctrl-C
            )

    def send(self, function: Callable[[Worker, *Args], Any], *args: *Args) -> None:
        """Sends a call of one of `Worker`'s functions."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: `receive` says how
            self._connection.send((function, args))

    def receive(self, patience: float) -> Any:
        """Returns the result of the last call.

        Raises:
            CallError: The call raised, the process ended, or there was no answer within `patience`
                seconds, in which case the process is ended.
        """
        try:
            if not self._connection.poll(patience):
                self.stop()
                detail = f"no answer within {patience:.0f} s"
                raise CallError(detail, ended=True, reason=Reason.NO_ANSWER)
            succeeded, result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if not succeeded:
            raise CallError(result)
        return result

    def stop(self) -> None:
        """Ends the process, whatever it does."""
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):  # it has ended, and left nothing running
            os.killpg(self._process.pid, signal.SIGKILL)  # with the compilers that it has started
        self._process.wait()
        self._output.close()

    def _ended(self) -> CallError:
        code = self._process.wait()
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += ", as when memory runs out"
        self._output.seek(0)
        words = [line.strip() for line in self._output if line.strip()]
        self.stop()
        last = f": {without_paths(words[-1])[:120]}" if words else ""
        return CallError(f"its process ended {how}{last}", ended=True)


class WorkerPool:
    """The worker processes by name; each starts when it is needed, and again after it ended.

    A context manager: the processes end with the block.

    Args:
        cores: that each process may use.
        patience: seconds after which a call that gives no answer is ended, with its process.
        homes: of the processes that have one of their own, by name.
    """

    def __init__(
        self, cores: Sequence[int], patience: float, homes: Mapping[str, Home] | None = None
    ) -> None:
        self._cores, self._patience, self._homes = cores, patience, homes or {}
        self._processes: dict[str, WorkerProcess] = {}
        self._programs: Path | None = None

    clock = staticmethod(time.perf_counter)

    def call(self, process: str, function: Callable[[Worker, *Args], R], *args: *Args) -> R:
        """Calls one of `Worker`'s functions in a process, and returns its result.

        Raises:
            CallError: The call had no result.
        """
        worker = self._processes.get(process) or self._start(process)
        self._processes[process] = worker
        try:
            worker.send(function, *args)
            return worker.receive(self._patience)
        except CallError as failure:
            if failure.ended:
                del self._processes[process]
            raise

    def _start(self, process: str = "") -> WorkerProcess:
        return WorkerProcess(self._cores, self._homes.get(process, Home()), self._programs)

    def drop(self) -> None:
        """Forgets in every process what was built there."""
        for process in list(self._processes):
            with contextlib.suppress(CallError):  # a process that has ended has forgotten it too
                self.call(process, Worker.drop, None)

    def restart(self, programs: Path | None = None) -> None:
        """Ends every process; those to come keep what JAX compiles in that folder, if any."""
        for worker in self._processes.values():
            worker.stop()
        self._processes.clear()
        self._programs = programs

    def peak_memories(self, tasks: Sequence[Task]) -> list[int | CallError | None]:
        """Measures the peak memory of fresh processes that take the first steps of each task.

        Returns:
            Of each, the bytes; None where the system does not say; or what went wrong.
        """
        found: list[int | CallError | None] = []
        # As many at a time as there are cores: nothing is timed here.
        for start in range(0, len(tasks), len(self._cores)):
            found.extend(self._peak_memories(tasks[start : start + len(self._cores)]))
        return found

    def _peak_memories(self, tasks: Sequence[Task]) -> Generator[int | CallError | None]:
        workers = [self._start() for _ in tasks]
        try:
            for worker, task in zip(workers, tasks, strict=True):
                worker.send(Worker.build, "", task)
            for worker in workers:
                try:
                    worker.receive(self._patience)
                    worker.send(Worker.peak_memory)
                    yield worker.receive(self._patience)
                except CallError as failure:
                    yield failure
        finally:
            for worker in workers:
                worker.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.restart()


def environment(threads: int, path: Sequence[str], programs: Path | None) -> dict[str, str]:
    """Returns the environment variables of a worker: ours, with `threads` threads per library.

    Programs are kept in a folder of the run, or not at all: with those of an earlier run, compiling
    would seem free.
    """
    kept = {
        "JAX_COMPILATION_CACHE_DIR": str(programs),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    return {
        **os.environ,
        **dict.fromkeys(POOL_SIZES, str(threads)),
        **(kept if programs else {}),
        "JAX_ENABLE_COMPILATION_CACHE": "true" if programs else "false",
        "JAX_PLATFORMS": "cpu",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "PYTHONPATH": os.pathsep.join(path),
    }
