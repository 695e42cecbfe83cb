"""The function whose gradient is in question, with its gradient by autodiff."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

from jaxpercep.compare.program.graph import Graph, Plain, run
from jaxpercep.compare.program.jaxprs import NEEDS_NUMBERS, Traced, trace

# The errors of code that cannot compute in float64, or not with abstract arguments.
UNFIT = (TypeError, *NEEDS_NUMBERS, jax.dtypes.TypePromotionError)

Item = TypeVar("Item")


class ValueAndGradient(NamedTuple, Generic[Item]):
    """Something about the value of a function, and about each leaf of its gradient."""

    value: Item
    leaves: Sequence[Item]

    def every(self) -> list[Item]:
        """Lists the value, then the leaves."""
        return [self.value, *self.leaves]


Gradient: TypeAlias = Callable[[Sequence[Any]], ValueAndGradient[Any]]
"""All leaves of the arguments -> value, and gradient by each leaf to differentiate by."""


@dataclass(frozen=True)
class Function:
    """A scalar function of all leaves of its arguments.

    Attributes:
        fun: the caller's, of the arguments.
        positions: of the leaves to differentiate by.
        call: `call(leaves) -> value`.
        graph: None if the function needs concrete arguments, and so cannot be compiled.
        traced: likewise.
        narrow: True if it narrows inside; `call` computes in float64 nevertheless.
        refused: True if it does not take float64; likewise.
    """

    fun: Callable[..., Any]
    positions: Sequence[int]
    call: Callable[[Sequence[Any]], Any]
    graph: Graph | None = None
    traced: Traced | None = None
    narrow: bool = False
    refused: bool = False

    @classmethod
    def of(
        cls, fun: Callable[..., Any], args: tuple[Any, ...], positions: Sequence[int]
    ) -> "Function":
        """Traces the function at these arguments, where it can be traced."""
        structure = jax.tree.structure(args)

        def call(values: Sequence[Any]) -> Any:
            return fun(*jax.tree.unflatten(structure, values))

        try:
            traced = trace(fun, args)
        except NEEDS_NUMBERS:
            return cls(fun, positions, call)
        return cls(fun, positions, call, traced.graph(), traced)

    def in_float64(self, args: tuple[Any, ...]) -> "Function":
        """Takes the function to float64; if it narrows, or refuses float64, by widening its graph.

        Args:
            args: in float64.
        """
        try:
            wide = Function.of(self.fun, args, self.positions)
        except UNFIT:
            if self.traced is None:
                raise
            return self.of_graph(self.traced.graph(widen=True), narrow=True, refused=True)
        if wide.traced is None or wide.traced.narrowest() == "float64":
            return wide
        return wide.of_graph(wide.traced.graph(widen=True), narrow=True)

    def with_moved_constants(self) -> "Function | None":
        """Moves each constant of a narrow type by half an ulp; returns None without such ones."""
        graph = None if self.traced is None else self.traced.with_moved_constants()
        return None if graph is None else self.of_graph(graph)

    def of_graph(self, graph: Graph, **changes: Any) -> "Function":
        """Runs another graph instead."""
        return replace(self, call=partial(_value_of, graph), graph=graph, **changes)

    def value_and_gradient(
        self, values: Sequence[Any], jit: Callable[..., Any] | None = jax.jit
    ) -> ValueAndGradient[np.ndarray]:
        """Evaluates both for these leaves, as NumPy arrays; with jit=None not compiled."""
        value, leaves = self.gradient(jit)(values)
        return ValueAndGradient(np.asarray(value), [np.asarray(leaf) for leaf in leaves])

    def gradient(self, jit: Callable[..., Any] | None = jax.jit) -> Gradient:
        """Returns `leaves -> value and gradient`; with jit=None not compiled."""
        return self.compiled if jit is jax.jit else self._gradient(jit)

    @cached_property
    def compiled(self) -> Gradient:
        """`leaves -> value and gradient`, compiled once."""
        return self._gradient(jax.jit)

    def _gradient(self, jit: Callable[..., Any] | None) -> Gradient:
        positions, call = self.positions, self.call  # not self: no cycle may hold what is captured

        def by_leaf(chosen: Sequence[Any], values: Sequence[Any]) -> Any:
            given = list(values)
            for position, leaf in zip(positions, chosen, strict=True):
                given[position] = leaf
            return call(given)

        gradient = jax.value_and_grad(by_leaf)
        if jit is not None and self.graph is not None:
            gradient = jit(gradient)
        return lambda values: ValueAndGradient(*gradient([values[i] for i in positions], values))


def _value_of(graph: Graph, values: Sequence[Any]) -> Any:
    (value,) = run(graph, values, Plain())
    return value
