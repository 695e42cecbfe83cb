"""The mistakes that one pullback may contain: each with its code, its effect and its message.

A new one is added to `FLOW_CAUSES`, and to the table in docs/comparing-gradients.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp

from jaxpercep.compare.explanation.pullbacks import (
    BILINEAR,
    MOVING,
    Site,
    Use,
    is_elementwise,
    is_linear,
    is_wrapper,
)
from jaxpercep.compare.program.graph import Constant, Operation, Plain, Value, perform


@dataclass(frozen=True, eq=False)
class FlowCause:
    """A mistake in the pullback of one operation.

    Attributes:
        code: its name in a diagnosis.
        sentence: the message, with `{what}`, `{quoted}` and `{place}` of the operation, and the
            name of the `{value}` that it takes; `{matrix}` is the other one.
        alter: `alter(operand, site) -> cotangent` that the mistake gives the operand.
        applies: `applies(use)`, True if it may have been made there.
        after_update: True if only a backward pass that also updates the weights can contain it.
    """

    code: str
    sentence: str
    alter: Callable[[int, Site], Value]
    applies: Callable[[Use], bool]
    after_update: bool = False


def _has_derivative(use: Use) -> bool:
    """Returns True for an elementwise operation that multiplies the gradient by a derivative."""
    operation, operand = use.operation, use.operand
    if not is_elementwise(operation, operand) or (operation.name == "sub" and operand == 0):
        return False
    if operation.kind == "atom":
        return operation.name not in MOVING
    return not is_wrapper(operation)


def _left_out(operand: int, site: Site) -> Value:
    del operand
    return site.cotangents[0]


MISSING_DERIVATIVE = FlowCause(
    "missing_derivative",
    "The derivative of {what} {place} was left out: multiply the upstream gradient by it.",
    _left_out,
    _has_derivative,
)


def _is_nonlinear_alone(use: Use) -> bool:
    """Returns True for a nonlinear operation whose other operands get no gradient."""
    alone = not any(use.flow(use.graph, other) for other in use.others)
    return alone and _has_derivative(use) and not is_linear(use.operation, use.operand)


def _at_output(operand: int, site: Site) -> Value:
    return site.pull_back(operand, {operand: site.results[0]})


DERIVATIVE_AT_OUTPUT = FlowCause(
    "derivative_at_output",
    "The derivative of {what} {place} was evaluated at its output y; it should be evaluated "
    "at its input z: use f'(z), or the formula of f' in terms of y.",
    _at_output,
    _is_nonlinear_alone,
)


def _has_square_matrix(use: Use) -> bool:
    """Returns True if the other factor of a product is a square matrix."""
    if use.operation.name != "dot_general" or isinstance(use.others[0], Constant):
        return False
    shape = use.others[0].aval.shape
    return len(shape) == 2 and shape[0] == shape[1] > 1


def _turned(operand: int, site: Site) -> Value:
    matrix = 1 - operand
    return site.pull_back(operand, {matrix: site.values[matrix].T})


def _is_function(use: Use) -> bool:
    """Returns True for a nonlinear function of one value that differs from its derivative."""
    return _is_nonlinear_alone(use) and use.operation.name != "exp"


def _times_function(operand: int, site: Site) -> Value:
    del operand
    return site.cotangents[0] * site.results[0]


FUNCTION_FOR_DERIVATIVE = FlowCause(
    "function_for_derivative",
    "In the place of the derivative of {what} {place}, the upstream gradient was multiplied by its "
    "value: multiply by f'(z), not by f(z).",
    _times_function,
    _is_function,
)

BY_OUTPUT: dict[frozenset[str], Callable[[Value], Value]] = {
    frozenset({"exp"}): lambda y: y,
    frozenset({"tanh"}): lambda y: 1 - y * y,
    frozenset({"logistic"}): lambda y: y * (1 - y),
    frozenset({"neg", "exp", "add", "div"}): lambda y: y * (1 - y),  # 1 / (1 + exp(-z))
}
"""By the names of a function's operations, its derivative in terms of its value y."""


def _names(operation: Operation) -> frozenset[str]:
    inside = (one for body in operation.bodies for one in body.walk())
    return frozenset(one.name for one in (operation, *inside) if one.kind == "atom")


