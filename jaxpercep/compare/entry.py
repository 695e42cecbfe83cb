"""The public functions: each takes a kind of gradient, and compares it with autodiff.

`rules` has those for pullbacks and other rules, `comparison` what happens then.
"""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any

import jax

from jaxpercep._checks import check_callable, check_choice, check_real
from jaxpercep.compare.candidate.backward import Candidate
from jaxpercep.compare.candidate.instrumented import Follow, as_it_is
from jaxpercep.compare.comparison import compared
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.arguments import (
    arguments_of_gradient,
    check_data,
    check_result,
    checked,
    numbered,
    refuse_complex,
    returning_reals,
)
from jaxpercep.compare.forward_mode import compare_custom_jvp, compare_jvp
from jaxpercep.compare.layers import candidate_of
from jaxpercep.compare.program.words import parameters
from jaxpercep.compare.report import GradientReport
from jaxpercep.compare.rules import compare_custom_vjp, compare_vjp
from jaxpercep.gradients import chain_rule, check_pair, check_values
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
        TypeError: `fun` or `grad_fun` is not callable, `fun` does not return a real scalar, or
            `grad_fun` real numbers, an argument is not a tree of numbers, or there is nothing to
            differentiate by: real floating-point numbers.
        ValueError: An argument to differentiate by holds NaN or infinity.
    """
    returning, given, argnums = arguments_of_gradient(fun, grad_fun, args, argnums)
    return compared(fun, returning, given, argnums, Candidate.of(fun, grad_fun, given))


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

    manual = returning_reals("model", jax.jit(chain_rule(model, loss)))
    return compared(jax.jit(objective), manual, (params, x, y), 0, candidate_of(model, loss))


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
    return compared(fun, build(as_it_is), args, 0, candidate, rate)


def _asserting(compare: Callable[..., GradientReport]) -> Callable[..., None]:
    """Returns the form of a comparison that raises unless the gradients match."""

    @wraps(compare)
    def check(*args: Any, blind_spots: str = "ignore", **kwargs: Any) -> None:
        check_choice("blind_spots", blind_spots, ("ignore", "warn", "error"))
        report = compare(*args, **kwargs)
        report.raise_if_wrong()
        if blind_spots != "ignore":
            report.blind_spots().demand_none(blind_spots)

    name = getattr(compare, "__name__", "")
    check.__name__ = check.__qualname__ = name.replace("compare", "assert")
    taken = signature(compare)
    choice = Parameter("blind_spots", Parameter.KEYWORD_ONLY, default="ignore", annotation=str)
    check.__signature__ = taken.replace(  # pyrefly: ignore[missing-attribute]
        parameters=[*taken.parameters.values(), choice], return_annotation=None
    )
    check.__annotations__ = compare.__annotations__ | {"blind_spots": str, "return": None}
    check.__doc__ = f"""Raises an `AssertionError` with the report unless the gradients match.

    The other arguments, and the other errors, are those of `{name}`.

    Args:
        blind_spots: what to do about mistakes that these arguments could not have revealed, which
            `GradientReport.blind_spots` lists: `"ignore"`, `"warn"` or `"error"`, an
            `AssertionError`.
    """
    return check


assert_gradients = _asserting(compare_gradients)
assert_model = _asserting(compare_model)
assert_vjp = _asserting(compare_vjp)
assert_custom_vjp = _asserting(compare_custom_vjp)
assert_jvp = _asserting(compare_jvp)
assert_custom_jvp = _asserting(compare_custom_jvp)
assert_updates = _asserting(compare_updates)
