"""How much rounding there is: every number of a computation is moved by an ulp, up or down.

What the result then changes by is what rounding may do to it, cancellations included: after
saturation has left 1 - tanh^2 no digits, the noise is as large as the value (Monte Carlo
arithmetic: Parker, Pierce & Eggert, 2000).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpercep.compare.graph import RUN_ONCE, Graph, Operation, Plain, Value, perform, run

RUNS = 4

NoisyProgram: TypeAlias = Callable[[Sequence[Any], float, int], Sequence[Any]]
"""`(values, eps, seed) -> results`, every number moved by a relative eps."""


def noisy_outputs(graph: Graph) -> NoisyProgram:
    """The outputs of a graph, with noise."""

    @partial(jax.jit, compiler_options=RUN_ONCE)
    def noisy(values: Sequence[Any], eps: Value, seed: Value) -> list[Value]:
        return _run(graph, values, eps, seed)

    return noisy


def _run(graph: Graph, values: Sequence[Value], eps: Value, seed: Value) -> list[Value]:
    numbers = {operation: i for i, operation in enumerate(graph.walk(), start=len(values))}
    rounding = _Rounding(jnp.asarray(eps), jnp.asarray(seed, jnp.uint32), numbers)
    moved = [rounding.move(value, i) for i, value in enumerate(values)]
    return run(graph, moved, rounding)


class _Rounding(NamedTuple):
    """Moves the result of every operation.

    Attributes:
        eps: by how much, relative.
        seed: which of them up and which down.
        numbers: of the operations, so that each has signs of its own.
    """

    eps: Value
    seed: Value
    numbers: dict[Operation, int]

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """The operation's results, each number of them moved."""
        results = perform(operation, self, values)
        if operation.kind != "atom":
            return results
        return [self.move(result, self.numbers[operation]) for result in results]

    def result(self, operation: Operation, index: int, value: Value) -> Value:
        """What a loop's body passes on: the operation that made it has moved it."""
        return Plain().result(operation, index, value)

    def within(self, iteration: Value) -> "_Rounding":
        """Other signs in every iteration."""
        return self._replace(seed=self.seed + iteration.astype(jnp.uint32) * np.uint32(0x9E3779B1))

    def move(self, value: Value, number: int) -> Value:
        """A value with every number in it moved by eps, up or down."""
        if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
            return value
        value = jnp.asarray(value)
        mixed = jax.lax.iota(jnp.uint32, value.size) * np.uint32(0x9E3779B1)
        mixed = mixed + self.seed + np.uint32((number * 0x85EBCA77) % 2**32)
        mixed = (mixed ^ (mixed >> 15)) * np.uint32(0x2C1B3C6D)
        mixed = (mixed ^ (mixed >> 12)) * np.uint32(0x297A2D39)
        up = (mixed >> 31).reshape(value.shape) == 1
        eps = self.eps.astype(value.dtype)
        return value * jnp.where(up, 1 + eps, 1 - eps)
