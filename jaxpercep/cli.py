"""The command line: exit codes and error messages.

Nothing here imports JAX or NumPy before a command runs, so `--help`, `--version` and wrong
arguments are answered at once.

Exit codes: 0, done; 1, the run failed (training diverged, a result cannot be written); 2, the
arguments, or a file that they name, cannot be used; 130, Ctrl-C. Those of `compare`: 0, the
gradients match; 1, one of them is wrong; 2, anything else; 130, Ctrl-C.
"""

import importlib.metadata
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

import platformdirs
import tyro

from jaxpercep._interactive import deferred_interrupt
from jaxpercep.commands.arguments import (
    Compare,
    Predict,
    Sweep,
    Tour,
    Train,
    UsageError,
    sentence,
)
from jaxpercep.commands.paths import PATHS

CACHE_BYTES = 2**28


@dataclass(frozen=True)
class Arguments:
    """Perceptrons and multi-layer perceptrons in JAX, every layer with its hand-written pullback.

    Attributes:
        command: what to do
        cache: keep compiled programs in the user's cache folder, for the next run
        version: show the version and exit
    """

    command: Tour | Train | Predict | Sweep | Compare = field(default_factory=Tour)
    cache: bool = True
    version: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        arguments: the words after the program's name; None takes them from `sys.argv`.

    Raises:
        SystemExit: words that are no arguments (code 2), or `--help` (code 0).
    """
    config = (
        tyro.conf.OmitArgPrefixes,
        tyro.conf.OmitSubcommandPrefixes,
        tyro.conf.CascadeSubcommandArgs,  # `train xor --no-cache`
    )
    parsed = tyro.cli(Arguments, prog="jaxpercep", args=arguments, config=config, registry=PATHS)
    if parsed.version:
        print(f"jaxpercep {importlib.metadata.version('jaxpercep')}")
        return 0
    if parsed.cache:
        keep_programs()
    name = f"jaxpercep {type(parsed.command).__name__.lower()}"
    comparing = isinstance(parsed.command, Compare)
    failed = 2 if comparing else 1  # of compare, 1 is a verdict
    # What compare is given is the user's code: a ValueError outside of that is a fault of ours.
    expected = (OSError,) if comparing else (OSError, ValueError, TypeError)
    try:
        with warnings.catch_warnings():
            if not comparing:  # of the user's code the place is worth knowing
                warnings.showwarning = partial(_warn, name)
            return _run(parsed.command)
    except KeyboardInterrupt:
        return _fail(f"{name}: interrupted", 130)
    except UsageError as error:
        return _fail(f"{name}: error: {error}", 2)
    except expected as error:
        return _fail(f"{name}: error: {sentence(error)}", failed)
    except Exception:
        if not comparing:
            raise
        traceback.print_exc()
        return failed


def keep_programs() -> None:
    """Has JAX keep what it compiles, unless it is imported already, or the environment says where.

    The programs that were not used for longest go when there are `CACHE_BYTES` of them. One that
    was cut off while it was written is compiled again.
    """
    if "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    settings = {
        "JAX_COMPILATION_CACHE_DIR": platformdirs.user_cache_path("jaxpercep") / "programs",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": 0,
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": -1,
        "JAX_COMPILATION_CACHE_MAX_SIZE": CACHE_BYTES,
        # On some processors JAX 0.10 logs an error for each program that it reads (issue 38445 of
        # JAX), and goes on. True errors are raised.
        "TF_CPP_MIN_LOG_LEVEL": 3,
    }
    for name, value in settings.items():
        os.environ.setdefault(name, str(value))
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")


def _run(command: Tour | Train | Predict | Sweep | Compare) -> int:
    """Runs the command, importing what it needs, and returns the exit code."""
    match command:
        case Tour():
            from jaxpercep import tour

            tour.run(command.out)
            return 0
        case Train():
            command.check()
            with deferred_interrupt():  # while JAX is imported and compiles, too
                from jaxpercep.commands.actions import train

                return train(command)
        case Predict():
            command.check()
            from jaxpercep.commands.prediction import predict

            return predict(command)
        case Sweep():
            command.check()
            with deferred_interrupt():
                from jaxpercep.commands.sweep import sweep

                return sweep(command)
        case Compare():
            command.check()
            from jaxpercep.commands.comparison import compare

            return compare(command)


def _warn(name: str, message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"{name}: warning: {message}", file=sys.stderr)


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