def _has_formula(use: Use) -> bool:
    """Returns True for a function whose derivative is usually written in terms of its value."""
    return _names(use.operation) in BY_OUTPUT and _is_nonlinear_alone(use)


def _formula_at_input(operand: int, site: Site) -> Value:
    return site.cotangents[0] * BY_OUTPUT[_names(site.operation)](site.values[operand])


OUTPUT_FORMULA_AT_INPUT = FlowCause(
    "output_formula_at_input",
    "The derivative of {what} {place} was computed from its input z by the formula that takes its "
    "output y: put y into the formula.",
    _formula_at_input,
    _has_formula,
)


WRONG_ORIENTATION = FlowCause(
    "wrong_orientation",
    "The upstream gradient was multiplied by {matrix}, in the backward pass of {what} {place}; it "
    "should be multiplied by the transpose: use dy @ w.T.",
    _turned,
    _has_square_matrix,
)


def _meets_another_path(use: Use) -> bool:
    """Returns True if another operand depends on the same leaves."""
    return any(use.flow(use.graph, other) & use.reach for other in use.others)


def _dropped(operand: int, site: Site) -> Value:
    return jnp.zeros_like(site.values[operand])


DROPPED_PATH = FlowCause(
    "dropped_path",
    "One of several uses of {value}, in {what} {place}, contributes nothing to its gradient: "
    "add its contribution (+=).",
    _dropped,
    _meets_another_path,
)
ALL_BUT_ONE_DROPPED = (
    "Of all uses of {value}, only the one in {what} {place} contributes to its gradient: add up "
    "(+=) the contributions of all of them, do not overwrite (=)."
)
HELD_CONSTANT = (
    "{value} was held constant in {quoted} {place}: add the part of the gradient that flows "
    "through it."
)
CARRY_DROPPED = (
    "The value that the loop carries from step to step contributes nothing to the gradient "
    "{place}: add its contribution."
)


def _looks_up(use: Use) -> bool:
    """Returns True for the array that indices select from."""
    return use.operation.name == "gather" and use.operand == 0


def _of_last_use(operand: int, site: Site) -> Value:
    """Returns the cotangent to which each number selected adds only what it got last."""
    array, *indices = site.values
    numbers = jnp.arange(array.size, dtype=float)  # where an index is out of bounds, NaN
    (found,) = perform(site.operation, Plain(), [numbers.reshape(array.shape), *indices])
    selected = jnp.nan_to_num(found, nan=array.size).astype(int)
    order = jnp.arange(found.size).reshape(found.shape)
    last = jnp.zeros(array.size, order.dtype).at[selected].max(order, mode="drop")
    kept = jnp.where(last[selected] == order, site.cotangents[0], 0)
    return site._replace(cotangents=[kept]).pull_back(operand, {})


INDEX_OVERWRITTEN = FlowCause(
    "index_overwritten",
    "Where an index occurs several times in {quoted} {place}, only the last occurrence counts in "
    "the gradient of {value}: add up all of them, np.add.at(d, i, dy) or d.at[i].add(dy).",
    _of_last_use,
    _looks_up,
)


def _multiplies_by_weight(use: Use) -> bool:
    """Returns True for the factor of a weight in a product, unless it is a weight as well."""
    if use.operation.name not in BILINEAR or len(use.operation.operands) != 2:
        return False
    weight = use.flow.is_weight(use.graph, use.others[0])
    return weight and not use.flow.is_weight(use.graph, use.variable)


def _stale(operand: int, site: Site) -> Value:
    return site.pull_back(operand, site.updated)


STALE_WEIGHTS = FlowCause(
    "stale_weights",
    "The gradient was propagated through weights {place} that had already been updated: compute "
    "every gradient first, then update.",
    _stale,
    _multiplies_by_weight,
    after_update=True,
)

FLOW_CAUSES = (
    MISSING_DERIVATIVE,
    DERIVATIVE_AT_OUTPUT,
    FUNCTION_FOR_DERIVATIVE,
    OUTPUT_FORMULA_AT_INPUT,
    WRONG_ORIENTATION,
    DROPPED_PATH,
    INDEX_OVERWRITTEN,
    STALE_WEIGHTS,
)
"""The simplest first."""
