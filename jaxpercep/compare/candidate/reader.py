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

    program: Program
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
        every += [row for known in every for row in rows(known)]
        every.sort(key=lambda known: RANK.index(known.kind))
        return _merged([known for known in every if np.any(known.pair.here)])

    def inputs(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields the arguments and the gradients by them."""
        for spot in here.cotangents:
            if spot.kind != "input":
                continue
            name = self.names[spot.index]
            kind: Kind = "leaf" if spot.index in self.leaves else "data"
            if name != "dy" and not name.startswith("dy["):  # the checker's, of a pullback
                pair = Pair(here.cotangents[spot], there.cotangents[spot])
                yield Known(kind, (words.cotangent(name),), pair)
            pair = Pair(here.values[spot], there.values[spot])
            yield Known("value", (name,), pair, is_gradient=False)

    def results(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields what the operations compute, with the cotangents of results and of uses."""
        points, passes = self.program.points, self.passes()
        for spot in here.cotangents:
            if spot.kind == "input":
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
            pair = Pair(here.cotangents[spot], there.cotangents[spot])
            known = Known("cotangent", (), pair, (*family, "d"), index, (statement,))
            if spot.kind == "use":
                name = f"the part of the gradient that flows back from {place}{turn}"
                yield replace(known, kind="use", names=(name,))
                continue
            values = Pair(here.values[spot], there.values[spot])
            text = place if expression is None or not whole else words.quoted(expression)
            at = f" of {words.line(span, self.home)}" if span and whole else ""
            yield replace(
                known,
                kind="cotangent" if whole else "inside",
                names=(
                    f"{words.cotangent(text) if whole else f'a gradient inside {place}'}{turn}",
                ),
            )
            value = replace(known, pair=values, family=(*family, "v"), is_gradient=False)
            yield replace(
                value,
                kind="value" if whole else "inside",
                names=(f"{text}{at}{turn}" if whole else f"a value inside {place}{turn}",),
            )

    def shares(self, here: Quantities, there: Quantities) -> Iterator[Known]:
        """Yields what several uses of a value contribute together."""
        for share in shares(self.program, here.cotangents):
            place = self.place(share.last)
            if place == self.program.points[share.last.point].operation.name:
                continue  # inside a library, where the reader cannot look
            pair = Pair(*(share.of(q.cotangents) for q in (here, there)))
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
