"""Comparing a hand-written gradient with autodiff: `reference` decides, `leaves` measures.

`compare_gradients(fun, grad_fun, *args)` needs no tolerance. Both sides are evaluated in float64,
where a right formula agrees to rounding and a wrong one does not, and the rounding is measured.
"""

from collections.abc import Callable
from typing import Any

import jax

from jaxpercep.compare.leaves import compare_leaves
from jaxpercep.compare.reference import evaluate, structure_mismatch
from jaxpercep.compare.report import GradientReport, LeafReport
from jaxpercep.gradients import check_values, value_and_grad
from jaxpercep.layer import Layer, Params
from jaxpercep.losses import Loss

__all__ = [
    "GradientReport",
    "LeafReport",
    "assert_gradients",
    "compare_gradients",
    "compare_model",
]


def compare_gradients(
    fun: Callable[..., jax.Array],
    grad_fun: Callable[..., Any],
    *args: Any,
    argnums: int | tuple[int, ...] = 0,
) -> GradientReport:
    """Compares `grad_fun(*args)` with `jax.grad(fun, argnums)(*args)`, leaf by leaf.

    A leaf is right when max |candidate - autodiff| in float64 is within the measured rounding: the
    spread of both sides when every argument moves by an ulp. Where one of the two computes in a
    narrower type although it is given float64, the ulp is that type's. How precise either side is
    in the arguments' own dtype is reported beside it, in ulps against the float64 result.

    Args:
        fun: `fun(*args) -> scalar`, differentiable by JAX.
        grad_fun: the hand-written gradient, returning grads or (value, grads): any pytree of
            arrays, NumPy arrays or floats.
        *args: pytrees of arrays; floating leaves are compared, others are passed through.
        argnums: which arguments to differentiate by, as in `jax.grad`.

    Returns:
        A report; `str()` of it is a table.

    Raises:
        TypeError: fun or grad_fun is not callable, fun's value is not a scalar, or an argument to
            differentiate by has a leaf that is not floating point (from `jax.grad`).
    """
    for name, function in (("fun", fun), ("grad_fun", grad_fun)):
        if not callable(function):
            raise TypeError(f"{name}={function!r} is not callable.")
    evaluation = evaluate(fun, grad_fun, args, argnums)
    mismatch = structure_mismatch(evaluation.autodiff, evaluation.candidate)
    leaves = () if mismatch else compare_leaves(evaluation)
    return GradientReport(leaves, mismatch, evaluation.formula)


def compare_model(model: Layer, loss: Loss, params: Params, x: Any, y: Any) -> GradientReport:
    """Compares the layers' own chain rule with autodiff of the same model, loss and data.

    Raises:
        ValueError: a model that ends in `sigmoid` with a loss on logits, data of wrong shapes, NaN
            or infinity in it, targets out of the loss's range.
        TypeError: a model that is no layer, or a loss that is none.
    """
    manual = value_and_grad(model, loss, "manual")
    check_values(model, loss, params, x, y)

    def objective(params: Params, x: Any, y: Any) -> jax.Array:
        return loss.apply(model.apply(params, x), y)

    return compare_gradients(jax.jit(objective), jax.jit(manual), params, x, y)


def assert_gradients(
    fun: Callable[..., jax.Array],
    grad_fun: Callable[..., Any],
    *args: Any,
    argnums: int | tuple[int, ...] = 0,
) -> None:
    """Raises an `AssertionError` that carries the report unless the gradients match."""
    compare_gradients(fun, grad_fun, *args, argnums=argnums).raise_if_wrong()
