"""All that this package knows of the inside of jaxprs."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core


def narrowest_float(fun: Callable[..., Any], args: tuple[Any, ...]) -> str | None:
    """Returns the narrowest floating type that fun computes in; None if it cannot be traced.

    Functions that are plain NumPy inside refuse tracers.
    """
    try:
        closed = jax.make_jaxpr(fun)(*args)
    except (jax.errors.JAXTypeError, TypeError):  # traced where a concrete array was due
        return None
    dtypes = {
        var.aval.dtype
        for equation in _equations(closed.jaxpr)
        for var in equation.outvars
        if hasattr(var.aval, "dtype")
    }
    floating = (dtype.name for dtype in dtypes if jnp.issubdtype(dtype, jnp.floating))
    return min(floating, key=bits, default="float64")


def bits(dtype: str) -> int:
    """Returns the width of a floating type."""
    return jnp.finfo(dtype).bits


def _equations(jaxpr: Any) -> Iterator[Any]:
    """Yields the equations of a jaxpr and of all jaxprs inside it."""
    for equation in jaxpr.eqns:
        yield equation
        for value in equation.params.values():
            for inner in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(inner, core.ClosedJaxpr):
                    inner = inner.jaxpr
                if isinstance(inner, core.Jaxpr):
                    yield from _equations(inner)
