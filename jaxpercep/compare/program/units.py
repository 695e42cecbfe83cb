"""Groups the operations of one line, or of one call, into one operation.

Someone who forgets the derivative of `swish` forgets that of every operation it consists of.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from jaxpercep.compare.program.flow import Flow, uses
from jaxpercep.compare.program.graph import (
    Constant,
    Frame,
    Graph,
    Operation,
    Span,
    Variable,
    is_floating,
)
from jaxpercep.compare.program.places import is_foreign


def grouped(graph: Graph, flow: Flow) -> Graph:
    """Puts a `"call"` around every line and every call that maps one array to another.

    Only operations with one result, and one operand of the same shape that a gradient flows to,
    become a unit: only there can a derivative be left out.

    Args:
        graph: the function.
        flow: of this graph. The result has new graphs inside, and so a flow of its own.
    """
    operations = [
        replace(operation, bodies=tuple(grouped(body, flow) for body in operation.bodies))
        for operation in graph.operations
    ]
    whole = replace(graph, operations=operations)
    readers = {variable: {op for op, _ in users} for variable, users in uses(whole).items()}
    flowing = {o for operation in operations for o in operation.operands if flow(graph, o)}
    units = list(_Grouping(readers, flowing).by_line(operations, 0))
    return replace(whole, operations=units)


@dataclass(frozen=True)
class _Grouping:
    """Groups the operations of one graph by the chain of lines that led to them.

    Attributes:
        readers: by variable, the operations that take it.
        flowing: the variables that a gradient flows to.
    """

    readers: dict[Variable, set[Operation | None]]
    flowing: set[Variable]

    def by_line(self, operations: Sequence[Operation], depth: int) -> Iterator[Operation]:
        """Groups the operations of each line, at this depth of the chain."""

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
        """Groups the operations of each function that one line calls."""

        def function(operation: Operation) -> Hashable:
            return tuple((f.file, f.function) for f in operation.chain[depth : depth + 1])

        for run in _runs(operations, function):
            # Nobody rewrites the inside of another package's function by hand.
            opaque = all(is_foreign(frame.file) for op in run for frame in op.chain[depth:])
            parts = run if opaque else list(self.by_line(run, depth))
            yield from self.unit(run, parts, depth)

    def unit(
        self, run: Sequence[Operation], parts: Sequence[Operation], depth: int
    ) -> Sequence[Operation]:
        """Returns the operations `run`, which consist of `parts`, as one unit; else the parts."""
        inside = set(run)
        made = {result for operation in run for result in operation.results}
        taken = dict.fromkeys(o for op in run for o in op.operands if not isinstance(o, Constant))
        operands = [variable for variable in taken if variable not in made]
        results = [v for v in made if self.readers.get(v, set()) - inside]
        flowing = [variable for variable in operands if variable in self.flowing]
        if len(parts) < 2 or len(results) != 1 or len(flowing) != 1:
            return parts
        if not is_floating(results[0]) or flowing[0].aval.shape != results[0].aval.shape:
            return parts
        common = _shared([operation.chain for operation in run])
        frames = _shared([operation.frames for operation in run])
        return [
            Operation(
                name=_name(run, len(common), depth),
                operands=operands,
                results=results,
                kind="call",
                bodies=(Graph(operands, {}, parts, results),),
                frames=frames,
                chain=common,
                location=run[0].location,
                spans=_covering([operation.spans[: len(frames)] for operation in run]),
            )
        ]


def _shared(chains: Sequence[tuple[Frame, ...]]) -> tuple[Frame, ...]:
    """Returns the frames that all chains begin with."""
    shared: list[Frame] = []
    for frames in zip(*chains, strict=False):
        if len(set(frames)) > 1:
            break
        shared.append(frames[0])
    return tuple(shared)


def _covering(spans: Sequence[tuple[Span | None, ...]]) -> tuple[Span | None, ...]:
    """Returns for each of the lines that several operations share what covers their expressions."""
    return tuple(map(_cover, zip(*spans, strict=True)))


def _cover(spans: Sequence[Span | None]) -> Span | None:
    known = [span for span in spans if span is not None]
    if len(known) < len(spans):
        return None
    begin = min((span.line, span.column) for span in known)
    end = max((span.end_line, span.end_column) for span in known)
    return Span(known[0].file, *begin, *end)


def _name(run: Sequence[Operation], common: int, depth: int) -> str:
    """Names the function that the operations have in common, below their line."""
    diverging = {op.chain[common].function if len(op.chain) > common else "" for op in run}
    if diverging == {""}:  # one line, run several times
        names = {operation.name for operation in run}
        return names.pop() if len(names) == 1 else "expression"
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
