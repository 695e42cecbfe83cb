"""The public functions: each takes a kind of gradient, and compares it with autodiff.

A comparison evaluates both gradients as the caller has them (`native`), then in float64
(`reference`), decides between them (`verdict`), and explains a difference (`diagnosis`).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxpercep._checks import check_real
from jaxpercep.compare.candidate.backward import Backward, Candidate
from jaxpercep.compare.candidate.quiet import printing_once
from jaxpercep.compare.candidate.runs import Follow
from jaxpercep.compare.candidate.words import parameters
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.leaves import LeafReport, compare_leaves
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.projection import (
    check_forward,
    described,
    inner,
    random_cotangent,
)
from jaxpercep.compare.evaluation.reference import evaluate
from jaxpercep.compare.evaluation.verdict import decide
from jaxpercep.compare.explanation.diagnosis import Diagnosis, diagnose
from jaxpercep.compare.program.jaxprs import NEEDS_NUMBERS, without_rules
from jaxpercep.compare.report import GradientReport
from jaxpercep.gradients import check_values, value_and_grad
from jaxpercep.layer import Layer, Params
from jaxpercep.losses import Loss


def compare_gradients(
    fun: Callable[..., jax.Array],
    grad_fun: Callable[..., Any],
    *args: Any,
    argnums: int | tuple[int, ...] = 0,
) -> GradientReport:
    """Compares `grad_fun(*args)` with `jax.grad(fun, argnums)(*args)`, leaf by leaf.

    A leaf is right if max |candidate - autodiff| in float64 is within the measured rounding: the
    spread of both sides when every number moves by an ulp. If the candidate computes in a narrower
    type although it is given float64, the rounding is that of the narrower type. If the two differ,
    finite differences decide, and mistakes that reproduce the candidate are named.

    Args:
        fun: `fun(*args) -> scalar`, differentiable by JAX.
        grad_fun: the hand-written gradient, returning grads or (value, grads): any pytree of
            arrays, NumPy arrays or floats. A leaf returned as None is not compared.
        *args: pytrees of arrays; leaves that are not floating point are passed through.
        argnums: the arguments to differentiate by, as in `jax.grad`.

    Returns:
        A report whose `str()` leads with the verdict and the fix.

    Raises:
        TypeError: `fun` or `grad_fun` is not callable, the value of `fun` is not a scalar, or there
            is nothing to differentiate by.
        ValueError: An argument to differentiate by holds NaN or infinity.
    """
    return _compare(fun, grad_fun, args, argnums, Candidate.of(fun, grad_fun, args))


def compare_model(model: Layer, loss: Loss, params: Params, x: Any, y: Any) -> GradientReport:
    """Compares the layers' own chain rule with autodiff of the same model, loss and data.

    Raises:
        TypeError: `model` is not a layer, or `loss` is not a loss.
        ValueError: `model` ends in `sigmoid` although `loss` takes logits, the data have the wrong
            shapes, hold NaN or infinity, or have targets outside the range of the loss.
    """
    manual = value_and_grad(model, loss, "manual")
    check_values(model, loss, params, x, y)

    def objective(params: Params, x: Any, y: Any) -> jax.Array:
        return loss.apply(model.apply(params, x), y)

    candidate = Candidate(partial(_chain_rule, model, loss), model.backward, ("params", "x", "y"))
    return _compare(jax.jit(objective), jax.jit(manual), (params, x, y), 0, candidate)


def compare_vjp(
    fun: Callable[..., Any],
    forward: Callable[..., tuple[Any, Any]],
    backward: Callable[[Any, Any], tuple[Any, ...]],
    *args: Any,
) -> GradientReport:
    """Compares a hand-written pullback with autodiff of `fun`, at a random cotangent.

    Args:
        fun: `fun(*args)`, any pytree of arrays.
        forward: `forward(*args) -> (value, residuals)`.
        backward: `backward(residuals, dy) -> one cotangent per argument`, or None for an argument
            without one.
        *args: pytrees of arrays.

    Raises:
        ValueError: `forward` does not return the value of `fun`, or `backward` does not return one
            cotangent per argument.
    """
    dy = random_cotangent(jax.eval_shape(fun, *args))
    chosen = _floating_arguments(args)

    def objective(*args_and_dy: Any) -> Any:
        return inner(fun(*args_and_dy[:-1]), args_and_dy[-1])

    def build(follow: Follow) -> Callable[..., Any]:
        return _pullback(follow(forward), follow(backward), chosen)

    check_forward(fun, forward, args)
    candidate = Candidate(build, backward, (*parameters(fun, len(args)), "dy"))
    return _compare(objective, build(_as_it_is), (*args, dy), chosen, candidate)


def compare_custom_vjp(fun: Callable[..., Any], *args: Any) -> GradientReport:
    """Compares the `jax.custom_vjp` rules in `fun` with autodiff of the functions they belong to.

    Args:
        fun: a function that has such a rule, or calls functions that do.
        *args: pytrees of arrays.

    Raises:
        ValueError: `fun` calls no function with a `jax.custom_vjp` rule.
    """
    primal = without_rules(fun, args)
    dy = random_cotangent(jax.eval_shape(fun, *args))
    chosen = _floating_arguments(args)

    def objective(*args_and_dy: Any) -> Any:
        return inner(primal(*args_and_dy[:-1]), args_and_dy[-1])

    def build(follow: Follow) -> Callable[..., Any]:
        followed = follow(fun)

        def by_rule(*args_and_dy: Any) -> Any:
            return inner(followed(*args_and_dy[:-1]), args_and_dy[-1])

        return jax.grad(by_rule, chosen, allow_int=True)

    candidate = Candidate(build, fun, (*parameters(fun, len(args)), "dy"))
    return _compare(objective, build(_as_it_is), (*args, dy), chosen, candidate)


def compare_updates(
    fun: Callable[..., jax.Array],
    update_fun: Callable[..., Any],
    params: Any,
    *batch: Any,
    learning_rate: float,
) -> GradientReport:
    """Compares one step of gradient descent with params - learning_rate * jax.grad(fun).

    The gradient that the step implies, (params - updated) / learning_rate, is compared. Only this
    function can find that a gradient was propagated through weights that were already updated.

    Args:
        fun: `fun(params, *batch) -> scalar`.
        update_fun: `update_fun(params, *batch) -> params` after the step.
        params: a pytree of arrays.
        *batch: pytrees of arrays.
        learning_rate: of the step.

    Raises:
        ValueError: `learning_rate` is not above 0.
    """
    rate = check_real("learning_rate", learning_rate)
    if rate <= 0:
        raise ValueError(f"learning_rate={learning_rate} must be above 0.")

    def build(follow: Follow) -> Callable[..., Any]:
        step = follow(update_fun)

        def implied(params: Any, *batch: Any) -> Any:
            updated = step(trees.copied(params), *batch)  # it may write into its arguments
            return trees.implied_gradient(params, updated, rate)

        return implied

    args = (params, *batch)
    candidate = Candidate(build, update_fun, parameters(fun, len(args)))
    return _compare(fun, build(_as_it_is), args, 0, candidate, rate)


def assert_gradients(
    fun: Callable[..., jax.Array],
    grad_fun: Callable[..., Any],
    *args: Any,
    argnums: int | tuple[int, ...] = 0,
) -> None:
    """Raises an `AssertionError` with the report unless the gradients match."""
    compare_gradients(fun, grad_fun, *args, argnums=argnums).raise_if_wrong()


def _compare(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
    candidate: Candidate,
    rate: float | None = None,
) -> GradientReport:
    """Compares, decides and diagnoses; with a rate, the gradient implied by a step of it."""
    backward, leaves, explanations = judged(
        fun, grad_fun, args, argnums, candidate, rate, explain=True
    )
    formula, remark = backward.evaluation.formula, backward.evaluation.miscompiled
    # JAX keeps a NumPy array in float64 for as long as a jaxpr that has captured it is held.
    held = None if backward.native.captures_numpy else backward
    return GradientReport(backward.verdict, leaves, explanations, formula, remark, held)


def judged(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
    candidate: Candidate,
    rate: float | None = None,
    *,
    explain: bool = False,
) -> tuple[Backward, tuple[LeafReport, ...], tuple[tuple[Diagnosis, ...], ...]]:
    """Compares and decides: returns the candidate, to be read when asked for, and the leaves.

    The explanations come last, () unless they are asked for.
    """
    for name, function in (("fun", fun), ("grad_fun", grad_fun)):
        if not callable(function):
            raise TypeError(f"{name}={function!r} is not callable.")
    _check_scalar(fun, args)
    _check_finite(args, argnums)
    native = Native.of(fun, printing_once(grad_fun), args, argnums)
    chosen = {n % len(args) for n in ((argnums,) if isinstance(argnums, int) else argnums)}
    batch = jax.tree.leaves([arg for n, arg in enumerate(args) if n not in chosen])
    explanations: tuple[tuple[Diagnosis, ...], ...] = ()
    with native.double_precision():
        evaluation = evaluate(native, rate)
        leaves = compare_leaves(evaluation)
        verdict = decide(evaluation, leaves)
        if explain and verdict in ("manual_wrong", "both_wrong", "inconclusive"):
            explanations = diagnose(evaluation, batch, rate)
    return Backward(candidate, native, evaluation, batch, verdict), leaves, explanations


def _as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _chain_rule(model: Layer, loss: Loss, follow: Follow) -> Callable[..., Any]:
    """Returns the layers' own gradient, as `value_and_grad` computes it."""
    forward, backward = follow(model.forward), follow(model.backward)

    def chain_rule(params: Params, x: Any, y: Any) -> Params:
        prediction, residuals = forward(params, x)
        _, loss_residuals = loss.forward(prediction, y)
        grads, _ = backward(params, residuals, loss.backward(loss_residuals))
        return grads

    return chain_rule


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
                "cotangent per argument of fun."
            )
        return tuple(cotangents[i] for i in chosen)

    return candidate


def _check_scalar(fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        shapes = jax.tree.leaves(jax.eval_shape(fun, *args))
    except NEEDS_NUMBERS:
        return  # only concrete arguments can tell
    if len(shapes) != 1 or shapes[0].shape != ():
        came = ", ".join(str(list(shape.shape)) for shape in shapes)
        raise TypeError(
            f"fun returns arrays of shapes {came or 'none'}, expected one scalar. For a function "
            "whose value is an array, use compare_vjp."
        )


def _check_finite(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> None:
    leaves = trees.differentiated(args, argnums)
    flat = jax.tree.leaves(args)
    for position, path in zip(leaves.positions, leaves.paths, strict=True):
        wrong = int(np.sum(~np.isfinite(np.asarray(flat[position], np.float64))))
        if wrong:
            raise ValueError(
                f"the argument at {path or argnums!r} holds {wrong} values that are NaN or "
                "infinite; gradients can only be compared where they exist."
            )


def _floating_arguments(args: tuple[Any, ...]) -> tuple[int, ...]:
    """Returns the positions of the arguments that have a gradient."""
    return tuple(
        n for n, arg in enumerate(args) if any(map(trees.is_floating, jax.tree.leaves(arg)))
    )
