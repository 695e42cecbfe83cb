"""The parts of a gradient that flow back from one statement, and all the others together."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from jaxpercep.compare.candidate.quantities import LONGEST, Point, Program, Spot
from jaxpercep.compare.candidate.tangents import TangentProgram
from jaxpercep.compare.program import words
from jaxpercep.compare.program.graph import Operation


class Share(NamedTuple):
    """What several uses of one value contribute to its gradient.

    Attributes:
        uses: some of the value.
        last: in the statement that is told of: these uses are in it, or all but these.
        is_rest: True if these uses are all that are not in that statement.
    """

    uses: tuple[Spot, ...]
    last: Spot
    is_rest: bool

    def of(self, cotangents: Mapping[Spot, np.ndarray]) -> np.ndarray:
        """Returns the sum over the uses."""
        return np.sum([cotangents[spot] for spot in self.uses], axis=0)


def shares(
    program: Program | TangentProgram, derivatives: Mapping[Spot, np.ndarray]
) -> Iterator[Share]:
    """Yields, of values that several statements use, what is neither one use nor all of them."""
    values: dict[object, dict[object, list[Spot]]] = defaultdict(lambda: defaultdict(list))
    for spot in derivatives:
        if spot.kind == "use":
            operation, iterations = point = program.points[spot.point]
            around = iterations[:-1] if _is_run(point) else iterations
            values[operation.operands[spot.index], around][_statement(operation)].append(spot)
    for parts in values.values():
        every = [spot for part in parts.values() for spot in part]
        for part in parts.values() if len(parts) > 1 else ():
            rest = tuple(spot for spot in every if spot not in part)
            if len(part) > 1:
                yield Share(tuple(part), part[-1], is_rest=False)
            if len(parts) > 2:
                yield Share(rest, part[-1], is_rest=True)


def _is_run(point: Point) -> bool:
    """Returns True for one iteration of a scan, whose operands are used in all of them."""
    loop = point.operation.loop
    return loop is not None and 0 < loop.length <= LONGEST


def _statement(operation: Operation) -> object:
    """Returns what the operations of one statement share."""
    expression = words.expression_at(operation.span) if operation.span else None
    return expression.statement if expression else operation
