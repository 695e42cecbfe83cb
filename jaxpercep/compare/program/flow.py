"""The leaves of the gradient that each operation's pullback can reach."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import NamedTuple, TypeAlias

from jaxpercep.compare.program.graph import Constant, Graph, Operation, Variable, is_floating

Reach: TypeAlias = dict[Graph, dict[Variable, int]]
"""By graph, then by variable: the leaves that it depends on, as a bit set."""


@dataclass(frozen=True)
class Flow:
    """For every variable, a bit set of the leaves of the gradient that it depends on.

    The bit above those of the leaves stands for every other argument.

    Attributes:
        leaves: the number of leaves.
        reach: by graph, then by variable.
    """

    leaves: int
    reach: Mapping[Graph, Mapping[Variable, int]]

    @classmethod
    def of(cls, graph: Graph, differentiated: Sequence[int]) -> "Flow":
        """Follows a graph that is differentiated by the inputs at these positions."""
        data = 1 << len(differentiated)
        bits = {position: 1 << i for i, position in enumerate(differentiated)}
        reach: Reach = {}
        _Propagation(data, reach).through_graph(
            graph, [bits.get(i, data) for i in range(len(graph.inputs))]
        )
        return cls(len(differentiated), reach)

    def __call__(self, graph: Graph, operand: Variable | Constant) -> int:
        """Returns the leaves whose gradient passes through this operand, as a bit set."""
        if isinstance(operand, Constant) or not is_floating(operand):
            return 0
        return self.reach[graph].get(operand, 0) & ((1 << self.leaves) - 1)

    def is_weight(self, graph: Graph, operand: Variable | Constant) -> bool:
        """Returns True if an operand is computed from the differentiated arguments alone."""
        if isinstance(operand, Constant):
            return False
        return 0 < self.reach[graph].get(operand, 0) < 1 << self.leaves


class _Propagation(NamedTuple):
    """Propagates bit sets from the inputs of a graph to its outputs, and records them in `reach`.

    Attributes:
        data: the bit of the arguments that are not differentiated.
        reach: filled in.
    """

    data: int
    reach: Reach

    def through_graph(self, graph: Graph, inputs: Sequence[int]) -> list[int]:
        known = self.reach[graph] = dict(zip(graph.inputs, inputs, strict=True))

        def read(operand: Variable | Constant) -> int:
            return 0 if isinstance(operand, Constant) else known.get(operand, 0)

        for operation in graph.operations:
            results = self.through(operation, [read(o) for o in operation.operands])
            stops = operation.kind == "atom" and operation.name == "stop_gradient"
            for variable, mask in zip(operation.results, results, strict=True):
                known[variable] = mask & self.data if stops or not is_floating(variable) else mask
        return [read(output) for output in graph.outputs]

    def through(self, operation: Operation, masks: list[int]) -> list[int]:
        if operation.kind == "call":
            return self.through_graph(operation.bodies[0], masks)
        if operation.kind == "cond":
            branches = [self.through_graph(body, masks[1:]) for body in operation.bodies]
            return [union(branch) for branch in zip(*branches, strict=True)]
        if operation.loop is not None:
            return self.around(operation, masks)
        return [union(masks)] * len(operation.results)

    def around(self, operation: Operation, masks: list[int]) -> list[int]:
        """Feeds the results of an iteration into the next one until nothing changes."""
        assert operation.loop is not None
        first, carried = operation.loop.constants, operation.loop.carried
        while True:
            results = self.through_graph(operation.bodies[0], masks)
            carry = masks[first : first + carried]
            merged = [a | b for a, b in zip(carry, results[:carried], strict=True)]
            if merged == carry:
                return results
            masks[first : first + carried] = merged


def uses(graph: Graph) -> dict[Variable, list[tuple[Operation | None, int]]]:
    """Lists by variable each use: an operation (None for an output) and the operand's position."""
    found: dict[Variable, list[tuple[Operation | None, int]]] = defaultdict(list)
    for operation in graph.operations:
        for i, operand in enumerate(operation.operands):
            if not isinstance(operand, Constant):
                found[operand].append((operation, i))
    for i, output in enumerate(graph.outputs):
        if not isinstance(output, Constant):
            found[output].append((None, i))
    return found


def live(graph: Graph) -> Graph:
    """Drops the operations whose results lead to no output."""
    needed = {output for output in graph.outputs if not isinstance(output, Constant)}
    kept = []
    for operation in reversed(graph.operations):
        if needed.intersection(operation.results):
            kept.append(operation)
            needed.update(o for o in operation.operands if not isinstance(o, Constant))
    return Graph(graph.inputs, graph.captured, kept[::-1], graph.outputs)


def union(masks: Iterable[int]) -> int:
    """Returns the union of bit sets."""
    return reduce(or_, masks, 0)
