"""`python -m jaxpercep` is `jaxpercep`: the command line as a process, its pipes and signals."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Generator
from typing import Any, TextIO

from jaxpercep._extras import MissingExtraError, needed_by


def main() -> int:
    """Runs the command line and returns its exit code: see `jaxpercep.cli`.

    A standard output that is closed, by `head` for instance, ends the printing and not the work. A
    character that the terminal cannot show is shown as `?`. SIGTERM is answered as Ctrl-C is,
    also by a job in the background, which ignores Ctrl-C.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.unraisablehook = _interrupt_again
    try:
        with needed_by("the command line"), _until_closed(sys.stdout):
            from jaxpercep import cli

            code = cli.main()
    except MissingExtraError as error:
        print(f"jaxpercep: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jaxpercep: interrupted", file=sys.stderr)
        code = 130
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the work is done: nothing is left to interrupt
    if code == 130:
        # Threads of XLA may still be at work, and would use what an orderly exit takes down.
        sys.stderr.flush()
        os._exit(code)
    return code


def _interrupt_again(unraisable: Any) -> None:
    """Repeats an interrupt that Python has dropped, because it arrived in a callback.

    JAX has Python call it before and after each garbage collection, which is often. SIGTERM is
    repeated, since Ctrl-C may be ignored, and it does the same; later, when the callback is over.
    """
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(unraisable)


class _Output(io.FileIO):
    """Standard output, until it takes no more; what comes after that is thrown away."""

    def write(self, data: Any) -> int | None:
        """Returns the number of bytes that were written or, if nobody reads them, thrown away."""
        try:
            return super().write(data)
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            if isinstance(error, BrokenPipeError):
                return len(data)
            raise OSError(error.errno, error.strerror, "standard output") from error


@contextlib.contextmanager
def _until_closed(stream: TextIO) -> Generator[None]:
    """Prints to the stream, if it is a file, line by line, until nobody reads it any more."""
    try:
        descriptor = stream.fileno()
    except (AttributeError, io.UnsupportedOperation):  # replaced by the caller
        yield
        return
    raw = io.BufferedWriter(_Output(descriptor, "wb", closefd=False))
    output = io.TextIOWrapper(raw, stream.encoding, errors="replace", line_buffering=True)
    with output, contextlib.redirect_stdout(output):
        yield


if __name__ == "__main__":
    sys.exit(main())
