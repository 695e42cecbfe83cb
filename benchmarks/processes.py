"""The processes in which methods run: one for each framework, all with the same cores."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

from benchmarks.laboratory import CommandError, LateError
from benchmarks.machine import without_paths
from benchmarks.worker import Task

POOL_SIZES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC")
"""The variables that say how many threads OpenMP, OpenBLAS, MKL and XLA may start."""


class Worker:
    """One process that runs `benchmarks.worker`."""

    def __init__(self, cores: Sequence[int]) -> None:
        self._connection, theirs = Pipe()
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        with theirs:
            main = f"worker.main({theirs.fileno()}, {list(cores)})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from benchmarks import worker; {main}"],
                pass_fds=[theirs.fileno()],
                env=environment(len(cores)),
                stdin=subprocess.DEVNULL,
                stdout=self._output,  # of libraries: theirs to say, and not part of ours
                stderr=self._output,
                process_group=0,  # out of reach of a terminal's Ctrl-C
            )

    def send(self, command: str, arguments: dict[str, Any]) -> None:
        """Gives it a command, the name of a method of `worker.Station`."""
        with contextlib.suppress(BrokenPipeError):  # it has ended: `receive` says how
            self._connection.send((command, arguments))

    def receive(self, patience: float | None = None) -> Any:
        """Returns the result of the last command.

        Raises:
            CommandError: the command raised, or the process ended.
            LateError: there was no answer within `patience` seconds; the process is ended.
        """
        try:
            if patience is not None and not self._connection.poll(patience):
                self.stop()
                raise LateError(f"no answer within {patience:.0f} s", ended=True)
            succeeded, result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if not succeeded:
            raise CommandError(result)
        return result

    def stop(self) -> None:
        """Ends it, whatever it does."""
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):  # it has ended, and left nothing running
            os.killpg(self._process.pid, signal.SIGKILL)  # with the compilers that it has started
        self._process.wait()
        self._output.close()

    def _ended(self) -> CommandError:
        code = self._process.wait()
        how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
        if code == -signal.SIGKILL:
            how += ", as when memory runs out"
        self._output.seek(0)
        words = [line.strip() for line in self._output if line.strip()]
        self.stop()
        last = f": {without_paths(words[-1])[:120]}" if words else ""
        return CommandError(f"its process ended {how}{last}", ended=True)


class Processes:
    """The workers by name; each is started when it is first needed, and again after it ended."""

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = cores
        self._workers: dict[str, Worker] = {}

    clock = staticmethod(time.perf_counter)

    def call(
        self, process: str, command: str, patience: float | None = None, **arguments: Any
    ) -> Any:
        """Runs a command of `worker.Station` in a process, and returns the result.

        Raises:
            CommandError: it had none.
        """
        worker = self._workers.get(process) or Worker(self._cores)
        self._workers[process] = worker
        try:
            worker.send(command, arguments)
            return worker.receive(patience)
        except CommandError as failure:
            if failure.ended:
                del self._workers[process]
            raise

    def drop(self) -> None:
        """Forgets in every process what was built there."""
        for process in list(self._workers):
            with contextlib.suppress(CommandError):  # a process that has ended has forgotten it too
                self.call(process, "drop")

    def peak_memories(
        self, tasks: Sequence[Task], patience: float
    ) -> list[int | CommandError | None]:
        """As many fresh processes at a time as there are cores: nothing is timed here."""
        found: list[int | CommandError | None] = []
        for start in range(0, len(tasks), len(self._cores)):
            found.extend(self._peak_memories(tasks[start : start + len(self._cores)], patience))
        return found

    def _peak_memories(
        self, tasks: Sequence[Task], patience: float
    ) -> Generator[int | CommandError | None]:
        workers = [Worker(self._cores) for _ in tasks]
        try:
            for worker, task in zip(workers, tasks, strict=True):
                worker.send("build", {"name": "", "task": task})
            for worker in workers:
                try:
                    worker.receive(patience)
                    worker.send("peak_memory", {})
                    yield worker.receive()
                except CommandError as failure:
                    yield failure
        finally:
            for worker in workers:
                worker.stop()

    def close(self) -> None:
        """Ends them all."""
        for worker in self._workers.values():
            worker.stop()
        self._workers.clear()


@contextmanager
def opened(cores: Sequence[int]) -> Generator[Processes]:
    """The processes, which end with the block."""
    processes = Processes(cores)
    try:
        yield processes
    finally:
        processes.close()


def environment(threads: int) -> dict[str, str]:
    """The environment variables of a worker: ours, with pools of `threads` threads in each library.

    Compilers may keep nothing: a run that finds what an earlier one compiled measures no compiling.
    """
    return {
        **os.environ,
        **dict.fromkeys(POOL_SIZES, str(threads)),
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
    }
