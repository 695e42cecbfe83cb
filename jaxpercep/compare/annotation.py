"""Reads somebody's backward pass line by line."""

from collections.abc import Callable
from typing import Any

import jax

from jaxpercep.compare.candidate.annotated import AnnotatedBackward
from jaxpercep.compare.candidate.backward import Candidate
from jaxpercep.compare.comparison import judged
from jaxpercep.compare.evaluation.arguments import arguments_of_gradient


def annotate_gradients(
    fun: Callable[..., jax.Array],
    grad_fun: Callable[..., Any],
    *args: Any,
    argnums: int | tuple[int, ...] = 0,
) -> AnnotatedBackward:
    """Says what each value of a hand-written gradient is, line by line of its own source.

    The candidate is run one operation at a time, in float64, with every value recorded. A value is
    recognized by its numbers, at these arguments and at others, as a value of `fun`, as the right
    dL/d(...) of one, as a part of that which flows back along one use, or as a constant multiple, a
    transpose or a sum over the first axis of these. If the gradient is wrong, the first wrong value
    is marked: the one whose replacement by a known one makes every leaf right.

    For the other kinds of gradients, `compare_vjp(...).annotated` is the same.

    Args:
        fun: `fun(*args) -> scalar`, differentiable by JAX.
        grad_fun: the hand-written gradient, as for `compare_gradients`.
        *args: pytrees of arrays.
        argnums: the arguments to differentiate by, as in `jax.grad`.

    Returns:
        A listing: `str()` prints it, a notebook shows it in colours, `to_dict()` is JSON. If the
        source is missing, or has changed since it was imported, its `reason` says so.

    Raises:
        TypeError: `fun` or `grad_fun` is not callable, `fun` does not return a real scalar, or
            `grad_fun` real numbers, an argument is not a tree of numbers, or there is nothing to
            differentiate by: real floating-point numbers.
        ValueError: An argument to differentiate by holds NaN or infinity.
    """
    returning, given, argnums = arguments_of_gradient(fun, grad_fun, args, argnums)
    return judged(
        fun, returning, given, argnums, Candidate.of(fun, grad_fun, given)
    ).backward.annotated
