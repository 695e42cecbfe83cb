"""Measures what flows through each operation of a function at some arguments, for the reasons."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpercep.compare.explanation.hypotheses import Hypothesis
from jaxpercep.compare.explanation.pullbacks import Site
from jaxpercep.compare.program.graph import (
    RUN_ONCE,
    Graph,
    Operation,
    Plain,
    Value,
    perform,
    run,
)


class Flowing(NamedTuple):
    """The largest numbers at one operation.

    Attributes:
        results: of the cotangents of its results.
        operands: by operand, of the cotangent that flows back along it.
        values: by operand, of its value.
    """

    results: float
    operands: dict[int, float]
    values: dict[int, float]


class Probed(NamedTuple):
    """What flows through a function.

    Attributes:
        at: by operation, outside of loops and branches.
        changes: by hypothesis, how far it alters the first cotangent that it alters.
    """

    at: dict[Operation, Flowing]
    changes: dict[Hypothesis, float]


def probe(
    graph: Graph,
    positions: Sequence[int],
    values: Sequence[Value],
    weights: Value,
    hypotheses: Sequence[Hypothesis],
) -> Probed:
    """Measures what flows through each operation, and what hypotheses change at their place.

    Args:
        graph: its only output is an array, whose inner product with the weights is the function.
        positions: of the leaves to differentiate by.
        values: of the graph's inputs.
        weights: of the output.
        hypotheses: to measure.
    """
    shapes = jax.eval_shape(lambda values: _recorded(graph, values).taken, list(values))
    places = _Recorder().places(graph)
    numbers = {operation: k for k, operation in enumerate(places)}

    @RUN_ONCE
    def measured(values: Sequence[Value], weights: Value) -> Any:
        def function(taps: Any) -> Any:
            recorder = _recorded(graph, values, taps)
            return jnp.vdot(weights, recorder.output), recorder.taken

        taps = jax.tree.map(_zeros, shapes)
        floating = {k: _floating(tap) for k, tap in taps.items()}
        gradient, taken = jax.grad(lambda chosen: function(chosen), has_aux=True)(floating)
        flowing = {k: jax.tree.map(_largest, (gradient[k], _floating(taken[k]))) for k in taken}
        changes = {}
        for j, hypothesis in enumerate(hypotheses):
            operation, operand = hypothesis.switches[0]
            k = numbers.get(operation)
            if k is None or operand < 0 or len(gradient[k][1]) < len(operation.results):
                continue
            given, results = taken[k]
            cotangents = [gradient[k][1][i] for i in range(len(results))]
            site = Site(operation, list(given), {}, results, cotangents)
            right = site.pull_back(operand, {})
            changes[j] = _largest(hypothesis.cause.alter(operand, site) - right)
        return flowing, changes

    flowing, changes = jax.device_get(measured(list(values), weights))
    at = {
        places[k]: Flowing(
            max(map(float, gradient[1].values()), default=0.0),
            {i: float(size) for i, size in gradient[0].items()},
            {i: float(size) for i, size in taken[0].items()},
        )
        for k, (gradient, taken) in flowing.items()
    }
    return Probed(at, {hypotheses[j]: float(c) for j, c in changes.items()})


@dataclass
class _Recorder:
    """Evaluates operations outside of loops, adds a tap to their operands and results, keeps both.

    Attributes:
        taps: by number of the operation, what is added to operands and results, by position.
        taken: by number of the operation, operands and results.
    """

    taps: dict[int, Any] = field(default_factory=dict)
    taken: dict[int, Any] = field(default_factory=dict)
    numbers: dict[Operation, int] = field(default_factory=dict)
    output: Value = None

    def places(self, graph: Graph) -> list[Operation]:
        """Lists the operations outside of loops and branches, each before those inside it."""
        found = []
        for operation in graph.operations:
            found.append(operation)
            if operation.kind == "call":
                found += self.places(operation.bodies[0])
        return found

    def apply(self, operation: Operation, values: Sequence[Value]) -> Sequence[Value]:
        """Returns the operation's results, with taps."""
        k = self.numbers[operation]
        operands, results = self.taps.get(k, ({}, {}))
        given = [v + operands[i] if i in operands else v for i, v in enumerate(values)]
        inner = self if operation.kind == "call" else Plain()
        found = [
            v + results[i] if i in results else v
            for i, v in enumerate(perform(operation, inner, given))
        ]
        self.taken[k] = list(map(jnp.asarray, given)), list(map(jnp.asarray, found))
        return found

    def result(self, operation: Operation, index: int, value: Value) -> Value:
        """Returns the value."""
        return Plain().result(operation, index, value)

    def within(self, iteration: Value) -> "_Recorder":
        """Returns itself; loops are run without it."""
        del iteration
        return self


def _recorded(graph: Graph, values: Sequence[Value], taps: Any = None) -> _Recorder:
    recorder = _Recorder(taps or {})
    recorder.numbers = {o: k for k, o in enumerate(recorder.places(graph))}
    (recorder.output,) = run(graph, values, recorder)
    return recorder


def _floating(taken: Any) -> Any:
    """Keeps the arrays that a derivative can flow through, by position."""
    return tuple(
        {i: v for i, v in enumerate(side) if jnp.issubdtype(v.dtype, jnp.floating)}
        for side in taken
    )


def _zeros(shape: Any) -> Value:
    return jnp.zeros(shape.shape, shape.dtype)


def _largest(array: Value) -> Value:
    return jnp.max(jnp.abs(array), initial=0.0)
