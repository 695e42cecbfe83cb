"""Computes every value of a function, and the right cotangent of each, and of each of its uses.

The function's graph is run with a number added to every value and to every use of it. These numbers
are 0; the gradient by them is the cotangent there. Loops and branches are run as they go.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Literal, NamedTuple

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
    perform,
    run,
)

LONGEST = 32  # iterations of a loop; a longer one is a single value


class Point(NamedTuple):
    """One operation as it is run.

    Attributes:
        operation: the operation.
        iterations: of the loops around it, outermost first.
    """

    operation: Operation
    iterations: tuple[int, ...]


class Spot(NamedTuple):
    """A value, or a use of it: number `index` of inputs or outputs, or of a point."""

    kind: Literal["input", "result", "use", "output"]
    point: int
    index: int


class Quantities(NamedTuple):
    """The values of a function at some arguments, and their cotangents or tangents."""

    values: dict[Spot, np.ndarray]
    derivatives: dict[Spot, np.ndarray]


@dataclass
class Program:
    """A function, ready to be evaluated with all its values.

    Attributes:
        graph: of the function.
        points: the operations in the order of execution.
    """

    graph: Graph
    points: list[Point] = field(default_factory=list)
    compiled: dict[tuple[int, ...], Callable[..., Any]] = field(default_factory=dict)

    def at(self, values: Sequence[Value]) -> Quantities:
        """Evaluates the function at these inputs."""
        branches: tuple[int, ...] = ()
        if any(operation.kind == "cond" for operation in self.graph.walk()):
            eager = _Tapped(self.graph)
            eager.outputs(values)
            branches = tuple(eager.branches)
        if branches not in self.compiled:
            self.compiled[branches] = self.program(values, branches)
        (_, forward), cotangents = self.compiled[branches](list(values))
        return Quantities(
            {spot: np.asarray(value) for spot, value in forward.items()},
            {spot: np.asarray(value) for spot, value in cotangents.items()},
        )

    def program(self, values: Sequence[Value], branches: tuple[int, ...]) -> Callable[..., Any]:
        """Compiles the function with all its values and cotangents."""
        shapes: dict[Spot, Any] = {}

        def measure(values: Sequence[Value]) -> Value:
            tapped = _Tapped(self.graph, branches=list(branches), shapes=shapes)
            value = tapped.outputs(values)
            self.points[:] = tapped.points
            return value

        jax.eval_shape(measure, list(values))

        def function(offsets: Mapping[Spot, Value], values: Sequence[Value]) -> Any:
            tapped = _Tapped(self.graph, offsets, list(branches))
            return tapped.outputs(values), tapped.values

        gradient = RUN_ONCE(_by_list(jax.value_and_grad, function, list(shapes)))
        zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in shapes.values()]
        spots = list(shapes)

        def evaluate(values: Sequence[Value]) -> Any:
            (value, forward), cotangents = gradient(zeros, values)
            kept = [spot for spot in spots if spot.kind != "use"]
            return (value, dict(zip(kept, forward, strict=True))), dict(
                zip(spots, cotangents, strict=True)
            )

        return evaluate


def _by_list(
    transform: Callable[..., Any], function: Callable[..., Any], spots: Sequence[Spot]
) -> Callable[..., Any]:
    """Differentiates a function of a dict as one of a list: programs take no keys of our own."""

    def of_list(offsets: Sequence[Value], values: Sequence[Value]) -> Any:
        value, forward = function(dict(zip(spots, offsets, strict=True)), values)
        return value, [forward[spot] for spot in spots if spot.kind != "use"]

    return transform(of_list, has_aux=True)


class Walker(Plain, ABC):
    """Runs calls, branches and short loops as they go; subclasses evaluate the other operations.

    Attributes:
        points: the operations in the order of execution.
        iterations: of the loops around the present one.
    """

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.iterations: tuple[int, ...] = ()

    @abstractmethod
    def evaluate(
        self, operation: Operation, number: int, values: Sequence[Value]
    ) -> Sequence[Value]:
        """Returns the results of an operation, number `number` of the points."""

    def branch(self, chosen: Value) -> int:
        """Returns the branch that is taken."""
        return int(chosen)

    def held(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns what one iteration of a loop takes that does not change in it."""
        del operation
        return values

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results."""
        if operation.kind == "call":
            return run(operation.bodies[0], values, self)
        if operation.kind == "cond":
            return run(operation.bodies[self.branch(values[0])], values[1:], self)
        if operation.loop is not None and 0 < operation.loop.length <= LONGEST:
            return self.around(operation, values)
        self.points.append(Point(operation, self.iterations))
        return self.evaluate(operation, len(self.points) - 1, values)

    def around(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Runs a scan iteration by iteration; values may be trees of arrays."""
        assert operation.loop is not None
        first, carried, length, reverse = operation.loop
        state, outer = list(values[first : first + carried]), self.iterations
        rows: dict[int, list[Value]] = {}
        for i in reversed(range(length)) if reverse else range(length):
            self.iterations = (*outer, i)
            scanned = [jax.tree.map(itemgetter(i), xs) for xs in values[first + carried :]]
            held = self.held(operation, values[:first])
            results = run(operation.bodies[0], [*held, *state, *scanned], self)
            state, rows[i] = results[:carried], results[carried:]
        self.iterations = outer
        columns = zip(*(rows[i] for i in range(length)), strict=True)
        return [*state, *(jax.tree.map(_stacked, *column) for column in columns)]


