"""The public functions: each takes a kind of gradient, and compares it with autodiff.

A comparison evaluates both gradients as the caller has them (`native`), then in float64
(`reference`), decides between them (`verdict`), and explains a difference (`diagnosis`).
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec

import jax

from jaxpercep._checks import check_callable, check_real
from jaxpercep.compare.candidate.backward import Backward, Candidate
from jaxpercep.compare.candidate.quiet import printing_once
from jaxpercep.compare.candidate.runs import Follow
from jaxpercep.compare.candidate.words import parameters
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.arguments import (
    arguments_of_pullback,
    check_data,
    check_finite,
    check_result,
    check_scalar,
    checked,
    checked_argnums,
    numbered,
    refuse_complex,
    returning_reals,
    shapes_of,
)
from jaxpercep.compare.evaluation.leaves import LeafReport, compare_leaves
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.projection import (
    check_forward,
    described,
    inner,
    random_cotangent,
)
from jaxpercep.compare.evaluation.reference import Evaluation, evaluate
from jaxpercep.compare.evaluation.verdict import decide
from jaxpercep.compare.explanation.diagnosis import Diagnosis, diagnose
from jaxpercep.compare.program.jaxprs import without_rules
from jaxpercep.compare.report import GradientReport
from jaxpercep.gradients import chain_rule, check_pair, check_values
from jaxpercep.layer import Layer, Params
from jaxpercep.losses import Loss

Given = ParamSpec("Given")


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
        TypeError: `fun` or `grad_fun` is not callable, `fun` does not return a real scalar, or
            `grad_fun` real numbers, an argument is not a tree of numbers, or there is nothing to
            differentiate by: real floating-point numbers.
        ValueError: An argument to differentiate by holds NaN or infinity.
    """
    check_callable("fun", fun, "of the arguments, with a scalar value")
    check_callable("grad_fun", grad_fun, "of the arguments, which returns the gradient")
    args = checked(numbered(args))
    argnums = checked_argnums(argnums, len(args))
    chosen = (argnums,) if isinstance(argnums, int) else argnums
    refuse_complex({f"args[{n}]": args[n] for n in chosen})
    returning = returning_reals("grad_fun", grad_fun)
    return _compare(fun, returning, args, argnums, Candidate.of(fun, grad_fun, args))


