"""What a run shows of itself on standard error: a bar with the time left, a line for each cell."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class Board:
    """The progress of a run, in seconds of estimated cost.

    Nothing is drawn but when something is said: a bar that renews itself would take time from what
    is being measured.
    """

    def __init__(self, bar: Progress, total: float, clock: Callable[[], float]) -> None:
        self._bar, self._total, self._done, self._clock = bar, total, 0.0, clock
        self._task = bar.add_task("", total=total, left="", now="")
        self._start = clock()

    def show(self, now: str) -> None:
        """Shows what goes on, and about how much time is left."""
        left = self.seconds_left()
        clock = f"about {int(left) // 60}:{int(left) % 60:02} left"
        self._bar.update(self._task, completed=self._done, left=clock, now=now)
        self._bar.refresh()

    def advance(self, cost: float, line: str) -> None:
        """Says that something is done that was estimated to take `cost` seconds."""
        self._done += cost
        self._bar.console.print(line, highlight=False, soft_wrap=True)

    def seconds_left(self) -> float:
        """The estimate of what is left, corrected by how long the rest took."""
        passed = self._clock() - self._start
        pace = passed / self._done if self._done else 1.0
        return max(0.0, self._total * pace - passed)


@contextmanager
def board(total: float, clock: Callable[[], float] = time.monotonic) -> Generator[Board]:
    """A board for a run of `total` seconds of estimated cost."""
    console = Console(stderr=True)
    columns = (BarColumn(20), TextColumn("{task.fields[left]}"), TextColumn("{task.fields[now]}"))
    with Progress(
        *columns,
        console=console,
        transient=True,
        auto_refresh=False,
        disable=not console.is_terminal,
    ) as bar:
        yield Board(bar, total, clock)
