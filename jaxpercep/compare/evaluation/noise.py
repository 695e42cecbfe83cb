"""Measures rounding by moving every number of a computation by an ulp, up or down.

Rounding may change the result by as much as this does, cancellations included: once saturation has
left 1 - tanh^2 without digits, the noise is as large as the value (Monte Carlo arithmetic: Parker,
Pierce & Eggert, 2000).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from jaxpercep.compare.evaluation import trees
from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Operation, Plain, Value, perform, run

RUNS = 4
FACTORS = 65521  # a prime, so that rows and columns of a matrix all get different factors
SHIFTS = 4096  # positions where the factors of an operation may begin

# These do not round. If it were moved, a maximum would no longer equal any of its operands.
EXACT = {
    "abs",
    "argmax",
    "argmin",
    "broadcast_in_dim",
    "ceil",
    "clamp",
    "concatenate",
    "copy",
    "dynamic_slice",
    "dynamic_update_slice",
    "expand_dims",
    "floor",
    "gather",
    "max",
    "min",
    "neg",
    "pad",
    "reduce_max",
    "reduce_min",
    "reshape",
    "rev",
    "round",
    "select_and_gather_add",
    "select_n",
    "sign",
    "slice",
    "sort",
    "squeeze",
    "stop_gradient",
    "transpose",
}

NoisyProgram: TypeAlias = Callable[[Sequence[Any], float, int], Sequence[Any]]
"""`(values, eps, seed) -> results`, every number moved by a relative eps."""


def noisy_outputs(graph: Graph, dtype: str = "float64") -> NoisyProgram:
    """Returns a program that computes the outputs of a graph with the noise of a type.

    Numbers below the smallest normal one of float16 lose digits, which those of a network's
    gradient may be; in the other types nothing is as small.
    """
    least = float(jnp.finfo(dtype).smallest_normal) if dtype == "float16" else 0.0
    numbers = {operation: i for i, operation in enumerate(graph.walk(), start=len(graph.inputs))}

    @RUN_ONCE
    def noisy(values: Sequence[Any], factors: Value) -> list[Value]:
        rounding = _Rounding(factors, least, numbers)
        moved = [rounding.move(value, i) for i, value in enumerate(values)]
        return run(graph, moved, rounding)

    def outputs(values: Sequence[Any], eps: float, seed: int) -> Sequence[Any]:
        return noisy(values, 1 + eps * trees.moves(seed, FACTORS + SHIFTS))

    return outputs


class _Rounding(NamedTuple):
    """Moves the result of every operation that rounds.

    Attributes:
        factors: of about 1 + eps or 1 - eps; results of more numbers than `FACTORS` reuse them.
        least: every number but 0 is moved by as much as this one, and more.
        numbers: of the operations, so that each begins elsewhere among the factors.
        iterations: of the enclosing loops, mixed, so that each iteration begins elsewhere, too.
    """

    factors: Value
    least: float
    numbers: dict[Operation, int]
    iterations: Value = 0

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results with every number moved."""
        results = perform(operation, self, values)
        if operation.kind != "atom" or operation.name in EXACT:
            return results
        return [self.move(result, self.numbers[operation]) for result in results]

    def result(self, operation: Operation, index: int, value: Value) -> Value:
        """Returns the value, which the operation that computed it has moved already."""
        return Plain().result(operation, index, value)

    def within(self, iteration: Value) -> "_Rounding":
        """Chooses other factors in every iteration."""
        return self._replace(iterations=7 * self.iterations + 577 * iteration)

    def move(self, value: Value, number: int) -> Value:
        """Moves every number of a value by eps, up or down."""
        if not jnp.issubdtype(jnp.result_type(value), jnp.inexact):
            return value
        if not isinstance(jax.typeof(value), jax.core.ShapedArray):  # a reference to an array
            return value
        value = jnp.asarray(value)
        start = (1009 * number + self.iterations) % SHIFTS
        factors = jax.lax.dynamic_slice(self.factors, (start,), (min(value.size, FACTORS),))
        repeated = jnp.resize(factors.astype(value.dtype), value.shape)
        moved = value * repeated
        if self.least:
            moved += jnp.where(value == 0, 0, self.least) * (repeated - 1)
        return moved
