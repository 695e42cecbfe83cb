"""The function whose gradient is in question, with its gradient by autodiff."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import jax
import numpy as np

from jaxpercep.compare.evaluation.own_types import OwnTypes
from jaxpercep.compare.program.graph import RUN_ONCE, Graph, Plain, run
from jaxpercep.compare.program.jaxprs import NEEDS_NUMBERS, Traced, bits, trace

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
        formula: the type that it computes in, although it is given float64.
        own: if nothing takes it to float64, the caller's types; `call` takes these.
        jit: compiles it.
    """

    fun: Callable[..., Any]
    positions: Sequence[int]
    call: Callable[[Sequence[Any]], Any]
    graph: Graph | None = None
    traced: Traced | None = None
    narrow: bool = False
    refused: bool = False
    formula: str = "float64"
    own: OwnTypes | None = None
    jit: Callable[..., Any] = jax.jit

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
        graph = traced.graph()
        function = cls(fun, positions, call, graph, traced)
        return function.of_graph(graph) if graph.has_loops else function

    def in_float64(
        self, args: tuple[Any, ...], own: OwnTypes
    ) -> tuple["Function", ValueAndGradient[np.ndarray]]:
        """Takes the function to float64, and evaluates it there.

        If it narrows, or refuses float64, its graph is widened. If that fails as well, it computes
        in the caller's types after all.

        Args:
            args: in float64.
            own: the caller's types.
        """
        values = jax.tree.leaves(args)
        ways = partial(self._wide, args), self._widened, partial(self._in_own_types, own)
        failures: list[Exception] = []
        for way in ways:
            try:
                function = replace(way(), jit=RUN_ONCE)
                return function, function.value_and_gradient(values)
            except Exception as error:  # anything: it has run in the caller's types
                failures.append(error)
        raise failures[0]

    def _wide(self, args: tuple[Any, ...]) -> "Function":
        """Gives the function float64; widens its graph if it narrows inside."""
        if self.traced is not None and self.traced.callbacks():
            return self._widened()  # a callback's thread has its own setting of float64
        wide = Function.of(self.fun, args, self.positions)
        if wide.traced is None or wide.traced.narrowest() == "float64":
            return wide
        return wide.of_graph(wide.traced.graph(widen=True), narrow=True)

    def _widened(self) -> "Function":
        """Widens the graph traced with the caller's types."""
        if self.traced is None:
            raise TypeError("a function that cannot be traced has no graph to widen.")
        formula = self.traced.callbacks() or "float64"
        graph = self.traced.graph(widen=True)
        return self.of_graph(graph, narrow=True, refused=True, formula=formula)

    def _in_own_types(self, own: OwnTypes) -> "Function":
        """Leaves the function in the caller's types."""
        formula = own.narrowest
        if self.traced is not None:
            formula = min((formula, self.traced.narrowest()), key=bits)
        changes = {"graph": None, "traced": None, "refused": True}
        return replace(self, **changes, formula=formula, own=own)

    def with_moved_constants(self) -> "Function | None":
        """Moves each constant of a narrow type by half an ulp; returns None without such ones."""
        graph = None if self.traced is None else self.traced.with_moved_constants()
        return None if graph is None else self.of_graph(graph)

    def with_further_passes(self, count: int) -> "Function | None":
        """Runs loops that have converged further; returns None without such loops."""
        graph = None if self.traced is None else self.traced.with_further_passes(count)
        return None if graph is None else self.of_graph(graph)

    def of_graph(self, graph: Graph, **changes: Any) -> "Function":
        """Runs another graph instead."""
        return replace(self, call=partial(_value_of, graph), graph=graph, **changes)

    def value_and_gradient(
        self, values: Sequence[Any], *, compiled: bool = True
    ) -> ValueAndGradient[np.ndarray]:
        """Evaluates both for these leaves, as NumPy arrays."""
        value, leaves = self.gradient(compiled=compiled)(values)
        return ValueAndGradient(np.asarray(value), [np.asarray(leaf) for leaf in leaves])

    def gradient(self, *, compiled: bool = True) -> Gradient:
        """Returns `leaves -> value and gradient`, compiled once or not at all."""
        return self._compiled if compiled else self._gradient(None)

    @cached_property
    def _compiled(self) -> Gradient:
        return self._gradient(self.jit)

    def _gradient(self, jit: Callable[..., Any] | None) -> Gradient:
        # Not self: no cycle may hold what is captured.
        positions, call, own = self.positions, self.call, self.own

        def by_leaf(chosen: Sequence[Any], values: Sequence[Any]) -> Any:
            given = list(values)
            for position, leaf in zip(positions, chosen, strict=True):
                given[position] = leaf
            return call(given)

        gradient = jax.value_and_grad(by_leaf)
        if jit is not None and self.graph is not None:
            gradient = jit(gradient)

        def at(values: Sequence[Any]) -> ValueAndGradient[Any]:
            return ValueAndGradient(*gradient([values[i] for i in positions], values))

        return at if own is None else partial(own.run, at)

    def value(self, values: Sequence[Any]) -> Any:
        """Evaluates the function for all leaves of its arguments, in float64."""
        return self.call(values) if self.own is None else self.own.run(self.call, values)


def _value_of(graph: Graph, values: Sequence[Any]) -> Any:
    (value,) = run(graph, values, Plain())
    return value
