"""One operation's pullback: the operand it leads to, its properties, and its evaluation."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax

from jaxpercep.compare.program.flow import Flow
from jaxpercep.compare.program.graph import (
    Constant,
    Graph,
    Operation,
    Plain,
    Value,
    Variable,
    is_floating,
    perform,
)

# These move numbers without changing them: there is no derivative to leave out.
MOVING = {
    "add",
    "add_any",
    "broadcast_in_dim",
    "concatenate",
    "convert_element_type",
    "copy",
    "cumsum",
    "expand_dims",
    "gather",
    "pad",
    "reduce_sum",
    "reshape",
    "rev",
    "scatter-add",
    "slice",
    "dynamic_slice",
    "dynamic_update_slice",
    "squeeze",
    "transpose",
}
# These are linear in each operand, so that the derivative is the same everywhere.
LINEAR = MOVING | {"conv_general_dilated", "dot_general", "mul", "neg", "select_n", "sub"}
BILINEAR = {"conv_general_dilated", "dot_general", "mul"}


class Use(NamedTuple):
    """One operand of one operation that a gradient flows to."""

    operation: Operation
    operand: int
    graph: Graph
    flow: Flow

    @property
    def variable(self) -> Variable:
        """The operand."""
        return self.operation.operands[self.operand]

    @property
    def reach(self) -> int:
        """The leaves whose gradient passes through this use, as a bit set."""
        return self.flow(self.graph, self.variable)

    @property
    def others(self) -> list[Variable | Constant]:
        """The other operands."""
        return [o for i, o in enumerate(self.operation.operands) if i != self.operand]


class Site(NamedTuple):
    """One pullback, as it is about to be evaluated.

    Attributes:
        operation: which operation's.
        values: of its operands.
        updated: by operand, the values after the candidate's update of the weights.
        results: of the operation.
        cotangents: of the results.
    """

    operation: Operation
    values: Sequence[Value]
    updated: Mapping[int, Value]
    results: Sequence[Value]
    cotangents: Sequence[Value]

    def pull_back(self, operand: int, at: Mapping[int, Value]) -> Value:
        """Returns the right cotangent of one operand, with other values for some operands."""
        given = [at.get(i, value) for i, value in enumerate(self.values)]

        def function(value: Value) -> list[Value]:
            given[operand] = value
            return list(perform(self.operation, Plain(), given))

        return jax.vjp(function, given[operand])[1](self.cotangents)[0]


def is_linear(operation: Operation, i: int) -> bool:
    """Returns True if the derivative by an operand is the same at all its values."""
    return operation.name in LINEAR or (operation.name == "div" and i == 0)


def is_elementwise(operation: Operation, i: int) -> bool:
    """Returns True for a single result of the shape and type of this operand."""
    if len(operation.results) != 1 or not is_floating(operation.results[0]):
        return False
    operand, result = operation.operands[i], operation.results[0].aval
    if isinstance(operand, Constant):
        return False
    return operand.aval.shape == result.shape and operand.aval.dtype == result.dtype


def is_wrapper(operation: Operation) -> bool:
    """Returns True for a call of a single operation, which is the same place."""
    return operation.kind == "call" and len(operation.bodies[0].operations) == 1
