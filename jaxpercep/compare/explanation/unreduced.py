"""The gradient by a leaf that is broadcast, before it is summed over the axes that this adds.

A bias is broadcast over the batch; what flows back to it is summed over that axis, or, by mistake,
over another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.program.flow import uses
from jaxpercep.compare.program.graph import (
    RUN_ONCE,
    Graph,
    Operation,
    Plain,
    Value,
    Variable,
    perform,
    run,
)

BROADCASTING = {"add", "add_any", "broadcast_in_dim", "div", "mul", "sub"}


@dataclass(frozen=True)
class Unreduced:
    """The gradient by every copy of a leaf.

    Attributes:
        graph: of the function.
        values: of its inputs.
        operation: makes the copies, or takes a small operand and a large one.
        operand: the small one.
    """

    graph: Graph
    values: Sequence[Value]
    operation: Operation
    operand: int

    @classmethod
    def of(cls, graph: Graph, values: Sequence[Value], position: int) -> "Unreduced | None":
        """Returns that of the input at a position, None unless it is broadcast and used once."""
        found = _broadcast(graph, graph.inputs[position])
        return None if found is None else cls(graph, values, *found)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the copies together."""
        return self.operation.results[0].aval.shape

    @cached_property
    def value(self) -> np.ndarray:
        """The gradient; the function is run when it is first asked for."""

        @RUN_ONCE
        def gradient(values: Sequence[Value]) -> Value:
            def function(tap: Value) -> Value:
                return run(self.graph, values, _Tapped(self, tap))[0]

            dtype = self.operation.results[0].aval.dtype
            return jax.grad(function)(jnp.zeros(self.shape, dtype))

        return np.asarray(gradient(list(self.values)), np.float64)


class _Tapped(Plain):
    """Evaluates a graph with something added to the copies of a leaf."""

    def __init__(self, place: Unreduced, tap: Value) -> None:
        self.place, self.tap = place, tap

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        if operation is not self.place.operation:
            return perform(operation, self, values)
        if operation.name == "broadcast_in_dim":
            return [perform(operation, self, values)[0] + self.tap]
        given = list(values)
        given[self.place.operand] = given[self.place.operand] + self.tap
        return perform(operation, self, given)


def _broadcast(graph: Graph, variable: Variable) -> tuple[Operation, int] | None:
    """Follows a variable that is used once to the operation that broadcasts it."""
    while len(users := uses(graph).get(variable, ())) == 1:
        ((operation, operand),) = users
        if operation is None or len(operation.results) != 1:
            return None
        if operation.kind == "call":
            graph = operation.bodies[0]
            variable = graph.inputs[operand]
            continue
        if operation.kind != "atom" or operation.name not in BROADCASTING | {"reshape"}:
            return None
        (result,) = operation.results
        if result.aval.size > variable.aval.size:
            return operation, operand
        variable = result
    return None
