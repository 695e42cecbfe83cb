"""Operations that stand on one line, or in one call, taken together as one.

Who forgets the derivative of `swish` forgets that of all the operations it consists of.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from jaxpercep.compare.program.flow import Flow, uses
from jaxpercep.compare.program.graph import Constant, Frame, Graph, Operation, Variable, is_floating
from jaxpercep.compare.program.places import is_foreign


def grouped(graph: Graph, flow: Flow) -> Graph:
    """The graph with a `"call"` around every line and every call that maps one array to another.

    Only what has one result, and one operand that a gradient flows to, of the same shape, becomes a
    unit: there a derivative can be left out.
    """
    operations = [_with_grouped_bodies(operation, flow) for operation in graph.operations]
    rest = Graph(graph.inputs, graph.captured, operations, graph.outputs)
    flow.reach[rest] = flow.reach[graph]
    readers = {variable: {op for op, _ in users} for variable, users in uses(rest).items()}
    units = list(_Grouping(rest, flow, readers).by_line(operations, 0))
    whole = Graph(graph.inputs, graph.captured, units, graph.outputs)
    flow.reach[whole] = flow.reach[graph]
    return whole


def _with_grouped_bodies(operation: Operation, flow: Flow) -> Operation:
    return replace(operation, bodies=tuple(grouped(body, flow) for body in operation.bodies))


@dataclass(frozen=True)
class _Grouping:
    """Groups the operations of one graph by the chain of lines that led to them."""

    graph: Graph
    flow: Flow
    readers: dict[Variable, set[Operation | None]]

    def by_line(self, operations: Sequence[Operation], depth: int) -> Iterator[Operation]:
        """Groups what stands on one line, at this depth of the chain."""

        def line(operation: Operation) -> Hashable:
            return operation.chain[depth : depth + 1]

        for run in _runs(operations, line):
            if len(run[0].chain) <= depth:
                yield from run
                continue
            parts = list(self.by_call(run, depth + 1))
            same = len(run) == len(operations)
            yield from parts if same else self.unit(run, parts, depth)

    def by_call(self, operations: Sequence[Operation], depth: int) -> Iterator[Operation]:
        """Groups what one function does, called from one line."""

        def function(operation: Operation) -> Hashable:
            return tuple((f.file, f.function) for f in operation.chain[depth : depth + 1])

        for run in _runs(operations, function):
            # What another package's function consists of is nobody's to get wrong.
            opaque = all(is_foreign(frame.file) for op in run for frame in op.chain[depth:])
            parts = run if opaque else list(self.by_line(run, depth))
            yield from self.unit(run, parts, depth)

    def unit(
        self, run: Sequence[Operation], parts: Sequence[Operation], depth: int
    ) -> Sequence[Operation]:
        """The unit of the operations `run`, which consists of `parts`; parts if there is none."""
        inside = set(run)
        made = {result for operation in run for result in operation.results}
        taken = dict.fromkeys(o for op in run for o in op.operands if not isinstance(o, Constant))
        operands = [variable for variable in taken if variable not in made]
        results = [v for v in made if self.readers.get(v, set()) - inside]
        flowing = [v for v in operands if self.flow(self.graph, v)]
        if len(parts) < 2 or len(results) != 1 or len(flowing) != 1:
            return parts
        if not is_floating(results[0]) or flowing[0].aval.shape != results[0].aval.shape:
            return parts
        body = Graph(operands, {}, parts, results)
        self.flow.reach[body] = self.flow.reach[self.graph]
        common = _shared([operation.chain for operation in run])
        return [
            Operation(
                name=_name(run, len(common), depth),
                operands=operands,
                results=results,
                kind="call",
                bodies=(body,),
                frames=_shared([operation.frames for operation in run]),
                chain=common,
                location=run[0].location,
            )
        ]


def _shared(chains: Sequence[tuple[Frame, ...]]) -> tuple[Frame, ...]:
    """The frames that all chains begin with."""
    shared: list[Frame] = []
    for frames in zip(*chains, strict=False):
        if len(set(frames)) > 1:
            break
        shared.append(frames[0])
    return tuple(shared)


def _name(run: Sequence[Operation], common: int, depth: int) -> str:
    """The function that the operations have in common, below the line that they stand on."""
    diverging = {op.chain[common].function if len(op.chain) > common else "" for op in run}
    if len(diverging) == 1 and "" not in diverging:
        return diverging.pop().rpartition(".")[2]
    if common > depth + 1:
        return run[0].chain[common - 1].function.rpartition(".")[2]
    return "expression"


def _runs(
    operations: Sequence[Operation], key: Callable[[Operation], Hashable]
) -> Iterator[list[Operation]]:
    for _, run in groupby(operations, key):
        yield list(run)
