"""Where methods run: what the measuring asks of it, and how it says that something went wrong."""

from collections.abc import Sequence
from typing import Any, Protocol

from benchmarks.worker import Task


class CommandError(Exception):
    """A command that had no result.

    Attributes:
        reason: one line.
        ended: whether the process is gone, and with it all that was built there.
    """

    def __init__(self, reason: str, ended: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.ended = ended


class LateError(CommandError):
    """A command that took more than its time, and was ended with its process."""


class Laboratory(Protocol):
    """Processes that methods run in; in tests this one, with a clock of its own."""

    def clock(self) -> float:
        """Seconds, that only grow."""
        ...

    def call(
        self, process: str, command: str, patience: float | None = None, **arguments: Any
    ) -> Any:
        """Runs a command, the name of a method of `worker.Station`, and returns its result.

        Raises:
            CommandError: it had none.
            LateError: it did not answer within `patience` seconds.
        """
        ...

    def drop(self) -> None:
        """Forgets in every process what was built there."""
        ...

    def peak_memories(
        self, tasks: Sequence[Task], patience: float
    ) -> list[int | CommandError | None]:
        """The peak memory of fresh processes, each of which takes the first steps of a task.

        Returns:
            Of each, the bytes; None where the system does not say; or what went wrong, as that it
            took longer than `patience` seconds.
        """
        ...
