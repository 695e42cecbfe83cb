"""Turns a function of arrays into a scalar one: an inner product, a derivative along tangents."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.arguments import check_result
from jaxpercep.compare.evaluation.function import UNFIT
from jaxpercep.compare.program.jaxprs import NEEDS_NUMBERS


def inner(value: Any, dy: Any) -> Any:
    """Sum of value * dy over all numbers of all leaves."""
    pairs = zip(*(jax.tree.leaves(tree, is_leaf=_is_none) for tree in (value, dy)), strict=True)
    return sum(_product(v, d) for v, d in pairs if d is not None)


def _product(value: Any, dy: Any) -> Any:
    value = jnp.asarray(value)
    return jnp.sum(value * dy.astype(value.dtype))


def _is_none(node: Any) -> bool:
    return node is None


def along(fun: Callable[..., Any], args: tuple[Any, ...], tangents: Any) -> Any:
    """Returns the derivative of `fun` along tangents, a tree like args with None for integers."""
    return jax.jvp(fun, args, filled(tangents, args))[1]


def pulled_back(jvp_fun: Callable[..., Any], args: tuple[Any, ...], tangents: Any, dy: Any) -> Any:
    """Returns the gradient of <jvp_fun(args, tangents), dy> by the tangents, a tree like them.

    A function that needs concrete numbers, such as NumPy code, is called for each number of them.
    """
    flat, structure = jax.tree.flatten(tangents)

    def projected(flat: Any) -> Any:
        given = filled(jax.tree.unflatten(structure, flat), args)
        return inner(jvp_fun(args, given)[1], dy)

    try:
        return jax.tree.unflatten(structure, jax.grad(projected)(flat))
    except NEEDS_NUMBERS:
        zeros = [np.zeros(np.shape(leaf), jnp.result_type(leaf)) for leaf in flat]
        found = [_by_numbers(projected, zeros, i) for i in range(len(zeros))]
        return jax.tree.unflatten(structure, found)


def _by_numbers(function: Callable[[Any], Any], zeros: Any, i: int) -> np.ndarray:
    """Evaluates a linear function of a list of arrays at each unit vector of one of them."""
    found = zeros[i].copy()
    for index in np.ndindex(found.shape):
        unit = zeros[i].copy()
        unit[index] = 1
        found[index] = function([*zeros[:i], unit, *zeros[i + 1 :]])
    return found


def filled(tangents: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Returns tangents in the types of the arguments, with the zeros of `jax.jvp` for integers."""
    leaves, structure = jax.tree.flatten(args)
    given = iter(jax.tree.leaves(tangents))

    def tangent(leaf: Any) -> Any:
        if trees.is_floating(leaf):
            return jnp.asarray(next(given)).astype(jnp.result_type(leaf))
        return np.zeros(np.shape(leaf), jax.dtypes.float0)

    return jax.tree.unflatten(structure, list(map(tangent, leaves)))


def check_forward(
    fun: Callable[..., Any],
    forward: Callable[..., Any],
    args: tuple[Any, ...],
    name: str = "forward",
    second: str = "residuals",
) -> None:
    """Checks that `forward`, or a function of another name, returns the value of `fun` in a pair.

    Raises:
        TypeError: `forward` returns a value that is not a tree of real numbers.
        ValueError: `forward` returns another value, or not a pair.
    """
    result, value = _forward_and_value(fun, forward, args)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise ValueError(f"{name} returned {described(result)}, expected (value, {second}).")
    check_result(name, result[0])
    came, expected = jax.tree.leaves(result[0]), jax.tree.leaves(value)
    shapes = [np.shape(leaf) for leaf in came], [np.shape(leaf) for leaf in expected]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{name}'s value has shapes {shapes[0]}, fun's {shapes[1]}.")
    apart = max((trees.distance(a, b) for a, b in zip(came, expected, strict=True)), default=0.0)
    if apart > 1e-3 * max(map(trees.largest, expected), default=0.0):
        raise ValueError(
            f"{name}'s value differs from fun's by {apart:.1e}: its derivative would be that of "
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
    """Names the type of a value, and its length or shape, for a message."""
    if hasattr(value, "shape"):
        return f"an array of shape {list(value.shape)}"
    return f"a {type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")