def _stacked(*arrays: Any) -> Any:
    return jnp.stack(arrays)


class _Tapped(Walker):
    """Evaluates operations, adding an offset to every floating-point value and use."""

    def __init__(
        self,
        graph: Graph,
        offsets: Mapping[Spot, Value] | None = None,
        branches: list[int] | None = None,
        shapes: dict[Spot, Any] | None = None,
    ) -> None:
        super().__init__()
        self.graph, self.offsets, self.shapes = graph, offsets or {}, shapes
        self.given = None if branches is None else iter(branches)
        self.branches: list[int] = []
        self.values: dict[Spot, Value] = {}
        self.shared = _shared(graph)

    def outputs(self, values: Sequence[Value]) -> Value:
        """Returns the value of the function."""
        moved = [self.at(Spot("input", 0, i), value) for i, value in enumerate(values)]
        (value,) = run(self.graph, moved, self)
        return value

    def at(self, spot: Spot, value: Value) -> Value:
        """Records a value, and adds the offset."""
        if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
            return value
        if self.shapes is not None:
            self.shapes[spot] = jax.ShapeDtypeStruct(jnp.shape(value), jnp.result_type(value))
        if spot.kind != "use":
            self.values[spot] = value
        return value + self.offsets[spot] if spot in self.offsets else value

    def branch(self, chosen: Value) -> int:
        """Returns the branch that is taken, and remembers it."""
        self.branches.append(int(chosen) if self.given is None else next(self.given))
        return self.branches[-1]

    def held(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns them with the offsets of their uses in this iteration."""
        number = len(self.points)
        self.points.append(Point(operation, self.iterations))
        return [self.at(Spot("use", number, k), value) for k, value in enumerate(values)]

    def evaluate(
        self, operation: Operation, number: int, values: Sequence[Value]
    ) -> Sequence[Value]:
        """Returns the operation's results."""
        moved = [
            self.at(Spot("use", number, i), v) if (operation, i) in self.shared else v
            for i, v in enumerate(values)
        ]
        results = perform(operation, Plain(), moved)
        return [self.at(Spot("result", number, i), v) for i, v in enumerate(results)]


def _shared(graph: Graph) -> set[tuple[Operation, int]]:
    """Lists the uses, operation and operand, of values that have several."""
    found: set[tuple[Operation, int]] = set()
    for inner in (graph, *(body for op in graph.walk() for body in op.bodies)):
        for users in uses(inner).values():
            if len(users) > 1:
                found.update((op, i) for op, i in users if op is not None)
    return found
