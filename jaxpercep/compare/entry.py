"""Comparing a hand-written gradient with autodiff: who is wrong, and what the mistake is.

`compare_gradients(fun, grad_fun, *args)` needs no tolerance. The way through this package: `native`
and `sides` evaluate both sides, `reference` compares them in float64 (`rounding` says what to allow
for, `compilation` what to suspect), `arbitration` decides between them, `explanations` finds the
mistakes that reproduce the candidate (`leaf_causes` in a leaf, `hypotheses` and `counterfactuals`
in the flow), `diagnosis` says it, `report` shows it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep._checks import check_real
from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.evaluation.arbitration import Verdict, arbitrate
from jaxpercep.compare.evaluation.leaves import LeafReport, compare_leaves
from jaxpercep.compare.evaluation.native import Native
from jaxpercep.compare.evaluation.reference import Evaluation, evaluate
from jaxpercep.compare.evaluation.sides import UNFIT
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

    A leaf is right when max |candidate - autodiff| in float64 is within the measured rounding: the
    spread of both sides when every argument moves by an ulp. Where the candidate computes in a
    narrower type although it is given float64, the noise is that of this type. Where the two
    differ, finite differences decide, and mistakes that reproduce the candidate are named.

    Args:
        fun: `fun(*args) -> scalar`, differentiable by JAX.
        grad_fun: the hand-written gradient, returning grads or (value, grads): any pytree of
            arrays, NumPy arrays or floats. A leaf given as None is not compared.
        *args: pytrees of arrays; leaves that are not floating point are passed through.
        argnums: which arguments to differentiate by, as in `jax.grad`.

    Returns:
        A report; `str()` of it leads with the verdict and the fix.

    Raises:
        TypeError: fun or grad_fun is not callable, fun's value is not a scalar, or there is nothing
            to differentiate by.
        ValueError: an argument to differentiate by holds NaN or infinity.
    """
    return _compare(fun, grad_fun, args, argnums)


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

    return _compare(jax.jit(objective), jax.jit(manual), (params, x, y), 0)


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
        backward: `backward(residuals, dy) -> one cotangent per argument`; None for an argument that
            has none.
        *args: pytrees of arrays.

    Raises:
        ValueError: forward's value is not that of fun, or backward does not return one cotangent
            per argument.
    """
    dy = _cotangent(jax.eval_shape(fun, *args))
    chosen = _floating_arguments(args)

    def objective(*args_and_dy: Any) -> Any:
        return _inner(fun(*args_and_dy[:-1]), args_and_dy[-1])

    def candidate(*args_and_dy: Any) -> Any:
        *given, dy = args_and_dy
        _, residuals = forward(*given)
        cotangents = backward(residuals, dy)
        if not isinstance(cotangents, (tuple, list)) or len(cotangents) != len(given):
            raise ValueError(
                f"backward returned {_what(cotangents)}, expected a tuple of {len(given)}: one "
                "cotangent per argument of fun."
            )
        return tuple(cotangents[i] for i in chosen)

    _check_forward(fun, forward, args)
    return _compare(objective, candidate, (*args, dy), chosen)


def compare_custom_vjp(fun: Callable[..., Any], *args: Any) -> GradientReport:
    """Compares the `jax.custom_vjp` rules in `fun` with autodiff of the functions they belong to.

    Args:
        fun: a function with such a rule, or one that calls some.
        *args: pytrees of arrays.

    Raises:
        ValueError: there is no `jax.custom_vjp` in fun.
    """
    primal = without_rules(fun, args)
    dy = _cotangent(jax.eval_shape(fun, *args))
    chosen = _floating_arguments(args)

    def objective(*args_and_dy: Any) -> Any:
        return _inner(primal(*args_and_dy[:-1]), args_and_dy[-1])

    def by_rule(*args_and_dy: Any) -> Any:
        return _inner(fun(*args_and_dy[:-1]), args_and_dy[-1])

    return _compare(objective, jax.grad(by_rule, chosen, allow_int=True), (*args, dy), chosen)


def compare_updates(
    fun: Callable[..., jax.Array],
    update_fun: Callable[..., Any],
    params: Any,
    *batch: Any,
    learning_rate: float,
) -> GradientReport:
    """Compares one step of gradient descent with params - learning_rate * jax.grad(fun).

    What is compared is the gradient that the step implies, (params - updated) / learning_rate. Only
    here can weights be found that were updated before the error was sent back through them.

    Args:
        fun: `fun(params, *batch) -> scalar`.
        update_fun: `update_fun(params, *batch) -> params` after the step.
        params: a pytree of arrays.
        *batch: pytrees of arrays.
        learning_rate: of the step.

    Raises:
        ValueError: a learning rate that is not above 0.
    """
    rate = check_real("learning_rate", learning_rate)
    if rate <= 0:
        raise ValueError(f"learning_rate={learning_rate} must be above 0.")

    def implied(params: Any, *batch: Any) -> Any:
        updated = update_fun(trees.copied(params), *batch)  # which may write into what it is given
        return trees.implied_gradient(params, updated, rate)

    return _compare(fun, implied, (params, *batch), 0, rate)


def assert_gradients(
    fun: Callable[..., jax.Array],
    grad_fun: Callable[..., Any],
    *args: Any,
    argnums: int | tuple[int, ...] = 0,
) -> None:
    """Raises an `AssertionError` that carries the report unless the gradients match."""
    compare_gradients(fun, grad_fun, *args, argnums=argnums).raise_if_wrong()


def _compare(
    fun: Callable[..., Any],
    grad_fun: Callable[..., Any],
    args: tuple[Any, ...],
    argnums: int | tuple[int, ...],
    rate: float | None = None,
) -> GradientReport:
    """Compares, decides and diagnoses; with a rate, for the gradient that a step implies."""
    for name, function in (("fun", fun), ("grad_fun", grad_fun)):
        if not callable(function):
            raise TypeError(f"{name}={function!r} is not callable.")
    _check_scalar(fun, args)
    _check_finite(args, argnums)
    native = Native.of(fun, grad_fun, args, argnums)
    chosen = {n % len(args) for n in ((argnums,) if isinstance(argnums, int) else argnums)}
    batch = jax.tree.leaves([arg for n, arg in enumerate(args) if n not in chosen])
    explanations: tuple[tuple[Diagnosis, ...], ...] = ()
    with native.double_precision():
        evaluation = evaluate(native, rate)
        leaves = compare_leaves(evaluation)
        verdict = _verdict(evaluation, leaves)
        if verdict in ("manual_wrong", "both_wrong", "inconclusive"):
            explanations = diagnose(evaluation, batch, rate)
    return GradientReport(verdict, leaves, explanations, evaluation.formula, evaluation.miscompiled)


def _verdict(evaluation: Evaluation, leaves: Sequence[LeafReport]) -> Verdict:
    """Decides from the leaves, and where they differ by finite differences."""
    if evaluation.miscompiled:
        return "compiler_wrong"
    measured = [i for i in range(len(evaluation.leaves.paths)) if not leaves[i].note]
    wrong = [i for i in measured if not leaves[i].ok]
    malformed = bool(evaluation.candidate.extra) or any(not leaf.ok for leaf in leaves if leaf.note)
    if not wrong:
        return "manual_wrong" if malformed else "match"
    wrong.sort(key=lambda i: -leaves[i].max_relative_error)
    verdict = arbitrate(
        evaluation.function,
        evaluation.values,
        evaluation.leaves.positions,
        evaluation.autodiff,
        evaluation.candidate.leaves,
        wrong,
        compiled=evaluation.graph is not None,
    )
    if malformed:
        return "both_wrong" if verdict == "autodiff_wrong" else "manual_wrong"
    return verdict


def _check_scalar(fun: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        shapes = jax.tree.leaves(jax.eval_shape(fun, *args))
    except NEEDS_NUMBERS:
        return  # only concrete arguments will tell
    if len(shapes) != 1 or shapes[0].shape != ():
        came = ", ".join(str(list(shape.shape)) for shape in shapes)
        raise TypeError(
            f"fun returns {len(shapes)} arrays of shapes {came}, expected one scalar. For a "
            "function of arrays use compare_vjp."
        )


def _check_finite(args: tuple[Any, ...], argnums: int | tuple[int, ...]) -> None:
    leaves = trees.differentiated(args, argnums)
    flat = jax.tree.leaves(args)
    for position, path in zip(leaves.positions, leaves.paths, strict=True):
        wrong = int(np.sum(~np.isfinite(np.asarray(flat[position], np.float64))))
        if wrong:
            raise ValueError(
                f"the argument at {path or argnums!r} holds {wrong} values that are NaN or "
                "infinite; gradients can be compared where they exist."
            )


def _cotangent(shapes: Any) -> Any:
    """A random cotangent for outputs of these shapes, the same in every run."""
    rng = np.random.default_rng(0)

    def draw(shape: Any) -> Any:
        if not jnp.issubdtype(shape.dtype, jnp.floating):
            return None
        return jnp.asarray(rng.normal(size=shape.shape), shape.dtype)

    return jax.tree.map(draw, shapes)


def _inner(value: Any, dy: Any) -> Any:
    """The sum of value * dy over everything."""
    pairs = zip(
        jax.tree.leaves(value), jax.tree.leaves(dy, is_leaf=lambda d: d is None), strict=True
    )
    return sum(jnp.sum(v * d.astype(v.dtype)) for v, d in pairs if d is not None)


def _floating_arguments(args: tuple[Any, ...]) -> tuple[int, ...]:
    """The arguments that have a gradient."""
    return tuple(
        n for n, arg in enumerate(args) if any(map(trees.is_floating, jax.tree.leaves(arg)))
    )


def _check_forward(
    fun: Callable[..., Any], forward: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    """Raises a `ValueError` unless forward returns fun's value and something else."""
    result, value = _forward_and_value(fun, forward, args)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ValueError(f"forward returned {_what(result)}, expected (value, residuals).")
    came, due = jax.tree.leaves(result[0]), jax.tree.leaves(value)
    shapes = [np.shape(leaf) for leaf in came], [np.shape(leaf) for leaf in due]
    if shapes[0] != shapes[1]:
        raise ValueError(f"forward's value has shapes {shapes[0]}, fun's {shapes[1]}.")
    apart = max((trees.distance(a, b) for a, b in zip(came, due, strict=True)), default=0.0)
    if apart > 1e-3 * max(map(trees.largest, due), default=0.0):
        raise ValueError(
            f"forward's value differs from fun's by {apart:.1e}: its pullback would be that of "
            "another function."
        )


def _forward_and_value(
    fun: Callable[..., Any], forward: Callable[..., Any], args: tuple[Any, ...]
) -> tuple[Any, Any]:
    """What forward and fun return in float64, or in the caller's dtype if they refuse that."""
    try:
        with jax.enable_x64(True):
            wide = trees.cast(args, "float64")
            return forward(*trees.copied(wide)), fun(*trees.copied(wide))
    except UNFIT:
        return forward(*trees.copied(args)), fun(*trees.copied(args))


def _what(value: Any) -> str:
    return f"a {type(value).__name__}" + (f" of {len(value)}" if hasattr(value, "__len__") else "")
