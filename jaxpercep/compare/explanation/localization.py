"""Localizes a mistake that has no name: between right cotangents and wrong ones.

A wrong cotangent makes every leaf wrong that it reaches. So the mistake that all wrong leaves share
is in the pullback of an operation that reaches all of them through operands that reach no right
leaf.
"""

from collections.abc import Container, Sequence

import jax

from jaxpercep.compare.program.flow import Flow
from jaxpercep.compare.program.graph import Graph, Operation, Plain, Value, run


def suspects(
    graph: Graph, flow: Flow, wrong: int, right: int, unused: Container[Graph]
) -> list[Operation]:
    """Lists operations of which one has a wrong pullback, in the order of the backward pass.

    Args:
        graph: the function.
        flow: of the graph.
        wrong: the wrong leaves, as a bit set.
        right: the leaves that are right and not zero, likewise.
        unused: branches that are not taken.
    """
    found: list[Operation] = []
    for operation in reversed(graph.operations):
        reached = 0
        for operand in operation.operands:
            reach = flow(graph, operand)
            reached |= 0 if reach & right else reach
        if wrong & ~reached:
            continue
        bodies = [body for body in operation.bodies if body not in unused]
        inner = [s for body in bodies for s in suspects(body, flow, wrong, right, unused)]
        found += inner or [operation]
    return found


def unused_branches(graph: Graph, values: Sequence[Value]) -> set[Graph]:
    """Finds the branches of `lax.cond`, outside of loops, that these arguments do not take."""
    interpreter = _Branches()
    run(graph, values, interpreter)
    return interpreter.unused


class _Branches(Plain):
    """Records the branches that are not taken."""

    def __init__(self) -> None:
        self.unused: set[Graph] = set()

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        if operation.kind == "cond" and not isinstance(values[0], jax.core.Tracer):
            taken = min(max(int(values[0]), 0), len(operation.bodies) - 1)
            self.unused.update(b for i, b in enumerate(operation.bodies) if i != taken)
        return super().apply(operation, values)
