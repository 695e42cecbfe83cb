"""Lets a function print what it has to say once, however often it is run."""

import io
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext, redirect_stdout
from typing import Any

import numpy as np


@contextmanager
def quietly() -> Generator[None]:
    """Runs the user's code without its output and its warnings."""
    with redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def printing_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function; what it prints appears in its first call alone."""
    has_run = False

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal has_run
        silence = redirect_stdout(io.StringIO()) if has_run else nullcontext()
        has_run = True
        with silence:
            return function(*args, **kwargs)

    return call
