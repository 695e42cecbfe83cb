"""The comparisons of hand-written rules: pullbacks, and the rules of `jax.custom_vjp`."""

from collections.abc import Callable
from typing import Any

import jax

from jaxpercep._checks import check_bool, check_callable, check_positive_int
from jaxpercep.compare.candidate.backward import Candidate
from jaxpercep.compare.candidate.instrumented import Follow, as_it_is
from jaxpercep.compare.evaluation.arguments import (
    arguments_of_pullback,
    check_result,
    returning_reals,
    shapes_of,
)
from jaxpercep.compare.evaluation.cotangents import Cotangents
from jaxpercep.compare.evaluation.projection import check_forward, described, inner
from jaxpercep.compare.further import Pullback
from jaxpercep.compare.program.jaxprs import without_rules
from jaxpercep.compare.program.words import parameters
from jaxpercep.compare.report import GradientReport


def compare_vjp(
    fun: Callable[..., Any],
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], tuple[Any, ...]],
    *args: Any,
    order: int = 1,
    batched: bool = False,
) -> GradientReport:
    """Compares a hand-written pullback with autodiff of `fun`, at random cotangents.

    It must be right at one, and linear: right at another, at a multiple, and at the sum.

    Args:
        fun: `fun(*args)`, any pytree of arrays.
        forward: `forward(*args) -> (value, residuals)`.
        backward: `backward(residuals, dy) -> one cotangent per argument`, or None for an argument
            without one.
        *args: pytrees of arrays.
        order: 2 to compare the gradient of the gradient too, for which JAX differentiates
            `forward` and `backward`.
        batched: True to compare `jax.vmap` of the pullback with one example after the other too.

    Raises:
        TypeError: A function is not callable, or does not return real numbers, an argument is not a
            tree of numbers, there is nothing to differentiate by: real floating-point numbers, or
            JAX cannot differentiate or batch the pullback if that is asked for.
        ValueError: `forward` does not return the value of `fun`, `backward` does not return one
            cotangent per argument, or `order` is not 1 or 2.
    """
    check_callable("fun", fun, "of the arguments")
    check_callable("forward", forward, "of the arguments, which returns (value, residuals)")
    check_callable("backward", backward, "of (residuals, dy), which returns the cotangents", 2)
    check_further(order, batched)
    args, chosen = arguments_of_pullback(args)
    cotangents = Cotangents.of(shapes_of(fun, args))

    def build(follow: Follow) -> Callable[..., Any]:
        return _pullback(follow(forward), follow(backward), chosen)

    check_forward(fun, forward, args)
    candidate = Candidate(build, backward, (*parameters(fun, len(args)), "dy"))
    pullback = Pullback(fun, build(as_it_is), args, cotangents, chosen, candidate)
    return pullback.report(order, batched=batched)


def compare_custom_vjp(
    fun: Callable[..., Any], *args: Any, order: int = 1, batched: bool = False
) -> GradientReport:
    """Compares the `jax.custom_vjp` rules in `fun` with autodiff of the functions they belong to.

    Args:
        fun: a function that has such a rule, or calls functions that do. Its `while` loops are
            differentiated in forward mode.
        *args: pytrees of arrays.
        order: 2 to compare the gradient of the gradient too.
        batched: True to compare `jax.vmap` of the gradient with one example after the other too.

    Raises:
        TypeError: `fun` is not callable, or does not return real numbers, an argument is not a tree
            of numbers, there is nothing to differentiate by: real floating-point numbers, or JAX
            cannot differentiate or batch the rule if that is asked for.
        ValueError: `fun` calls no function with a `jax.custom_vjp` rule, or `order` is not 1 or 2.
    """
    check_callable("fun", fun, "that has a jax.custom_vjp rule")
    check_further(order, batched)
    args, chosen = arguments_of_pullback(args)
    cotangents = Cotangents.of(shapes_of(fun, args))
    primal = without_rules(fun, args)

    def build(follow: Follow) -> Callable[..., Any]:
        followed = follow(fun)

        def by_rule(*args_and_dy: Any) -> Any:
            return inner(followed(*args_and_dy[:-1]), args_and_dy[-1])

        return jax.grad(by_rule, chosen, allow_int=True)

    candidate = Candidate(build, fun, (*parameters(fun, len(args)), "dy"))
    rule = returning_reals("the rule of fun", build(as_it_is))
    pullback = Pullback(primal, rule, args, cotangents, chosen, candidate)
    return pullback.report(order, batched=batched)


def check_further(order: Any, batched: Any) -> None:
    """Raises unless order is 1 or 2, and batched a bool."""
    check_positive_int("order", order)
    if order > 2:
        raise ValueError(f"order={order} must be 1 or 2: the gradient, or its gradient too.")
    check_bool("batched", batched)


def _pullback(
    forward: Callable[..., Any], backward: Callable[..., Any], chosen: tuple[int, ...]
) -> Callable[..., Any]:
    """Returns the cotangents of some arguments, as a function of all of them and of dy."""

    def candidate(*args_and_dy: Any) -> Any:
        *given, dy = args_and_dy
        _, residuals = forward(*given)
        cotangents = backward(residuals, dy)
        if not isinstance(cotangents, (tuple, list)) or len(cotangents) != len(given):
            raise ValueError(
                f"backward returned {described(cotangents)}, expected a tuple of {len(given)}: one "
                f"cotangent per argument of fun{'' if len(given) > 1 else ', as in (dx,)'}."
            )
        check_result("backward", cotangents)
        return tuple(cotangents[i] for i in chosen)

    return candidate
