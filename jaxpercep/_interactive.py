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

    So is SIGTERM, where it is answered as Ctrl-C is: by the command line. A second Ctrl-C is not
    deferred. Inside another `deferred_interrupt` the question is that one's. Only the main thread
    may set signal handlers; elsewhere, and where the program has its own handler, Ctrl-C keeps its
    meaning.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    outer = (handler for handler in handlers.values() if isinstance(handler, _Deferred))
    deferred = next(outer, None) or _Deferred()
    in_main = threading.current_thread() is threading.main_thread()
    taken = [n for n, h in handlers.items() if in_main and h is signal.default_int_handler]
    for number in taken:
        signal.signal(number, deferred)
    try:
        yield deferred.received.is_set
    finally:
        for number in taken:
            signal.signal(number, signal.default_int_handler)
