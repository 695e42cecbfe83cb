"""Which leaves of the gradient an operation's pullback can reach."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from jaxpercep.compare.program.graph import Constant, Graph, Operation, Variable, is_floating


@dataclass(frozen=True)
class Flow:
    """For every variable a bit set: the leaves of the gradient that it depends on.

    The bit above those of the leaves says that it depends on anything else that is an argument.

    Attributes:
        leaves: the number of leaves.
        reach: by graph, then by variable.
    """

    leaves: int
    reach: dict[Graph, dict[Variable, int]] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph, differentiated: Sequence[int]) -> "Flow":
        """The flow of a graph that is differentiated by the inputs at these positions."""
        flow = cls(len(differentiated))
        bits = {position: 1 << i for i, position in enumerate(differentiated)}
        flow._follow(graph, [bits.get(i, flow.data) for i in range(len(graph.inputs))])
        return flow

    @property
    def data(self) -> int:
        """The bit of what is not differentiated."""
        return 1 << self.leaves

    def __call__(self, graph: Graph, operand: Variable | Constant) -> int:
        """The leaves that get some of their gradient through this operand, as a bit set."""
        if isinstance(operand, Constant) or not is_floating(operand):
            return 0
        return self.reach[graph].get(operand, 0) & (self.data - 1)

    def is_weight(self, graph: Graph, operand: Variable | Constant) -> bool:
        """Whether an operand is made from the differentiated arguments alone."""
        if isinstance(operand, Constant):
            return False
        return 0 < self.reach[graph].get(operand, 0) < self.data

    def _follow(self, graph: Graph, inputs: Sequence[int]) -> list[int]:
        known = self.reach[graph] = dict(zip(graph.inputs, inputs, strict=True))

        def read(operand: Any) -> int:
            return 0 if isinstance(operand, Constant) else known.get(operand, 0)

        for operation in graph.operations:
            results = self._through(operation, [read(o) for o in operation.operands])
            for variable, mask in zip(operation.results, results, strict=True):
                # What is no float, or is stopped, passes no gradient on.
                passes = is_floating(variable) and operation.name != "stop_gradient"
                known[variable] = mask if passes else mask and self.data
        return [read(output) for output in graph.outputs]

    def _through(self, operation: Operation, masks: list[int]) -> list[int]:
        if operation.kind == "call":
            return self._follow(operation.bodies[0], masks)
        if operation.kind == "cond":
            branches = [self._follow(body, masks[1:]) for body in operation.bodies]
            return [union(branch) for branch in zip(*branches, strict=True)]
        if operation.loop is not None:
            return self._around(operation, masks)
        return [union(masks)] * len(operation.results)

    def _around(self, operation: Operation, masks: list[int]) -> list[int]:
        """A scan: what comes out of an iteration goes into the next, until nothing changes."""
        assert operation.loop is not None
        first, carried = operation.loop.constants, operation.loop.carried
        while True:
            results = self._follow(operation.bodies[0], masks)
            carry = masks[first : first + carried]
            merged = [a | b for a, b in zip(carry, results[:carried], strict=True)]
            if merged == carry:
                return results
            masks[first : first + carried] = merged


def uses(graph: Graph) -> dict[Variable, list[tuple[Operation | None, int]]]:
    """By variable, the operations that take it and as which operand; None stands for an output."""
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
    """The graph without the operations whose results lead to no output."""
    needed = {output for output in graph.outputs if not isinstance(output, Constant)}
    kept = []
    for operation in reversed(graph.operations):
        if needed.intersection(operation.results):
            kept.append(operation)
            needed.update(o for o in operation.operands if not isinstance(o, Constant))
    return Graph(graph.inputs, graph.captured, kept[::-1], graph.outputs)


def union(masks: Iterable[int]) -> int:
    """The union of bit sets."""
    return reduce(or_, masks, 0)
