"""Localizes a mistake that has no name: between right cotangents and wrong ones.

A wrong cotangent makes every leaf wrong that it reaches. So the mistake that all wrong leaves share
is in the pullback of an operation that reaches all of them through operands that reach no right
leaf; and some cotangents of these operands must give the leaves their errors.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax

from jaxpercep.compare.program.flow import Flow, union
from jaxpercep.compare.program.graph import Graph, Operation, Plain, Value, run
from jaxpercep.compare.program.values import SILENT

INNOCENT = SILENT | {"add", "add_any"}
"""Nothing can be mistaken in these pullbacks but the shape, which leaves would show."""


class Suspect(NamedTuple):
    """A place that the mistake may be at: one operation, or the same on every pass of a loop."""

    operations: tuple[Operation, ...]

    @property
    def first(self) -> Operation:
        """The first of the operations, in the order of the program."""
        return self.operations[0]


@dataclass(frozen=True)
class Localizer:
    """Finds the places of a mistake that makes some leaves wrong.

    Attributes:
        graph: the function.
        flow: of the graph.
        right: the leaves that are right and not zero, as a bit set.
        unused: branches that are not taken.
        explains: `explains(operations, leaves)`, True if wrong cotangents there can make the errors
            of these leaves.
    """

    graph: Graph
    flow: Flow
    right: int
    unused: Container[Graph]
    explains: Callable[[Sequence[Operation], int], bool]

    def suspects(self, wrong: Sequence[int]) -> list[Suspect]:
        """Lists places of a mistake that all wrong leaves share, or else of each of them.

        `wrong` holds each wrong leaf as a bit set.
        """
        found = self.sharing(union(wrong)) or self.on_every_pass(union(wrong))
        if not found:
            each = {suspect for one in wrong for suspect in self.sharing(one)}
            found = [s for o in self.graph.walk() if (s := Suspect((o,))) in each]
        return [s for s in found if s.first.name not in INNOCENT] or found

    def sharing(self, wrong: int) -> list[Suspect]:
        """Lists the operations that all these leaves share, in the order of the program."""
        reaching = self.reaching(self.graph, wrong)
        return [Suspect((o,)) for o in reaching if self.explains([o], wrong)]

    def on_every_pass(self, wrong: int) -> list[Suspect]:
        """Lists the operations that only together reach all these leaves, in a Python loop."""
        passes: dict[object, list[Operation]] = defaultdict(list)
        reached: dict[object, int] = defaultdict(int)
        for operation, graph in self.innermost(self.graph):
            if reach := self.reach(graph, operation) & wrong:
                passes[operation.point].append(operation)
                reached[operation.point] |= reach
        several = [passes[point] for point, reach in reached.items() if reach == wrong]
        return [Suspect(tuple(o)) for o in several if len(o) > 1 and self.explains(o, wrong)]

    def reaching(self, graph: Graph, wrong: int) -> list[Operation]:
        """Lists the operations that reach all these leaves, the innermost ones."""
        found: list[Operation] = []
        for operation in graph.operations:
            if wrong & ~self.reach(graph, operation):
                continue
            bodies = [body for body in operation.bodies if body not in self.unused]
            inner = [one for body in bodies for one in self.reaching(body, wrong)]
            found += inner or [operation]
        return found

    def innermost(self, graph: Graph) -> Iterator[tuple[Operation, Graph]]:
        """Yields the operations without others inside, each with its graph."""
        for operation in graph.operations:
            if not operation.bodies:
                yield operation, graph
            for body in operation.bodies:
                if body not in self.unused:
                    yield from self.innermost(body)

    def reach(self, graph: Graph, operation: Operation) -> int:
        """Returns the leaves that it reaches through operands that reach no right leaf."""
        reached = (self.flow(graph, operand) for operand in operation.operands)
        return union(reach for reach in reached if not reach & self.right)


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
