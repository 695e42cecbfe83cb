"""Reads the values that a backward pass may hold off the quantities of the function."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from jaxpercep.compare.candidate.known import (
    RANK,
    SAME,
    Kind,
    Known,
    Pair,
    columns,
    reduced,
    rows,
    stacks,
)
from jaxpercep.compare.candidate.quantities import Program, Quantities, Spot
from jaxpercep.compare.candidate.shares import shares
from jaxpercep.compare.candidate.tangents import TangentProgram
from jaxpercep.compare.evaluation.trees import largest
from jaxpercep.compare.program import words
from jaxpercep.compare.program.graph import Operation, Span


@dataclass(frozen=True)
class Reader:
    """Turns the quantities of a function into known values.

    Attributes:
        program: the function.
        names: of its inputs.
        leaves: the positions of those to differentiate by.
        home: the file of the candidate.
    """

    program: Program | TangentProgram
    names: Sequence[str]
    leaves: Sequence[int]
    home: str

    def known(self, here: Quantities, there: Quantities) -> list[Known]:
        """Lists every known value once, the most telling first."""
        every = [*self.inputs(here, there), *self.results(here, there)]
        every += self.shares(here, there)
        every += list(stacks(every))
        every += [column for known in every for column in columns(known)]
        every += [sum_ for known in every for sum_ in reduced(known)]
        every += [row for known in every for row in self.rows(known)]
        every.sort(key=lambda known: RANK.index(known.kind))
        return _merged([known for known in every if np.any(known.pair.here)])

    def rows(self, known: Known) -> Iterator[Known]:
        """Yields the rows of an array."""
        return rows(known)

    def inputs(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields the arguments and the gradients by them."""
        for spot in here.derivatives:
            if spot.kind != "input":
                continue
            name = self.names[spot.index]
            kind: Kind = "leaf" if spot.index in self.leaves else "data"
            if name != "dy" and not name.startswith("dy["):  # the checker's, of a pullback
                pair = Pair(here.derivatives[spot], there.derivatives[spot])
                yield Known(kind, (words.cotangent(name),), pair)
            pair = Pair(here.values[spot], there.values[spot])
            yield Known("value", (name,), pair, is_gradient=False)

    def results(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields what the operations compute, with the cotangents of results and of uses."""
        points, passes = self.program.points, self.passes()
        for spot in here.derivatives:
            if spot.kind not in ("result", "use"):
                continue
            operation = points[spot.point].operation
            whole = spot.point in passes
            place = self.place(spot)
            family = (operation.frames, operation.span, operation.name, spot.kind, spot.index)
            if not whole:
                family = (*family, spot.point)
            index, count = passes.get(spot.point, (0, 1))
            turn = f", pass {index + 1} of {count}" if count > 1 else ""
            span = operation.span
            expression = words.expression_at(span) if span else None
            statement = (expression.statement if expression else (), index)
            pair = Pair(here.derivatives[spot], there.derivatives[spot])
            known = Known("cotangent", (), pair, (*family, "d"), index, (statement,))
            if spot.kind == "use":
                yield replace(known, kind="use", names=(f"{self.use(spot)}{turn}",))
                continue
            values = Pair(here.values[spot], there.values[spot])
            text = place if expression is None or not whole else words.quoted(expression)
            at = f" of {words.line(span, self.home)}" if span and whole else ""
            yield replace(
                known,
                kind="cotangent" if whole else "inside",
                names=(f"{self.derivative(text) if whole else self.inside(place)}{turn}",),
            )
            value = replace(known, pair=values, family=(*family, "v"), is_gradient=False)
            yield replace(
                value,
                kind="value" if whole else "inside",
                names=(f"{text}{at}{turn}" if whole else f"a value inside {place}{turn}",),
            )

    def derivative(self, text: str) -> str:
        """Names the derivative of an expression."""
        return words.cotangent(text)

    def inside(self, place: str) -> str:
        """Names a derivative inside a function of a library."""
        return f"a gradient inside {place}"

    def use(self, spot: Spot) -> str:
        """Names the derivative of one use of a value."""
        return f"the part of the gradient that flows back from {self.place(spot)}"

    def shares(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields what several uses of a value contribute together."""
        for share in shares(self.program, here.derivatives):
            place = self.place(share.last)
            if place == self.program.points[share.last.point].operation.name:
                continue  # inside a library, where the reader cannot look
            pair = Pair(*(share.of(q.derivatives) for q in (here, there)))
            name = f"the parts of the gradient that flow back from {place}"
            rest = f"a gradient without what flows back from {place}"
            yield Known("use", (rest if share.is_rest else name,), pair)

    def place(self, spot: Spot) -> str:
        """Names an operation, by its expression where it has one."""
        operation = self.program.points[spot.point].operation
        span: Span | None = operation.span
        expression = words.expression_at(span) if span else None
        if span and expression:
            return f"{words.quoted(expression)} of {words.line(span, self.home)}"
        if operation.location and self.outputs[operation.location] is operation:
            return f"the output of {operation.location}"
        where = operation.location or operation.source
        return f"{operation.name} of {where}" if where else operation.name

    @cached_property
    def outputs(self) -> dict[str, Operation]:
        """The last operation of each layer, by where it is."""
        return {o.location: o for o, _ in self.program.points if o.location}

    def passes(self) -> dict[int, tuple[int, int]]:
        """Numbers the passes through each expression: by its last point, pass and their count."""
        points = self.program.points
        found: dict[object, list[int]] = defaultdict(list)
        for i, (operation, _) in enumerate(points):
            following = points[i + 1] if i + 1 < len(points) else None
            key = operation.frames, operation.span
            if operation.span is None:
                key = operation.location, operation.name, i
            elif following is not None and (
                (following.operation.frames, following.operation.span) == key
                and (following.operation.chain, following.operation.name)
                != (operation.chain, operation.name)
            ):
                continue  # a library function consists of several operations
            found[key].append(i)
        return {i: (k, len(of)) for of in found.values() for k, i in enumerate(of)}


@dataclass(frozen=True)
class TangentReader(Reader):
    """Turns the quantities of a function in forward mode into known values.

    Attributes:
        program: the function.
        names: of its inputs.
        leaves: the inputs that are neither its arguments nor their tangents.
        home: the file of the candidate.
    """

    program: TangentProgram

    def rows(self, known: Known) -> Iterator[Known]:
        """Yields the rows of an array; those of a result are what a loop computes in its passes."""
        return rows(known) if known.kind != "leaf" else iter(())

    def inputs(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields the arguments, their tangents, and those of the results."""
        given = {*self.leaves, *self.program.tangents.values()}
        for spot in here.derivatives:
            pair = Pair(here.derivatives[spot], there.derivatives[spot])
            if spot.kind == "output":
                yield Known("leaf", ("the tangent of the result",), pair)
            if spot.kind != "input" or spot.index in given:
                continue
            name = self.names[spot.index]
            yield Known("cotangent", (self.derivative(name),), pair)
            pair = Pair(here.values[spot], there.values[spot])
            yield Known("value", (name,), pair, is_gradient=False)

    def derivative(self, text: str) -> str:
        """Names the tangent of an expression."""
        return f"the tangent of {text}"

    def inside(self, place: str) -> str:
        """Names a tangent inside a function of a library."""
        return f"a tangent inside {place}"

    def use(self, spot: Spot) -> str:
        """Names what one operand adds to a tangent."""
        operation = self.program.points[spot.point].operation
        operand = operation.operands[spot.index]
        graph = self.program.graph
        makers = {result: o for o in graph.walk() for result in o.results}
        text = None
        if operand in graph.inputs:
            text = self.names[graph.inputs.index(operand)]
        elif (maker := makers.get(operand)) and maker.span:
            expression = words.expression_at(maker.span)
            text = words.quoted(expression) if expression else None
        if text is None:
            return f"one term of the tangent of {self.place(spot)}"
        return f"what the tangent of {text} adds to that of {self.place(spot)}"

    def shares(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields nothing: operands add to a tangent one by one."""
        del here, there
        yield from ()


def _merged(every: Sequence[Known]) -> list[Known]:
    """Makes equal gradients one, and equal values one, which has the names of all."""
    found: list[Known] = []
    by_shape: dict[object, list[tuple[int, float]]] = defaultdict(list)
    for known in every:
        here = known.pair.here
        total, apart = float(np.sum(here)), 2 * SAME * here.size * largest(here)
        same = by_shape[here.shape, known.is_gradient]
        for i, other in same:  # comparing the sums first is fast
            if abs(total - other) <= apart and _equal(known.pair, found[i].pair):
                found[i] = _with_name(found[i], known)
                break
        else:
            same.append((len(found), total))
            found.append(known)
    return found


def _equal(one: Pair, other: Pair) -> bool:
    return all(
        np.max(np.abs(a - b), initial=0.0) <= SAME * np.max(np.abs(a), initial=0.0)
        for a, b in zip(one, other, strict=True)
    )


def _with_name(first: Known, other: Known) -> Known:
    """Adds a name, of the parts of one statement that of the whole alone."""
    first = first if first.family else replace(first, family=other.family, index=other.index)
    lesser = RANK.index(other.kind) > max(RANK.index(first.kind), RANK.index("value"))
    if lesser or other.names[0] in first.names:
        return first
    shared = set(other.statements) & set(first.statements)
    if shared and first.kind == other.kind:  # h @ w, then h @ w + b: the later is the larger
        names = (*first.names[:-1], other.names[0]) if first.names else other.names
        return replace(first, names=names)
    statements = (*first.statements, *other.statements)
    return replace(first, names=(*first.names, *other.names), statements=statements)
