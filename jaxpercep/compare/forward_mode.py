"""The comparisons of hand-written derivatives in forward mode."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import jax
import numpy as np

from jaxpercep._checks import check_callable
from jaxpercep.compare.candidate.backward import Candidate, Forward
from jaxpercep.compare.candidate.instrumented import Build, Follow, as_it_is
from jaxpercep.compare.comparison import compared, compared_as_linear
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.arguments import (
    arguments_of_pullback,
    check_result,
    shapes_of,
)
from jaxpercep.compare.evaluation.cotangents import Cotangents
from jaxpercep.compare.evaluation.projection import (
    along,
    check_forward,
    filled,
    inner,
    pulled_back,
)
from jaxpercep.compare.explanation.linearity import LinearityCause
from jaxpercep.compare.program.jaxprs import without_forward_rules
from jaxpercep.compare.program.words import parameters
from jaxpercep.compare.report import GradientReport

TRANSPOSED = (
    "A derivative in forward mode is compared by what multiplies the tangent of each argument, "
    "which is also what autodiff in reverse mode makes of it."
)


def compare_jvp(
    fun: Callable[..., Any],
    jvp_fun: Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, Any]],
    *args: Any,
) -> GradientReport:
    """Compares a hand-written derivative in forward mode with `jax.jvp` of `fun`.

    The tangents of the results must be right at random tangents, and linear in them. If they are
    not, the mistake is searched as in a pullback, where `leaves` are those of the arguments. The
    listing and the repair are of `jvp_fun` itself, and name tangents.

    Args:
        fun: `fun(*args)`, any pytree of arrays.
        jvp_fun: `jvp_fun(primals, tangents) -> (value, tangent of the value)`, each a tuple with
            one entry per argument, as `jax.jvp` has them and a rule of `jax.custom_jvp` takes
            them. Integers have tangents of type float0, and in what it returns also None.
        *args: pytrees of arrays.

    Raises:
        TypeError: A function is not callable, or does not return real numbers, an argument is not a
            tree of numbers, or there is nothing to differentiate by: real floating-point numbers.
        ValueError: `jvp_fun` does not return a pair, the value of `fun`, or a tangent like it.
    """
    check_callable("fun", fun, "of the arguments")
    check_callable("jvp_fun", jvp_fun, "of (primals, tangents), which returns (value, tangent)", 2)
    args, chosen = arguments_of_pullback(args)
    shapes = shapes_of(fun, args)

    def forward(*args: Any) -> Any:
        return jvp_fun(args, filled(Cotangents.of(args).first, args))

    check_forward(fun, forward, args, "jvp_fun", "tangent")
    _check_tangent(jvp_fun, args, shapes)
    names = parameters(fun, len(args))
    return _compared(fun, lambda follow: follow(jvp_fun), args, chosen, jvp_fun, names)


def compare_custom_jvp(fun: Callable[..., Any], *args: Any) -> GradientReport:
    """Compares the `jax.custom_jvp` rules in `fun` with autodiff of the functions they belong to.

    Args:
        fun: a function that has such a rule, or calls functions that do. Functions of JAX, such as
            `jax.nn.relu`, keep theirs.
        *args: pytrees of arrays.

    Raises:
        TypeError: `fun` is not callable, or does not return real numbers, an argument is not a tree
            of numbers, or there is nothing to differentiate by: real floating-point numbers.
        ValueError: `fun` calls no function with a `jax.custom_jvp` rule of its own.
    """
    check_callable("fun", fun, "that has a jax.custom_jvp rule")
    args, chosen = arguments_of_pullback(args)
    shapes_of(fun, args)
    primal = without_forward_rules(fun, args)
    names = parameters(fun, len(args))
    report = _compared(primal, partial(_rule_of, fun), args, chosen, fun, names)
    remark = _only_forward(fun, args, chosen) if report.ok else ""
    return replace(report, remark=report.remark or remark or None)


def _rule_of(fun: Callable[..., Any], follow: Follow) -> Callable[..., Any]:
    """Builds the derivative that JAX makes of a function with the rules in it."""
    return partial(jax.jvp, follow(fun))


def _compared(
    fun: Callable[..., Any],
    build: Build,
    args: tuple[Any, ...],
    chosen: tuple[int, ...],
    function: Callable[..., Any],
    names: tuple[str, ...],
) -> GradientReport:
    """Compares tangents of the results; if they are wrong, what multiplies those of the arguments.

    Tangents of results are the gradient of <tangents, dy> by dy.
    """
    tangents, dy = Cotangents.of(args, "t"), Cotangents.of(shapes_of(fun, args)).first
    jvp_fun = build(as_it_is)

    def built(follow: Follow) -> Callable[..., Any]:
        return partial(tangent, build(follow))

    forward = _forward(fun, args, dy, tangents.first)
    candidate = Candidate(built, function, (*names, "dy", "t"), forward=forward)

    def objective(*given: Any) -> Any:
        *args, dy, t = given
        return inner(along(fun, tuple(args), t), dy)

    def tangent(jvp_fun: Callable[..., Any], *given: Any) -> Any:
        *args, dy, t = given
        moved = jvp_fun(tuple(args), filled(t, tuple(args)))[1]
        return trees.laid_out((moved,), (dy,), (0,))[0]

    direct = compared_as_linear(
        objective, built(as_it_is), (*args, dy), tangents, len(args), candidate
    )
    leaves = tuple(replace(leaf, of="tangent") for leaf in direct.leaves)
    report = direct._replace(leaves=leaves).report()
    if report.ok or any(d.cause in get_args(LinearityCause) for d in report.diagnoses):
        return report

    def whole(*given: Any) -> Any:
        *args, dy, _ = given
        return inner(fun(*args), dy)

    def transposed(*given: Any) -> Any:
        *args, dy, t = given
        cotangents = pulled_back(jvp_fun, tuple(args), t, dy)
        return tuple(cotangents[n] for n in chosen)

    explained = compared(whole, transposed, (*args, dy, tangents.first), chosen, candidate)
    if explained.ok:
        return report
    remark = explained.remark or TRANSPOSED
    return replace(explained, backward=report.backward, remark=remark)


def _forward(fun: Callable[..., Any], args: tuple[Any, ...], dy: Any, t: Any) -> Forward:
    """Describes what a derivative in forward mode is of: a function of (*args, dy, t)."""
    floating = [i for i, leaf in enumerate(jax.tree.leaves(args)) if trees.is_floating(leaf)]
    start = len(jax.tree.leaves((args, dy)))
    tangents = {i: start + k for k, i in enumerate(floating)}
    assert len(tangents) == len(jax.tree.leaves(t))

    def results(*given: Any) -> list[Any]:
        return [leaf for leaf in jax.tree.leaves(fun(*given[:-2])) if trees.is_floating(leaf)]

    return Forward(results, tangents)


def _check_tangent(jvp_fun: Callable[..., Any], args: tuple[Any, ...], shapes: Any) -> None:
    """Raises unless `jvp_fun` returns a tangent for every result that has one.

    Raises:
        TypeError: It returns something else than real numbers.
        ValueError: A tangent is missing, or has another shape.
    """
    result = jvp_fun(trees.copied(args), filled(Cotangents.of(args).first, args))[1]
    check_result("jvp_fun", result)
    expected = Cotangents.of(shapes).first
    came = trees.laid_out((result,), (expected,), (0,))[0]
    pairs = zip(*(jax.tree.leaves(t, is_leaf=_is_none) for t in (came, expected)), strict=True)
    for leaf, right in pairs:
        if right is not None and np.shape(leaf) != right.shape:
            what = "none" if leaf is None else f"one of shape {list(np.shape(leaf))}"
            raise ValueError(
                f"jvp_fun returned {what} for a result of shape {list(right.shape)}, expected a "
                "tangent like the value; return zeros if it does not depend on the arguments."
            )


def _is_none(node: Any) -> bool:
    return node is None


def _only_forward(fun: Callable[..., Any], args: tuple[Any, ...], chosen: tuple[int, ...]) -> str:
    """Says that `jax.grad` cannot use a rule, or returns an empty text."""
    dy = Cotangents.of(shapes_of(fun, args)).first

    def projected(*args: Any) -> Any:
        return inner(fun(*args), dy)

    try:
        jax.eval_shape(jax.grad(projected, chosen, allow_int=True), *args)
    except Exception as error:  # whatever it is: forward mode has worked
        reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return f"The rule works in forward mode only: jax.grad of the function raises {reason}"
    return ""