def compare_model(model: Layer, loss: Loss, params: Params, x: Any, y: Any) -> GradientReport:
    """Compares the layers' own chain rule with autodiff of the same model, loss and data.

    Raises:
        TypeError: `model` is not a layer, `loss` is not a loss, or an argument or a gradient is not
            a tree of real numbers.
        ValueError: `model` ends in `sigmoid` although `loss` takes logits, the data have the wrong
            shapes, hold NaN or infinity, or have targets outside the range of the loss.
    """
    check_pair(model, loss)
    params, x, y = checked({"params": params, "x": x, "y": y})
    refuse_complex({"params": params})
    check_data({"x": x, "y": y})
    check_values(model, loss, params, x, y)

    def objective(params: Params, x: Any, y: Any) -> jax.Array:
        return loss.apply(model.apply(params, x), y)

    candidate = Candidate(partial(_chain_rule, model, loss), model.backward, ("params", "x", "y"))
    manual = returning_reals("model", jax.jit(chain_rule(model, loss)))
    return _compare(jax.jit(objective), manual, (params, x, y), 0, candidate)


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
        TypeError: A function is not callable, or does not return real numbers, an argument is not a
            tree of numbers, or there is nothing to differentiate by: real floating-point numbers.
        ValueError: `forward` does not return the value of `fun`, or `backward` does not return one
            cotangent per argument.
    """
    check_callable("fun", fun, "of the arguments")
    check_callable("forward", forward, "of the arguments, which returns (value, residuals)")
    check_callable("backward", backward, "of (residuals, dy), which returns the cotangents")
    args, chosen = arguments_of_pullback(args)
    dy = random_cotangent(shapes_of(fun, args))

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
        TypeError: `fun` is not callable, or does not return real numbers, an argument is not a tree
            of numbers, or there is nothing to differentiate by: real floating-point numbers.
        ValueError: `fun` calls no function with a `jax.custom_vjp` rule.
    """
    check_callable("fun", fun, "that has a jax.custom_vjp rule")
    args, chosen = arguments_of_pullback(args)
    dy = random_cotangent(shapes_of(fun, args))
    primal = without_rules(fun, args)

    def objective(*args_and_dy: Any) -> Any:
        return inner(primal(*args_and_dy[:-1]), args_and_dy[-1])

    def build(follow: Follow) -> Callable[..., Any]:
        followed = follow(fun)

        def by_rule(*args_and_dy: Any) -> Any:
            return inner(followed(*args_and_dy[:-1]), args_and_dy[-1])

        return jax.grad(by_rule, chosen, allow_int=True)

    candidate = Candidate(build, fun, (*parameters(fun, len(args)), "dy"))
    rule = returning_reals("the rule of fun", build(_as_it_is))
    return _compare(objective, rule, (*args, dy), chosen, candidate)


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
        TypeError: A function is not callable, `fun` does not return a real scalar, or `update_fun`
            real numbers, an argument is not a tree of numbers, or `learning_rate` is not a number.
        ValueError: `learning_rate` is not above 0, or not finite, or `params` hold NaN or infinity.
    """
    check_callable("fun", fun, "of (params, *batch), with a scalar value")
    check_callable("update_fun", update_fun, "of (params, *batch), which returns the new params")
    args = checked({"params": params, **numbered(batch, "batch")})
    refuse_complex({"params": params})
    rate = check_real("learning_rate", learning_rate)
    if rate <= 0:
        raise ValueError(f"learning_rate={learning_rate} must be above 0.")

    def build(follow: Follow) -> Callable[..., Any]:
        step = follow(update_fun)

        def implied(params: Any, *batch: Any) -> Any:
            updated = step(trees.copied(params), *batch)  # it may write into its arguments
            check_result("update_fun", updated)
            return trees.implied_gradient(params, updated, rate)

        return implied

    candidate = Candidate(build, update_fun, parameters(fun, len(args)))
    return _compare(fun, build(_as_it_is), args, 0, candidate, rate)


def _asserting(compare: Callable[Given, GradientReport]) -> Callable[Given, None]:
    """Returns the form of a comparison that raises unless the gradients match."""

    @wraps(compare)
    def check(*args: Given.args, **kwargs: Given.kwargs) -> None:
        compare(*args, **kwargs).raise_if_wrong()

    name = getattr(compare, "__name__", "")
    check.__name__ = check.__qualname__ = name.replace("compare", "assert")
    check.__annotations__ = compare.__annotations__ | {"return": None}
    check.__doc__ = f"""Raises an `AssertionError` with the report unless the gradients match.

    The arguments, and the other errors, are those of `{name}`.
    """
    return check


assert_gradients = _asserting(compare_gradients)
assert_model = _asserting(compare_model)
assert_vjp = _asserting(compare_vjp)
assert_custom_vjp = _asserting(compare_custom_vjp)
assert_updates = _asserting(compare_updates)


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
    evaluation = backward.evaluation
    shared = _about(evaluation.shared) if evaluation.shared else None
    remark = shared or evaluation.miscompiled or evaluation.inexact
    # JAX keeps a NumPy array in float64 for as long as a jaxpr that has captured it is held.
    held = None if backward.native.captures_numpy else backward
    return GradientReport(backward.verdict, leaves, explanations, evaluation.formula, remark, held)


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
    check_finite(args, argnums)
    check_scalar(fun, args)
    native = Native.of(fun, printing_once(grad_fun), args, argnums)
    chosen = {n % len(args) for n in ((argnums,) if isinstance(argnums, int) else argnums)}
    batch = jax.tree.leaves([arg for n, arg in enumerate(args) if n not in chosen])
    explanations: tuple[tuple[Diagnosis, ...], ...] = ()
    with native.double_precision():
        evaluation = evaluate(native, rate)
        leaves = compare_leaves(evaluation)
        verdict = decide(evaluation, leaves)
        unexplained = verdict in ("manual_wrong", "both_wrong", "inconclusive")
        if explain and unexplained and not evaluation.shared:
            explanations = _explained(evaluation, batch, rate)
    return Backward(candidate, native, evaluation, batch, verdict), leaves, explanations


def _explained(
    evaluation: Evaluation, batch: list[Any], rate: float | None
) -> tuple[tuple[Diagnosis, ...], ...]:
    """Explains a difference; unless that is simple, once more, allowing for the data's rounding."""
    found = diagnose(evaluation, batch, rate)
    if evaluation.identities and _complexity(found) > (False, 1):
        again = diagnose(evaluation.allowing_for_data(), batch, rate)
        return min(found, again, key=_complexity)
    return found


def _complexity(explanations: tuple[tuple[Diagnosis, ...], ...]) -> tuple[bool, int]:
    """Returns whether something is left unexplained, and the number of mistakes it takes."""
    causes = [[diagnosis.cause for diagnosis in one] for one in explanations]
    return any("unexplained" in one for one in causes), min(map(len, causes), default=0)


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
        check_result("backward", cotangents)
        return tuple(cotangents[i] for i in chosen)

    return candidate


def _about(shared: tuple[str, ...]) -> str:
    """Says that nothing has been compared with a rule that both sides run."""
    rule = f"the jax.custom_vjp {'rule' if len(shared) == 1 else 'rules'} of {', '.join(shared)}"
    return (
        f"Both sides run {rule}, so that nothing independent was compared with it. Compare it with "
        "autodiff of the function that it belongs to: compare_custom_vjp(fun, *args)."
    )
