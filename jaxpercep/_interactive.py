"""Progress of a long run, and an orderly Ctrl-C."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(total: int | None) -> Generator[Callable[[int, str], None]]:
    """Shows what is done, time left and a remark on a terminal's standard error, else nothing.

    A total of None is one that is not known.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[remark]}"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("training", total=total, remark="")

        def advance(count: int, remark: str) -> None:
            bar.update(task, advance=count, remark=remark)

        yield advance


class _Deferred:
    """A signal handler that remembers the first Ctrl-C, and raises at the second."""

    def __init__(self) -> None:
        self.received = threading.Event()

    def __call__(self, *_: Any) -> None:
        if self.received.is_set():
            raise KeyboardInterrupt
        self.received.set()


@contextmanager
def deferred_interrupt() -> Generator[Callable[[], bool]]:
    """Turns Ctrl-C into a question that is asked between calls, so that no step is half taken.

    A second Ctrl-C is not deferred. Inside another `deferred_interrupt` the question is that one's.
    Only the main thread may set signal handlers; elsewhere, and where the program has its own
    handler, Ctrl-C keeps its meaning.
    """
    previous = signal.getsignal(signal.SIGINT)
    handler = previous if isinstance(previous, _Deferred) else _Deferred()
    in_charge = (
        threading.current_thread() is threading.main_thread()
        and previous is signal.default_int_handler
    )
    if in_charge:
        signal.signal(signal.SIGINT, handler)
    try:
        yield handler.received.is_set
    finally:
        if in_charge:
            signal.signal(signal.SIGINT, previous)
