"""The backward rules of `jax.custom_vjp` functions that run when a gradient is computed.

A gradient that runs a rule is no independent check of it. Nothing in a traced program says which
operations come from a rule, and some rules have none, so that their Python functions are watched.
"""

import inspect
import itertools
import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any, NamedTuple

import jax
from jax.experimental.xla_metadata import set_xla_metadata

_NUMBERS = itertools.count()


class Watched(NamedTuple):
    """The Python functions that ran.

    Attributes:
        rules: code of a backward rule -> name of the `jax.custom_vjp` that it belongs to, for those
            that were called; their rules need not have run.
        ran: the code of every function that ran, rules called directly included.
    """

    rules: dict[CodeType, str]
    ran: set[CodeType]


def shared_rules(gradient: Callable[[], Any], candidate: Callable[[], Any]) -> tuple[str, ...]:
    """Returns the names of the functions whose backward rules two computations both run."""
    of_gradient, of_candidate = _watched(gradient), _watched(candidate)
    both = of_gradient.ran & of_candidate.ran
    return tuple(sorted({name for code, name in of_gradient.rules.items() if code in both}))


def _watched(run: Callable[[], Any]) -> Watched:
    """Watches `run` in a context for tracing of its own, so that nothing comes from JAX's caches.

    The metadata that make up the context are otherwise without effect.
    """
    watched, before = Watched({}, set()), sys.getprofile()
    with set_xla_metadata(jaxpercep_comparison=next(_NUMBERS)):
        sys.setprofile(partial(_record, watched))
        try:
            run()
        finally:
            sys.setprofile(before)
    return watched


def _record(watched: Watched, frame: FrameType, event: str, argument: Any) -> None:
    del argument
    if event != "call":
        return
    watched.ran.add(frame.f_code)
    if frame.f_code.co_name == "__call__":
        caller = frame.f_locals.get("self")
        if isinstance(caller, jax.custom_vjp) and (code := _code_of(caller.bwd)) is not None:
            watched.rules[code] = getattr(caller, "__name__", "a function")


def _code_of(function: Any) -> CodeType | None:
    """Returns the code of a function, or of the one inside a partial, method, jit or object."""
    while isinstance(function, partial):
        function = function.func
    function = inspect.unwrap(function)
    if not hasattr(function, "__code__"):
        function = function.__call__
    return getattr(function, "__code__", None)
