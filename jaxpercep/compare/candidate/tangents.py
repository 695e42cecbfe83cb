"""Computes every value of a function, its tangent, and what each operand adds to the tangent.

Values are carried through the function's graph as dual numbers, loops and branches as they go.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.candidate.quantities import Point, Quantities, Spot, Walker
from jaxpercep.compare.program.graph import (
    RUN_ONCE,
    Graph,
    Operation,
    Plain,
    Value,
    perform,
    run,
)


@dataclass
class TangentProgram:
    """A function of arguments and their tangents, ready to be evaluated with all its values.

    Attributes:
        graph: of the function, whose inputs include the tangents.
        tangents: the position of each input's tangent, by that of the input.
        points: the operations in the order of execution.
    """

    graph: Graph
    tangents: Mapping[int, int]
    points: list[Point] = field(default_factory=list)
    spots: list[Spot] = field(default_factory=list)

    def at(self, values: Sequence[Value]) -> Quantities:
        """Evaluates the function at these inputs."""
        every = [np.asarray(number) for number in self.program(list(values))]
        pairs = dict(zip(self.spots, zip(every[::2], every[1::2], strict=True), strict=True))
        return Quantities(
            {spot: value for spot, (value, _) in pairs.items() if spot.kind != "use"},
            {spot: tangent for spot, (_, tangent) in pairs.items()},
        )

    @cached_property
    def program(self) -> Callable[[list[Value]], list[Value]]:
        """The function, compiled unless the arguments decide which branches it takes."""
        branches = any(operation.kind == "cond" for operation in self.graph.walk())
        return self.evaluate if branches else RUN_ONCE(self.evaluate)

    def evaluate(self, values: list[Value]) -> list[Value]:
        """Returns value and tangent of each of the `spots`."""
        dual = _Duals()
        given = [
            dual.told(
                Spot("input", 0, i), _Dual(v, values[self.tangents[i]]) if i in self.tangents else v
            )
            for i, v in enumerate(values)
        ]
        for i, output in enumerate(run(self.graph, given, dual)):
            dual.told(Spot("output", 0, i), output)
        self.points[:], self.spots[:] = dual.points, dual.found
        return [number for pair in dual.found.values() for number in pair]


class _Dual(NamedTuple):
    """A value that moves with the arguments, and its tangent."""

    value: Value
    tangent: Value


class _Duals(Walker):
    """Evaluates operations on dual numbers; other values do not move."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[Spot, _Dual] = {}

    def told(self, spot: Spot, value: Value) -> Value:
        """Records a floating-point value with its tangent."""
        if isinstance(value, _Dual):
            self.found[spot] = value
        elif jnp.issubdtype(jnp.result_type(value), jnp.floating):
            self.found[spot] = _Dual(value, jnp.zeros_like(value))
        return value

    def evaluate(
        self, operation: Operation, number: int, values: Sequence[Value]
    ) -> Sequence[Value]:
        """Returns the operation's results, and records what each operand adds to the first."""
        moving = [i for i, value in enumerate(values) if isinstance(value, _Dual)]
        for i in moving if len(moving) > 1 else ():
            alone = [v if k == i else _still(v) for k, v in enumerate(values)]
            first = _moved(operation, alone)[0]
            if isinstance(first, _Dual):
                self.found[Spot("use", number, i)] = first
        results = _moved(operation, values)
        return [self.told(Spot("result", number, i), v) for i, v in enumerate(results)]


def _moved(operation: Operation, values: Sequence[Value]) -> list[Value]:
    """Evaluates one operation on dual numbers, and values that do not move."""
    moving = {i: value for i, value in enumerate(values) if isinstance(value, _Dual)}

    def function(moved: dict[int, Value]) -> list[Value]:
        given = [moved.get(i, value) for i, value in enumerate(values)]
        return list(perform(operation, Plain(), given))

    if not moving:
        return function({})
    primals = {i: dual.value for i, dual in moving.items()}
    results, tangents = jax.jvp(
        function, (primals,), ({i: dual.tangent for i, dual in moving.items()},)
    )
    return [
        value if tangent.dtype == jax.dtypes.float0 else _Dual(value, tangent)
        for value, tangent in zip(results, tangents, strict=True)
    ]


def _still(value: Value) -> Value:
    return value.value if isinstance(value, _Dual) else value
