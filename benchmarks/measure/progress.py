"""The progress of a run on standard error: a bar with the time left, and a line for each cell."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn


class ProgressBar:
    """The progress of a run, in seconds of estimated cost.

    It is drawn only when it is told something: a bar that renews itself would take time from the
    methods that are measured.
    """

    def __init__(
        self, bar: Progress, total: float, limit: float, clock: Callable[[], float]
    ) -> None:
        self._bar, self._task = bar, bar.add_task("", total=total, left="", now="")
        self._clock, self._start = clock, clock()
        self._limit, self._left, self._done = limit, total, 0.0
        self._end = self._start + min(total, limit)

    def show(self, now: str) -> None:
        """Shows the present activity, and about how much time is left."""
        minutes, seconds = divmod(round(max(0.0, self._end - self._clock())), 60)
        left = f"about {minutes}:{seconds:02} left"
        self._bar.update(self._task, completed=self._done, left=left, now=now)
        self._bar.refresh()

    def advance(self, cost: float, line: str) -> None:
        """Prints a line: something is done that was estimated to take `cost` seconds.

        The rest is expected to exceed its estimate by the same factor as everything until now.
        """
        self._bar.console.print(line, highlight=False, soft_wrap=True)
        self._done, self._left, now = self._done + cost, self._left - cost, self._clock()
        if self._done:
            pace = (now - self._start) / self._done
            self._end = min(now + pace * self._left, self._start + self._limit)


@contextmanager
def progress_bar(
    total: float, limit: float, clock: Callable[[], float] = time.monotonic
) -> Generator[ProgressBar]:
    """Shows a run of `total` seconds of estimated cost, which may take `limit` seconds."""
    console = Console(stderr=True)
    columns = (BarColumn(20), TextColumn("{task.fields[left]}"), TextColumn("{task.fields[now]}"))
    with Progress(
        *columns,
        console=console,
        transient=True,
        auto_refresh=False,
        disable=not console.is_terminal,
    ) as bar:
        yield ProgressBar(bar, total, limit, clock)
