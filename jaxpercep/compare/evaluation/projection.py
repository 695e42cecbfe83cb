"""Turns a function of arrays into a scalar function: its inner product with a random cotangent."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.arguments import check_result
from jaxpercep.compare.evaluation.function import UNFIT


def inner(value: Any, dy: Any) -> Any:
    """Sum of value * dy over all numbers of all leaves."""
    pairs = zip(
        jax.tree.leaves(value), jax.tree.leaves(dy, is_leaf=lambda d: d is None), strict=True
    )
    return sum(jnp.sum(v * d.astype(v.dtype)) for v, d in pairs if d is not None)


def check_forward(
    fun: Callable[..., Any], forward: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    """Checks that `forward` returns the value of `fun`, and residuals.

    Raises:
        TypeError: `forward` returns a value that is not a tree of real numbers.
        ValueError: `forward` returns another value, or not a pair.
    """
    result, value = _forward_and_value(fun, forward, args)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(f"forward returned {described(result)}, expected (value, residuals).")
    check_result("forward", result[0])
    came, expected = jax.tree.leaves(result[0]), jax.tree.leaves(value)
    shapes = [np.shape(leaf) for leaf in came], [np.shape(leaf) for leaf in expected]
    if shapes[0] != shapes[1]:
        raise ValueError(f"forward's value has shapes {shapes[0]}, fun's {shapes[1]}.")
    apart = max((trees.distance(a, b) for a, b in zip(came, expected, strict=True)), default=0.0)
    if apart > 1e-3 * max(map(trees.largest, expected), default=0.0):
        raise ValueError(
            f"forward's value differs from fun's by {apart:.1e}: its pullback would be that of "
            "another function."
        )


def _forward_and_value(
    fun: Callable[..., Any], forward: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Any, Any]:
    """Evaluates forward and fun in float64, or in the caller's dtype if they refuse that."""
    try:
        with jax.enable_x64(True):
            wide = trees.cast(args, "float64")
            return forward(*trees.copied(wide)), fun(*trees.copied(wide))
    except UNFIT:
        return forward(*trees.copied(args)), fun(*trees.copied(args))


def described(value: Any) -> str:
    """Names the type of a value, and its length, for a message."""
    return f"a {type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")
