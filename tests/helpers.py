"""Helpers of the tests of the command lines."""

import csv
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

WITHOUT_JAX = """
import json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in ("jax", "jaxlib"), f"imports {{name}}"
sys.meta_path.insert(0, Refuse())
from helpers import call
from {module} import main
json.dump([call(main, *words) for words in json.load(sys.stdin)], sys.stdout)
"""


class Result(NamedTuple):
    """The exit code of a command line, and what it printed."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, str]]:
        """Reads what was printed as a CSV file with a header."""
        return list(csv.DictReader(io.StringIO(self.out)))


def call(main: Callable[[list[str]], int], *arguments: object) -> Result:
    """Calls the main function of a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def run(*arguments: object) -> Result:
    """Calls `jaxpercep` in this process."""
    from jaxpercep.cli import main

    return call(main, *arguments)


@contextmanager
def at_most_allocated(limit: int) -> Iterator[None]:
    """Fails if more bytes than the limit are allocated at any one time."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit


def python(program: str, *arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Starts a program in a fresh interpreter."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def without_jax(module: str, *commands: str) -> list[Result]:
    """Calls the main function of a module with each command line, where JAX cannot be imported.

    Raises:
        RuntimeError: JAX was imported, or something else went wrong.
    """
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    with python(
        WITHOUT_JAX.format(module=module),
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": path},
    ) as process:
        out, err = process.communicate(json.dumps([command.split() for command in commands]))
    if process.returncode:
        raise RuntimeError(err)
    return [Result(*result) for result in json.loads(out)]
