"""Draws arguments at which a comparison would reveal as much as possible."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxpercep._checks import check_callable
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.arguments import (
    check_finite,
    checked,
    checked_argnums,
    numbered,
    refuse_complex,
    shapes_of,
)
from jaxpercep.compare.evaluation.cotangents import Cotangents
from jaxpercep.compare.evaluation.draws import Manner, draw
from jaxpercep.compare.evaluation.function import Function
from jaxpercep.compare.evaluation.native import double_precision
from jaxpercep.compare.evaluation.own_types import OwnTypes
from jaxpercep.compare.evaluation.projection import inner
from jaxpercep.compare.explanation.blind_spots import Search
from jaxpercep.compare.program.words import leaf_names, parameters

TRIED: tuple[tuple[Manner, int], ...] = (
    ("kind", 11),
    ("kind", 12),
    ("kind", 13),
    ("general", 14),
    ("general", 15),
    ("near", 16),
)


def suggest_arguments(
    fun: Callable[..., Any], *args: Any, argnums: int | tuple[int, ...] = 0
) -> tuple[Any, ...]:
    """Draws arguments of the same shapes and kinds at which few mistakes would remain hidden.

    Integers stay in their range, rows that are one-hot, or sum to 1, or have length 1, remain so,
    and so do symmetric matrices of data and positive definite ones. Positive numbers stay positive,
    unless that hides more. Of several draws, that with the fewest blind spots is returned, the same
    in every call. Ties are not drawn, since right gradients may differ there, and
    shapes stay, so that a batch of 1 is one.

    Args:
        fun: `fun(*args)`, differentiable by JAX: a scalar or, as for `compare_vjp`, any pytree of
            arrays.
        *args: pytrees of arrays.
        argnums: the arguments to differentiate by, which are never labels.

    Returns:
        The arguments, in the containers and types of those given.

    Raises:
        TypeError: `fun` is not callable, cannot be traced, or does not return real numbers, an
            argument is not a tree of numbers, or there is nothing to differentiate by.
        ValueError: An argument to differentiate by holds NaN or infinity.
    """
    check_callable("fun", fun, "of the arguments")
    args = checked(numbered(args))
    argnums = checked_argnums(argnums, len(args))
    refuse_complex(numbered(args))
    check_finite(args, argnums)
    positions = trees.differentiated(args, argnums).positions
    leaves, structure = jax.tree.flatten(args)
    drawn = [draw(leaves, positions, manner, seed) for manner, seed in TRIED]
    tried = [jax.tree.unflatten(structure, some) for some in (*drawn, leaves)]
    dy = Cotangents.of(shapes_of(fun, args)).first

    def objective(*args: Any) -> jax.Array:
        return inner(fun(*args), dy)

    return tried[_best(objective, tried, args, positions)]


def _best(
    fun: Callable[..., Any],
    tried: Sequence[tuple[Any, ...]],
    args: tuple[Any, ...],
    positions: Sequence[int],
) -> int:
    """Returns the position of the arguments with the fewest blind spots, the first if several."""
    traced = Function.of(fun, args, positions).traced
    captured = traced is not None and traced.captures_numpy
    own = OwnTypes.of(jax.tree.leaves(args))
    with double_precision(captured and not jax.config.read("jax_enable_x64")):
        wide = trees.cast(args, "float64")
        function, _ = Function.of(fun, args, positions).in_float64(wide, own)
        graph = function.graph
        if graph is None:
            raise TypeError(
                f"fun={fun!r} needs concrete numbers, expected a function that JAX can trace: use "
                "jax.numpy, and jnp.where or jax.lax.cond instead of if."
            )
        names = leaf_names(parameters(fun, len(args)), args)
        search = Search.of(graph, jax.tree.leaves(wide), positions, names)
        counts = [_blind_spots(search, trees.cast(some, "float64")) for some in tried]
        return int(np.argmin(counts))


def _blind_spots(search: Search, args: tuple[Any, ...]) -> float:
    seen = search.at(jax.tree.leaves(args))
    every = range(len(search.positions))
    return len(search.hidden(seen, None, every)) if seen.is_finite else float("inf")
