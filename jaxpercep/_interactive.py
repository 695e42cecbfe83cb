"""Progress of a long run, and an orderly Ctrl-C."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress_bar(total: int) -> Generator[Callable[[int, float], None]]:
    """Shows steps, time left and loss on a terminal's standard error, and nothing elsewhere."""
    console = Console(stderr=True)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[loss]}"),
    )
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("training", total=total, loss="")

        def advance(count: int, loss: float) -> None:
            bar.update(task, advance=count, loss=f"loss {loss:.6g}")

        yield advance


@contextmanager
def deferred_interrupt() -> Generator[Callable[[], bool]]:
    """Turns Ctrl-C into a question that is asked between calls, so that no step is half taken.

    A second Ctrl-C is not deferred. Only the main thread may set signal handlers; elsewhere, and
    where the program has its own handler, Ctrl-C keeps its meaning.
    """
    received = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    in_charge = (
        threading.current_thread() is threading.main_thread()
        and previous is signal.default_int_handler
    )

    def defer(*_: Any) -> None:
        received.set()
        signal.signal(signal.SIGINT, previous)

    if in_charge:
        signal.signal(signal.SIGINT, defer)
    try:
        yield received.is_set
    finally:
        if in_charge:
            signal.signal(signal.SIGINT, previous)
